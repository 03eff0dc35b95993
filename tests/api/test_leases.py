"""The calls of remote workers over HTTP: what they answer, what they refuse, and what becomes of a lost connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.api.site import LONG_S, Site, open_site
from tests.waiting import eventually
from tickr.errors import StoreUnavailable
from tickr.remote import leases
from tickr.store.memory import MemoryStore

GONE = {"message": "", "kind": "node_gone"}
NOBODYS = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


async def submit(site: Site, type: str = "resize", **fields: Any) -> str:
    answer = await site.post(type=type, **fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def call(site: Site, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = await site.http.post(f"/leases{path}", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def session(site: Site, *types: str, **more: Any) -> str:
    body = {"types": list(types or ("resize",)), "max": 0, "wait": 0, **more}
    return str((await call(site, "", body, 201))["lease"])


async def taken(site: Site, lease: str, most: int = 1, wait: float = 5) -> list[dict[str, Any]]:
    return list((await call(site, "", {"lease": lease, "jobs": [], "max": most, "wait": wait}))["jobs"])


def key(job: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": job["id"], "fence": job["fence"], **more}


async def ended(site: Site, path: str, *items: dict[str, Any]) -> list[tuple[str, str | None]]:
    answer = await call(site, path, {"jobs": list(items)})
    assert [one["id"] for one in answer["items"]] == [one["id"] for one in items]
    return [(one["status"], one["outcome"]) for one in answer["items"]]


async def waiting(site: Site, count: int = 1) -> None:
    """Return when so many polls wait."""

    async def look() -> bool:
        return site.app.audience.count == count

    await eventually(look)


async def job(site: Site, id: str) -> dict[str, Any]:
    return dict((await site.http.get(f"/jobs/{id}")).json())


# -- the way of a job -------------------------------------------------------------------------------------------------


async def test_a_new_lease_comes_with_jobs_and_says_how_to_keep_it(site: Site) -> None:
    id = await submit(site, payload={"b": 1.00, "a": "\u00e4"}, timeout=90.5, labels={"x": "y"})
    answer = await site.http.post("/leases", json={"types": ["resize"], "name": "worker-7", "slots": 3})
    assert answer.status_code == 201
    found = answer.json()
    assert answer.headers["location"] == f"/leases/{found['lease']}"
    assert (found["expires_in"], found["heartbeat_every"], found["draining"], found["stop"]) == (15.0, 5.0, False, [])
    (got,) = found["jobs"]
    assert (got["id"], got["state"], got["attempt"], got["fence"], got["timeout"]) == (id, "running", 1, 1, 90.5)
    assert (got["payload"], got["labels"], got["node"]) == ({"b": 1.0, "a": "\u00e4"}, {"x": "y"}, found["lease"])
    (node,) = (await site.http.get("/nodes")).json()["items"]
    assert (node["id"], node["kind"], node["name"]) == (found["lease"], "remote", "worker-7")
    assert (node["types"], node["queues"], node["slots"], node["pid"]) == (["resize"], [], 3, None)


async def test_jobs_are_completed_with_their_results_as_they_were_given(site: Site) -> None:
    lease = await session(site)
    first, second = await submit(site), await submit(site)
    got = await taken(site, lease, 2)
    body = '{{"jobs": [{{"id": "{}", "fence": 1, "result": {{"z": 1.00, "a": 1e2}}}}, {{"id": "{}", "fence": 1}}]}}'
    for _ in range(2):  # the second time as after a lost answer
        answer = await site.send(body.format(first, second), f"/leases/{lease}/complete")
        assert [(one["status"], one["outcome"]) for one in answer.json()["items"]] == [("done", "succeeded")] * 2
    assert '"result":{"z": 1.00, "a": 1e2}' in (await site.http.get(f"/jobs/{first}")).text
    after = await job(site, second)
    assert (after["state"], after["result"], after["version"], len(got)) == ("succeeded", None, 3, 2)


async def test_jobs_are_failed_in_every_way(site: Site) -> None:
    lease = await session(site)
    for _ in range(4):
        await submit(site)
    retried, later, final, back = await taken(site, lease, 4)
    error = {"message": "No such\nfile", "kind": "not_found", "traceback": "at line 7"}
    assert await ended(
        *(site, f"/{lease}/fail"),
        key(retried, error=error),
        key(later, error=error, retry_in=3600),
        key(final, error={"message": "never"}, then="give_up"),
        key(back, then="hand_back"),
    ) == [("done", "retrying"), ("done", "retrying"), ("done", "failed"), ("done", "released")]
    assert (await job(site, retried["id"]))["error"] == {**error, "message": "No such file"}
    assert (await job(site, final["id"]))["error"]["kind"] == "give_up"
    after = await job(site, back["id"])
    assert (after["state"], after["attempt"], after["crashes"]) == ("ready", 0, 0)


async def test_a_job_is_put_off_at_no_cost(site: Site) -> None:
    lease = await session(site)
    id = await submit(site)
    (got,) = await taken(site, lease)
    for _ in range(2):
        assert await ended(site, f"/{lease}/fail", key(got, then="snooze", retry_in=3600)) == [("done", "released")]
    after = await job(site, id)
    assert (after["state"], after["attempt"]) == ("scheduled", 0)
    (attempt,) = (await site.http.get(f"/jobs/{id}/attempts")).json()["items"]
    assert (attempt["outcome"], attempt["error"]["kind"]) == ("released", "snoozed")


async def test_a_heartbeat_tells_of_cancellations_and_takes_progress(site: Site) -> None:
    lease = await session(site)
    await submit(site)
    (got,) = await taken(site, lease)
    said = key(got, progress=0.5, message="half", log=["one", "two"])
    answer = await call(site, f"/{lease}/heartbeat", {"jobs": [said]})
    assert (answer["stop"], answer["jobs"], answer["lease"]) == ([], [], lease)
    now = await job(site, got["id"])
    assert (now["progress"], now["progress_message"]) == (0.5, "half")
    assert (await site.http.post(f"/jobs/{got['id']}/cancel", json={"reason": "enough"})).status_code == 202
    answer = await call(site, f"/{lease}/heartbeat", {"jobs": [key(got)]})
    assert answer["stop"] == [key(got, reason="cancelled")]
    assert await ended(site, f"/{lease}/fail", key(got, then="cancelled")) == [("done", "cancelled")]
    assert (await job(site, got["id"]))["error"]["message"] == "Cancelled on request: enough"


async def test_what_is_said_is_kept_within_bounds(site: Site) -> None:
    lease = await session(site)
    await submit(site)
    (got,) = await taken(site, lease)
    said = key(got, progress=1, message="m" * 9_000, log=["l" * 9_000, "\u0007"])
    await call(site, f"/{lease}/heartbeat", {"jobs": [said]})
    error = {"message": "\u00e4" * 9_000, "traceback": "t" * 90_000}
    assert await ended(site, f"/{lease}/fail", key(got, error=error, then="give_up")) == [("done", "failed")]
    after = await job(site, got["id"])
    assert (len(after["progress_message"]), len(after["error"]["message"].encode())) == (500, 4096)
    assert 10_000 < len(after["error"]["traceback"]) < 16_384
    events = (await site.http.get("/events?after=earliest&event=log&limit=10")).json()["events"]
    assert [len(event["data"]["message"]) for event in events] == [2_000, 1]


async def test_a_poll_that_waits_is_woken_by_a_job_and_by_a_cancellation(site: Site) -> None:
    lease = await session(site)
    answers: list[dict[str, Any]] = []

    async def poll(held: list[dict[str, Any]]) -> None:
        answers.append(await call(site, "", {"lease": lease, "jobs": held, "max": 5, "wait": 60}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll, [])
        await waiting(site)
        assert site.app.in_flight == 0  # it only waits
        id = await submit(site)
    ((got,),) = [answer["jobs"] for answer in answers]
    assert got["id"] == id
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll, [key(got)])
        await waiting(site)
        await site.http.post(f"/jobs/{id}/cancel")
    assert answers[-1]["stop"] == [key(got, reason="cancelled")]


async def test_a_lease_that_is_given_back_gives_its_jobs_back(site: Site) -> None:
    lease = await session(site)
    id = await submit(site)
    await taken(site, lease)
    for handed_back in ([id], []):
        answer = await site.http.delete(f"/leases/{lease}")
        assert (answer.status_code, answer.json()) == (200, {"handed_back": handed_back})
    after = await job(site, id)
    assert (after["state"], after["attempt"], after["crashes"]) == ("ready", 0, 0)
    assert (await site.http.get("/nodes")).json()["items"] == []


async def test_a_job_that_only_a_remote_worker_takes_has_a_node(site: Site) -> None:
    id = await submit(site)
    assert (await job(site, id))["notice"] is not None
    lease = await session(site, "other")
    assert "no_node_for_type" in str((await site.http.get(f"/jobs/{id}/explain")).json())
    await session(site, "resize", queues=["mail"])
    assert "no_node_for_queue" in str((await site.http.get(f"/jobs/{id}/explain")).json())
    await session(site, slots=7)
    assert (await job(site, id))["notice"] is None
    assert "no_node" not in str((await site.http.get(f"/jobs/{id}/explain")).json())
    assert lease in (await site.http.get("/nodes")).text


# -- connections that break -------------------------------------------------------------------------------------------


@asynccontextmanager
async def broken_poll(site: Site, lease: str) -> AsyncIterator[None]:
    """A client that asks for a job and is gone when the block ends."""
    body = json.dumps({"lease": lease, "jobs": [], "wait": 60}).encode()
    head = f"POST /leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    async with await site.connect() as stream:
        await stream.send_all(head.encode() + b"\r\n\r\n" + body)
        await waiting(site)
        yield


async def test_a_client_that_goes_leaves_its_place_and_takes_no_job(site: Site) -> None:
    lease = await session(site)
    async with broken_poll(site, lease):
        pass
    await waiting(site, 0)
    id = await submit(site)
    assert (await job(site, id))["state"] == "ready"
    (got,) = await taken(site, lease)
    assert (got["id"], got["attempt"]) == (id, 1)


async def test_what_is_claimed_and_not_delivered_comes_again(site: Site) -> None:
    lease = await session(site)
    async with broken_poll(site, lease):
        id = await submit(site)

        async def claimed() -> bool:
            return bool((await job(site, id))["state"] == "running")

        await eventually(claimed)
    (got,) = await taken(site, lease)
    assert got["id"] == id


async def test_a_stop_answers_those_who_wait_and_says_so(site: Site) -> None:
    lease = await session(site)
    answers: list[dict[str, Any]] = []

    async def poll() -> None:
        answers.append(await call(site, "", {"lease": lease, "jobs": [], "wait": 60}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await waiting(site)
        await site.stop(LONG_S)
    assert [(answer["jobs"], answer["draining"]) for answer in answers] == [([], True)]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("", {}, ["/types"]),
        ("", {"types": []}, ["/types"]),
        ("", {"types": ["a b"]}, ["/types/0"]),
        ("", {"types": ["a"], "max": 101}, ["/max"]),
        ("", {"types": ["a"], "wait": 61}, ["/wait"]),
        ("", {"types": ["a"], "queues": ["a b"]}, ["/queues/0"]),
        ("", {"types": ["a"], "slots": 0}, ["/slots"]),
        ("", {"types": ["a"], "name": "x" * 129}, ["/name"]),
        ("", {"types": ["a"], "jobs": [{"id": NOBODYS, "fence": 1}]}, ["/jobs"]),
        ("", {"lease": NOBODYS}, ["/jobs"]),
        ("", {"lease": "mine", "jobs": []}, ["/lease"]),
        ("", {"lese": NOBODYS, "types": ["a"]}, ["/lese"]),
        ("/heartbeat", {}, ["/jobs"]),
        ("/heartbeat", {"jobs": [{"id": NOBODYS, "fence": -1}]}, ["/jobs/0/fence"]),
        ("/heartbeat", {"jobs": [{"id": NOBODYS, "fence": 1, "progress": 1.5}]}, ["/jobs/0/progress"]),
        ("/heartbeat", {"jobs": [{"id": NOBODYS, "fence": 1, "log": ["x"] * 21}]}, ["/jobs/0/log"]),
        ("/heartbeat", {"jobs": [{"id": NOBODYS, "fence": 1}] * 1001}, ["/jobs"]),
        ("/complete", {"jobs": []}, ["/jobs"]),
        ("/complete", {"jobs": [{"id": NOBODYS, "fence": 1}] * 101}, ["/jobs"]),
        ("/complete", {"jobs": [{"id": NOBODYS, "fence": 1, "value": 2}]}, ["/jobs/0"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1}]}, ["/jobs/0/error"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "explode"}]}, ["/jobs/0/then"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "hand_back", "retry_in": 1}]}, ["/jobs/0/retry_in"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "snooze"}]}, ["/jobs/0/retry_in"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "drop", "queue": "q"}]}, ["/jobs/0/queue"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "drop", "priority": 1}]}, ["/jobs/0/priority"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "drop", "hold_queue": True}]}, ["/jobs/0/hold_queue"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "then": "snooze", "retry_in": 0}]}, ["/jobs/0/retry_in"]),
        ("/fail", {"jobs": [{"id": NOBODYS, "fence": 1, "error": GONE}]}, ["/jobs/0/error/kind"]),
    ],
)
async def test_every_fault_is_told_with_its_place(
    site: Site, path: str, body: dict[str, Any], pointers: list[str]
) -> None:
    problem = await call(site, f"/{NOBODYS}{path}" if path else "", body, 422)
    assert problem["code"] == "invalid_request"
    assert [fault["pointer"] for fault in problem["errors"]] == pointers


async def test_what_is_wrong_within_a_report_is_told_by_its_own_rule(site: Site) -> None:
    report = {"jobs": [{"id": NOBODYS, "fence": 1, "retry_in": -5, "error": {"message": "x"}}]}
    (told,) = (await call(site, f"/{NOBODYS}/fail", report, 422))["errors"]
    assert told["detail"] == "must be a number of seconds from 0 to 3153600000"


async def test_a_lease_that_is_not_there_is_gone(site: Site) -> None:
    for path, body in (("", {"lease": NOBODYS, "jobs": [], "wait": 0}), (f"/{NOBODYS}/heartbeat", {"jobs": []})):
        problem = await call(site, path, body, 410)
        assert (problem["code"], problem["lease"]) == ("lease_lost", NOBODYS)
    stale = await call(site, f"/{NOBODYS}/complete", {"jobs": [{"id": NOBODYS, "fence": 1}]})
    assert stale["items"] == [{"id": NOBODYS, "fence": 1, "status": "stale", "outcome": None}]
    assert (await site.http.delete(f"/leases/{NOBODYS}")).json() == {"handed_back": []}
    assert (await site.http.delete("/leases/mine")).json()["detail"] == "This is not the id of a lease."


async def test_a_lease_keeps_what_it_is_for(site: Site) -> None:
    lease = await session(site, "a", "b")
    again = {"lease": lease, "jobs": [], "wait": 0}
    assert (await call(site, "", {**again, "types": ["a"]}, 409))["code"] == "lease_mismatch"
    assert (await call(site, "", {**again, "types": ["b", "a"]}))["lease"] == lease


async def test_leases_and_waits_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_LEASES", 1)
    lease = await session(site)
    answer = await site.http.post("/leases", json={"types": ["a"], "wait": 0})
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    assert "retry-after" in answer.headers
    monkeypatch.setattr(site.app.audience, "connections", 0)
    problem = await call(site, "", {"lease": lease, "jobs": [], "wait": 0}, 503)
    assert problem["code"] == "too_many_listeners"


async def test_bodies_are_bounded() -> None:
    async with open_site(max_body=10_000) as site:
        lease = await session(site)
        long = {"jobs": [{"id": NOBODYS, "fence": 1, "result": "x" * 20_000}]}
        assert (await call(site, f"/{lease}/complete", long))["items"][0]["status"] == "stale"  # holds results
        long["jobs"][0] = {"id": NOBODYS, "fence": 1, "error": {"message": "x" * 20_000}}
        assert (await call(site, f"/{lease}/fail", long, 413))["code"] == "body_too_large"
        huge = b'{"jobs": [{"id": "' + b"x" * 5 * 1024 * 1024
        assert (await site.send(huge, f"/leases/{lease}/complete")).status_code == 413


async def test_a_token_is_asked_for() -> None:
    async with open_site(token="secret") as site:
        for method, path in (
            ("POST", "/leases"),
            ("POST", f"/leases/{NOBODYS}/heartbeat"),
            ("POST", f"/leases/{NOBODYS}/complete"),
            ("POST", f"/leases/{NOBODYS}/fail"),
            ("DELETE", f"/leases/{NOBODYS}"),
            ("GET", "/nodes"),
        ):
            assert (await site.http.request(method, path)).status_code == 401, path


class Away(MemoryStore):
    """Cannot be reached while ``away``."""

    away = False

    async def heartbeat(self, *args: Any, **how: Any) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return await super().heartbeat(*args, **how)

    async def get_many(self, *args: Any, **how: Any) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return await super().get_many(*args, **how)


async def test_without_the_store_every_call_says_so_and_may_be_repeated() -> None:
    store = Away()
    async with open_site(store=store) as site:
        lease = await session(site)
        id = await submit(site)
        (got,) = await taken(site, lease)
        store.away = True
        asked: list[tuple[str, dict[str, Any]]] = [
            ("", {"lease": lease, "jobs": [], "wait": 0}),
            ("/heartbeat", {"jobs": []}),
        ]
        asked += [("/complete", {"jobs": [key(got, result=1)]}), ("/fail", {"jobs": [key(got, then="hand_back")]})]
        for path, body in asked:
            problem = await call(site, f"/{lease}{path}" if path else "", body, 503)
            assert problem["code"] == "store_unavailable"
        store.away = False
        assert await ended(site, f"/{lease}/complete", key(got, result=1)) == [("done", "succeeded")]
        assert (await job(site, id))["result"] == 1


async def test_no_call_takes_another_method(site: Site) -> None:
    for path in ("/leases", f"/leases/{NOBODYS}/complete", "/nodes"):
        assert (await site.http.put(path, json={})).status_code == 405, path
