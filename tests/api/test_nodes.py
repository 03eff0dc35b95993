"""Nodes over HTTP: which are there, what each runs, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.test_jobs import Clock, create
from tickr.api.nodes import SHOWN_IN_LIST
from tickr.jobs import Job
from tickr.store.contract import COUNT_TO, Node
from tickr.store.memory import MemoryStore
from tickr.store.orders import MAX_SLOTS, Order

MINE, OTHER, GONE = (f"0190a5c3-0000-7000-8000-00000000000{n}" for n in "123")


class Own:
    """The node that answers."""

    about = Node(id=MINE, host="alpha", pid=11, version="9", roles=("api",))

    def __init__(self) -> None:
        self.runs: list[tuple[Job, str]] = []

    def stacks(self) -> list[tuple[Job, str]]:
        return self.runs


async def join(site: Site, node_id: str = MINE, **fields: Any) -> None:
    known: dict[str, Any] = {"roles": ("api", "worker"), "types": ("mail", "a"), "slots": 3} | fields
    await site.store.register(Node(id=node_id, host="alpha", pid=11, version="9", **known), lease_s=15)


async def run_some(site: Site, node_id: str, count: int) -> list[Job]:
    for _ in range(count):
        await create(site, type="mail")
    due = [entry.id for entry in await site.store.due(count)]
    return await site.store.claim(due, node=node_id, types={"mail"})


async def test_a_node_is_shown_with_what_it_runs() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock), own=Own()) as site:
        await join(site)
        (job,) = await run_some(site, MINE, 1)
        await site.store.cancel(job.id)
        clock.now += 2_000_000
        answer = await site.http.get(f"/nodes/{MINE}")
        assert answer.status_code == 200
        assert answer.json() == {
            "id": MINE, "kind": "node", "name": "alpha", "pid": 11, "version": "9",
            "roles": ["api", "worker"], "types": ["a", "mail"],
            "queues": [], "slots": 3, "state": "running", "obeyed": True,
            "started_at": answer.json()["started_at"], "lease": 15.0, "lease_age": 2.0, "running": 1,
            "jobs": [{"id": job.id, "type": "mail", "queue": "default", "attempt": 1,
                      "since": answer.json()["jobs"][0]["since"], "cancelling": True}],
        }  # fmt: skip
        assert answer.json()["jobs"][0]["since"].endswith("Z")
        assert (await site.http.get("/nodes/self")).json() == answer.json()
        assert (await site.http.get(f"/nodes/{MINE.upper()}")).json() == answer.json()


async def test_the_list_has_all_nodes_and_who_answers_and_what_is_lost() -> None:
    async with open_site(own=Own()) as site:
        await join(site)
        await join(site, OTHER, queues=("mail",), roles=("worker",))
        await join(site, GONE)
        await run_some(site, OTHER, SHOWN_IN_LIST + 5)
        await run_some(site, GONE, 2)
        await site.store.deregister(GONE)
        fleet = (await site.http.get("/nodes")).json()
        assert (fleet["here"], fleet["lost"], fleet["counted_to"]) == (MINE, 2, COUNT_TO)
        assert [(node["id"], node["running"], len(node["jobs"])) for node in fleet["items"]] == [
            (MINE, 0, 0),
            (OTHER, SHOWN_IN_LIST + 5, SHOWN_IN_LIST),
        ]
        assert fleet["items"][1]["queues"] == ["mail"]
        assert len((await site.http.get(f"/nodes/{OTHER}")).json()["jobs"]) == SHOWN_IN_LIST + 5


async def test_any_node_is_told_by_any_other_and_the_answer_says_whether_it_has_heard() -> None:
    async with open_site(own=Own()) as site:
        await join(site, OTHER)
        quiet = await site.http.post(f"/nodes/{OTHER}/quiet")
        assert (quiet.status_code, quiet.json()["state"], quiet.json()["obeyed"]) == (202, "quiet", False)
        await site.store.order_node(OTHER, Order(obeyed=1))
        again = await site.http.post(f"/nodes/{OTHER}/quiet", json={})
        assert (again.status_code, again.json()["state"], again.json()["obeyed"]) == (200, "quiet", True)
        resumed = await site.http.post(f"/nodes/{OTHER}/resume")
        assert (resumed.status_code, resumed.json()["state"]) == (202, "running")
        more = await site.http.patch(f"/nodes/{OTHER}", json={"slots": 50})
        assert (more.status_code, more.json()["slots"]) == (202, 50)
        stopping = await site.http.post(f"/nodes/{OTHER}/stop")
        assert (stopping.status_code, stopping.json()["state"]) == (202, "stopping")
        told = (await site.http.get("/events?after=earliest")).json()["events"]
        assert [(event["type"], event["subject"], event["data"]["node"]["state"]) for event in told] == [
            ("tickr.node.quieted", OTHER, "quiet"),
            ("tickr.node.resumed", OTHER, "running"),
            ("tickr.node.changed", OTHER, "running"),
            ("tickr.node.stopping", OTHER, "stopping"),
        ]
        assert [event["id"] for event in told] == [f"node/{OTHER}/{n}" for n in range(1, 5)]


@pytest.mark.parametrize("path", ["", "/quiet", "/resume", "/stop"])
async def test_who_is_not_there_is_not_found(site: Site, path: str) -> None:
    for node_id in (GONE, "x", "self", "%20", "a" * 300):
        answer = await (site.http.post(f"/nodes/{node_id}{path}") if path else site.http.get(f"/nodes/{node_id}"))
        assert (answer.status_code, answer.json()["code"]) == (404, "node_not_found"), node_id
    answer = await site.http.patch(f"/nodes/{GONE}", json={"slots": 1})
    assert answer.status_code == 404


async def test_a_node_without_workers_can_only_be_stopped(site: Site) -> None:
    await join(site, roles=("api",), types=(), slots=0)
    for answer in (
        await site.http.post(f"/nodes/{MINE}/quiet"),
        await site.http.patch(f"/nodes/{MINE}", json={"slots": 1}),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["node"]) == (409, "takes_no_orders", MINE)
    assert (await site.http.post(f"/nodes/{MINE}/stop")).status_code == 202


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"slots": 0}, "/slots"),
        ({"slots": MAX_SLOTS + 1}, "/slots"),
        ({"slots": 2.5}, "/slots"),
        ({"slots": None}, "/slots"),
        ({}, "/slots"),
        ({"slots": 1, "quiet": True}, "/quiet"),
        ([], ""),
    ],
)
async def test_what_is_no_number_of_workers_is_refused_with_its_place(site: Site, body: object, pointer: str) -> None:
    await join(site)
    answer = await site.http.patch(f"/nodes/{MINE}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert [node.changed for node in await site.store.nodes()] == [0]


async def test_other_requests_about_nodes_are_refused_in_words(site: Site) -> None:
    await join(site)
    for method, path, code in (
        ("GET", "/nodes?state=quiet", "invalid_parameter"),
        ("GET", f"/nodes/{MINE}?x=1", "invalid_parameter"),
        ("POST", f"/nodes/{MINE}/quiet?x=1", "invalid_parameter"),
        ("DELETE", f"/nodes/{MINE}", "method_not_allowed"),
    ):
        answer = await site.http.request(method, path)
        assert answer.json()["code"] == code, (method, path)
    answer = await site.http.post(f"/nodes/{MINE}/quiet", json={"for": 5})
    assert answer.status_code == 422


async def test_a_quiet_node_is_why_a_job_does_not_run(site: Site) -> None:
    await join(site)
    await join(site, OTHER, types=("other",))
    job = await create(site, type="a")

    async def reasons() -> list[dict[str, str]]:
        found: list[dict[str, str]] = (await site.http.get(f"/jobs/{job}/explain")).json()["reasons"]
        return found

    assert [reason["code"] for reason in await reasons()] == ["next"]
    await site.http.post(f"/nodes/{MINE}/quiet")
    (reason,) = await reasons()
    assert reason["code"] == "nodes_quiet"
    assert f"{MINE} (quiet)" in reason["detail"]
    assert "3 slots" not in reason["detail"]
    await join(site, GONE)
    assert [reason["code"] for reason in await reasons()] == ["next"], "another one takes it"
    await site.http.post(f"/nodes/{GONE}/stop")
    (reason,) = await reasons()
    assert f"{GONE} (stopping)" in reason["detail"]
    await site.http.post(f"/nodes/{MINE}/resume")
    assert [reason["code"] for reason in await reasons()] == ["next"]


async def test_a_silent_node_is_why_a_job_that_is_running_may_not_run() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock), own=Own()) as site:
        await join(site, OTHER)
        (job,) = await run_some(site, OTHER, 1)

        async def told() -> list[tuple[str, str | None]]:
            found = (await site.http.get(f"/jobs/{job.id}/explain")).json()["reasons"]
            return [(reason["code"], reason.get("until")) for reason in found]

        clock.now += 7_000_000
        assert await told() == [("running", None)], "it has missed one heartbeat at most"
        clock.now += 1_000_000
        back = "2030-03-17T17:46:55.000000Z"
        assert await told() == [("node_silent", back), ("running", None)]
        first = (await site.http.get(f"/jobs/{job.id}/explain")).json()["reasons"][0]
        assert f"{OTHER}, which runs it, was last heard of 8 s ago" in first["detail"]
        await site.store.heartbeat(OTHER, lease_s=15)
        assert await told() == [("running", None)]
        await site.store.deregister(OTHER)
        assert await told() == [("node_silent", None), ("running", None)]


async def test_only_a_node_itself_tells_where_its_handlers_stand() -> None:
    own = Own()
    async with open_site(own=own) as site:
        await join(site)
        await join(site, OTHER)
        one, two = await run_some(site, MINE, 2)
        own.runs = [(one, "File x, line 1"), (two, "")]
        found = (await site.http.get("/nodes/self/stacks")).json()["items"]
        assert [(job["id"], job["type"], job["attempt"], job["stack"]) for job in found] == [
            (one.id, "mail", 1, "File x, line 1"),
            (two.id, "mail", 1, None),
        ]
        assert (await site.http.get(f"/nodes/{MINE}/stacks")).json()["items"] == found
        other = await site.http.get(f"/nodes/{OTHER}/stacks")
        assert (other.status_code, other.json()["code"], other.json()["node"]) == (409, "not_this_node", MINE)
        assert (await site.http.get(f"/nodes/{GONE}/stacks")).status_code == 404
