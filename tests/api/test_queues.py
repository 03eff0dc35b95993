"""Queues over HTTP: how they stand, what is set on them, and why a job is not running."""

from __future__ import annotations

import pytest

from tests.api.site import Site, open_site
from tests.api.test_jobs import NODE, UNKNOWN, Clock, create, start
from tickr.jobs import Failure
from tickr.queues import Limits, Rate
from tickr.reports import Outcome
from tickr.store.contract import Node
from tickr.store.memory import MemoryStore

LIMITS = {"max_running": 10, "max_running_per_key": 2, "rate": {"starts": 100, "period": 60.0}, "shared_keys": True}
NO_LIMITS = dict.fromkeys(LIMITS) | {"shared_keys": False}


async def node(site: Site, *, types: tuple[str, ...] = ("a",), queues: tuple[str, ...] = ()) -> None:
    await site.store.register(
        Node(id=NODE, host="h", pid=1, version="1", types=types, slots=9, queues=queues), lease_s=600
    )


async def explained(site: Site, job_id: str) -> dict[str, object]:
    answer = await site.http.get(f"/jobs/{job_id}/explain")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def codes(site: Site, job_id: str) -> list[str]:
    return [reason["code"] for reason in (await explained(site, job_id))["reasons"]]  # type: ignore[attr-defined]


async def test_a_queue_shows_what_is_set_on_it(site: Site) -> None:
    await create(site, queue="mail")
    answer = await site.http.put("/queues/mail", json=LIMITS)
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "mail", "ready": 1, "scheduled": 0, "retrying": 0, "running": 0,
        "oldest_due_at": answer.json()["oldest_due_at"], "paused": False, "paused_until": None,
        **LIMITS, "order": "oldest", "counted_to": 100_000,
    }  # fmt: skip
    assert (await site.http.get("/queues/mail")).json() == answer.json()
    paused = await site.http.post("/queues/mail/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["max_running"]) == (200, True, 10)
    assert (await site.http.post("/queues/mail/pause")).json() == paused.json()
    resumed = await site.http.post("/queues/mail/resume", json={})
    assert resumed.json() == answer.json()
    lifted = await site.http.put("/queues/mail", json={"rate": None})
    assert {name: lifted.json()[name] for name in LIMITS} == NO_LIMITS
    assert await site.store.standings() == []


async def test_an_order_is_set_beside_the_limits(site: Site) -> None:
    await create(site, queue="mail")
    limited = (await site.http.put("/queues/mail", json=LIMITS)).json()
    answer = await site.http.put("/queues/mail/order", json={"order": "newest"})
    assert (answer.status_code, answer.json()) == (200, limited | {"order": "newest"})
    lifted = (await site.http.put("/queues/mail", json={})).json()
    assert (lifted["order"], lifted["max_running"]) == ("newest", None), "which is no limit"
    assert (await site.http.put("/queues/mail/order", json={"order": "oldest"})).json()["order"] == "oldest"
    assert await site.store.standings() == []
    told = (await site.http.get("/events?after=earliest&event=queue.changed")).json()["events"]
    assert [event["data"]["queue"].get("order", "oldest") for event in told] == ["oldest", "newest", "newest", "oldest"]


@pytest.mark.parametrize(
    "body", [{}, {"order": "lifo"}, {"order": None}, {"order": 1}, {"order": "newest", "more": 1}, []]
)
async def test_an_order_that_is_none_is_refused(site: Site, body: object) -> None:
    answer = await site.http.put("/queues/mail/order", json=body)
    assert answer.status_code == 422
    assert (await site.http.put("/queues/no%20name/order", json={"order": "newest"})).status_code == 400
    assert await site.store.standings() == []


async def test_what_is_explained_goes_by_the_order(site: Site) -> None:
    jobs = [await create(site, type="nobody", queue="mail", run_at=f"2020-01-01T00:00:0{n}Z") for n in range(4)]

    async def ahead(at: int) -> int:
        return (await site.http.get(f"/jobs/{jobs[at]}/explain")).json()["ahead"]

    assert [await ahead(n) for n in range(4)] == [0, 1, 2, 3]
    await site.http.put("/queues/mail/order", json={"order": "newest"})
    assert [await ahead(n) for n in range(4)] == [3, 2, 1, 0]


async def test_all_queues_are_paused_with_one_call(site: Site) -> None:
    await create(site, queue="mail")
    await site.http.put("/queues/other", json={"max_running": 3})
    answer = await site.http.post("/queues/*/pause")
    assert {queue["name"]: queue["paused"] for queue in answer.json()["items"]} == {"mail": True, "other": True}
    assert {standing.name for standing in await site.store.standings() if standing.controls.paused} == {"mail", "other"}
    answer = await site.http.post("/queues/*/resume")
    assert answer.json() == (await site.http.get("/queues")).json()
    assert [standing.name for standing in await site.store.standings()] == ["other"]
    assert (await site.http.put("/queues/*", json={})).status_code == 400


async def test_what_is_left_out_is_no_limit(site: Site) -> None:
    await site.http.put("/queues/q", json=LIMITS)
    await site.http.put("/queues/q", json={"rate": {"starts": 1, "period": 0.5}})
    (standing,) = await site.store.standings()
    assert standing.controls.limits == Limits(rate=Rate(1, 500_000))


async def test_a_queue_may_be_set_before_its_first_job(site: Site) -> None:
    assert (await site.http.post("/queues/new/pause")).json()["paused"] is True
    assert [queue["name"] for queue in (await site.http.get("/queues")).json()["items"]] == ["new"]
    unknown = await site.http.get("/queues/unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "queue_not_found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"max_running": 0}, "/max_running"),
        ({"max_running": 1.5}, "/max_running"),
        ({"max_running_per_key": "2"}, "/max_running_per_key"),
        ({"rate": 5}, "/rate"),
        ({"shared_keys": "yes"}, "/shared_keys"),
        ({"rate": {"starts": 1}}, "/rate"),
        ({"rate": {"starts": 0, "period": 1}}, "/rate/starts"),
        ({"rate": {"starts": 1, "period": 0}}, "/rate/period"),
        ({"rate": {"starts": 1, "period": 86_401}}, "/rate/period"),
        ({"rate": {"starts": 1, "period": 1, "burst": 2}}, "/rate"),
        ({"max_runing": 1}, "/max_runing"),
        ([], ""),
    ],
)
async def test_limits_that_are_none_are_refused_with_their_place(site: Site, body: object, pointer: str) -> None:
    answer = await site.http.put("/queues/q", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await site.store.queue_names() == []


async def test_other_requests_about_queues_are_refused_in_words(site: Site) -> None:
    for method, path, status in (
        ("GET", "/queues/a%20b", 400),
        ("PUT", "/queues/-x", 400),
        ("POST", "/queues/q/pause?now=1", 400),
        ("PATCH", "/queues/q", 405),
        ("POST", "/queues/q/stop", 404),
    ):
        answer = await site.http.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
    assert (await site.http.post("/queues/q/pause", json={"until": 5})).status_code == 422
    assert (await site.http.put("/queues/q", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415


async def test_a_job_keeps_and_shows_its_limit_key(site: Site) -> None:
    job_id = await create(site, limit_key="customer/42")
    assert (await site.http.get(f"/jobs/{job_id}")).json()["limit_key"] == "customer/42"
    assert (await site.post(type="a")).json()["limit_key"] is None
    for key in ("", "two words", "ü", "k" * 129, 5):
        answer = await site.post(type="a", limit_key=key)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/limit_key")
    other = await site.post(type="a", id=job_id, limit_key="customer/43")
    assert (other.status_code, other.json()["code"]) == (409, "duplicate_job")


# -- why is it not running ------------------------------------------------------------------------------------------


async def test_no_node_takes_its_type_or_its_queue(site: Site) -> None:
    job_id = await create(site, type="thumbnail")
    assert await codes(site, job_id) == ["no_node_for_type"]
    await node(site, types=("thumbnails",))
    told = await explained(site, job_id)
    assert 'Did you mean "thumbnails"?' in str(told["reasons"])
    assert (told["state"], told["ahead"], told["estimated_start"]) == ("ready", 0, None)
    await node(site, types=("thumbnail",), queues=("mail", "other"))
    assert await codes(site, job_id) == ["no_node_for_queue"]
    notice = (await site.http.get(f"/jobs/{job_id}")).json()["notice"]
    assert "takes jobs of the queue" in notice
    assert "Did you mean" not in notice
    await node(site, types=("thumbnail",), queues=("mail", "defualt"))
    assert (await site.http.get(f"/jobs/{job_id}")).json()["notice"].endswith('Did you mean "defualt"?')


async def test_it_is_not_due_or_retrying() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        job_id = await create(site, delay=60)
        await node(site)
        told = await explained(site, job_id)
        (reason,) = told["reasons"]  # type: ignore[misc]
        assert (told["state"], reason["code"]) == ("scheduled", "not_due")
        assert reason["until"] == told["estimated_start"] == (await site.http.get(f"/jobs/{job_id}")).json()["run_at"]
        clock.now += 60_000_000
        (job,) = await start(site, job_id)
        oops = Failure("exception", "no")
        await site.store.finish([Outcome(job=job, kind="retried", failure=oops, delay_us=5_000_000)])
        told = await explained(site, job_id)
        assert [reason["code"] for reason in told["reasons"]] == ["not_due"]  # type: ignore[attr-defined]
        assert "tried again" in str(told["reasons"])


async def test_its_queue_is_paused_or_a_limit_is_reached_and_which() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        await node(site)
        first, job_id = await create(site, limit_key="acme"), await create(site, limit_key="acme")
        await site.http.put("/queues/default", json={"max_running": 1})
        await start(site, first)
        assert await codes(site, job_id) == ["max_running", "next"]
        await site.http.put("/queues/default", json={"max_running_per_key": 1})
        assert await codes(site, job_id) == ["max_running_per_key", "next"]
        told = await explained(site, job_id)
        assert '1 job with the key "acme" runs, and 1 may' in str(told)
        assert (told["ahead"], told["estimated_start"]) == (0, None), "nobody knows when that one ends"
        await site.http.put("/queues/default", json={"rate": {"starts": 1, "period": 60}})
        third = await create(site, run_at="2020-01-01T00:00:00Z")
        await start(site, third)
        told = await explained(site, job_id)
        (reason, _) = told["reasons"]  # type: ignore[misc]
        assert (reason["code"], reason["until"]) == ("rate", "2030-03-17T17:47:41.000000Z")
        assert told["estimated_start"] == reason["until"]
        await site.http.post("/queues/default/pause")
        assert await codes(site, job_id) == ["paused"]
        assert "/queues/default/resume" in str(await explained(site, job_id))


async def test_how_many_come_before_it_and_when_it_may_start() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        await node(site)
        ids = []
        for _ in range(30):
            ids.append(await create(site))
            clock.now += 1
        told = await explained(site, ids[-1])
        assert [reason["code"] for reason in told["reasons"]] == ["backlog"]  # type: ignore[attr-defined]
        assert (told["ahead"], told["estimated_start"]) == (29, None)
        for job_id in ids[:10]:
            await start(site, job_id)
            clock.now += 1_000_000
        told = await explained(site, ids[-1])
        assert (told["ahead"], told["estimated_start"]) == (19, "2030-03-17T17:47:09.000030Z")
        told = await explained(site, ids[10])
        assert [reason["code"] for reason in told["reasons"]] == ["next"]  # type: ignore[attr-defined]
        assert "9 slots" in str(told["reasons"])


async def test_it_runs_has_ended_or_is_not_there(site: Site) -> None:
    job_id = await create(site)
    (job,) = await start(site, job_id)
    assert await codes(site, job_id) == ["running"]
    assert NODE in str(await explained(site, job_id))
    await site.http.post(f"/jobs/{job_id}/cancel")
    assert "asked to stop" in str(await explained(site, job_id))
    await site.store.finish([Outcome(job=job, kind="succeeded")])
    told = await explained(site, job_id)
    assert [reason["code"] for reason in told["reasons"]] == ["final"]  # type: ignore[attr-defined]
    assert (told["ahead"], told["estimated_start"]) == (None, None)
    assert (await site.http.get(f"/jobs/{UNKNOWN}/explain")).status_code == 404
    assert (await site.http.get("/jobs/nonsense/explain")).status_code == 400


async def test_a_suspect_is_told_of() -> None:
    store = MemoryStore()
    async with open_site(store=store) as site:
        job_id = await create(site)
        for _ in range(2):
            await start(site, job_id)
            await store.deregister(NODE)
            await store.reap(10)
        await node(site)
        assert await codes(site, job_id) == ["suspect", "next"]


# -- which one was meant ----------------------------------------------------------------------------------------------


async def test_a_queue_or_a_schedule_that_is_not_there_is_told_with_the_near_one(site: Site) -> None:
    await create(site, queue="imports")
    problem = (await site.http.get("/queues/imprts")).json()
    assert (problem["code"], problem["queue"]) == ("queue_not_found", "imprts")
    assert problem["detail"].endswith('Did you mean "imports"?')
    assert "Did you mean" not in (await site.http.get("/queues/other")).json()["detail"]
    job = {"every": 60, "job": {"type": "a"}}
    assert (await site.http.put("/schedules/nightly", json=job)).status_code == 201
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")):
        problem = (await site.http.request(method, f"/schedules/nigtly{path}")).json()
        assert (problem["code"], problem["schedule"]) == ("schedule_not_found", "nigtly")
        assert problem["detail"] == 'There is no schedule nigtly. Did you mean "nightly"?'
