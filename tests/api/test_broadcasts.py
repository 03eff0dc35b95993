"""``POST /broadcasts``: which nodes are meant, what may be said, and what is shown of jobs that wait for one node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.api.test_jobs import NODE
from tests.api.test_queues import codes, explained
from tickr.store.contract import Node
from tickr.store.orders import REMOTE

OTHER = "22222222-2222-7222-8222-222222222222"
THIRD = "33333333-3333-7333-8333-333333333333"
ID = "01a20400-0000-7000-8000-0000000000bb"


async def node(site: Site, node_id: str, *types: str, **fields: Any) -> None:
    about = {"host": "h", "pid": 1, "version": "1", "slots": 9, **fields}
    await site.store.register(Node(id=node_id, types=types, **about), lease_s=600)


async def broadcast(site: Site, **body: Any) -> dict[str, Any]:
    answer = await site.http.post("/broadcasts", json={"type": "a", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_job_for_each_live_node_that_handles_the_type(site: Site) -> None:
    await node(site, NODE, "a", "b", queues=("special",), quiet=True)
    await node(site, OTHER, "b")
    await node(site, THIRD, "a", roles=(REMOTE,))
    await node(site, ID, "a", stopping=True)
    told = await broadcast(site, payload={"x": 1}, priority=2, labels={"why": "test"})
    (job,) = told["items"]
    assert (job["queue"], job["payload"], job["priority"], job["labels"]) == (f"@{NODE}", {"x": 1}, 2, {"why": "test"})
    assert job["state"] == "ready"
    assert (await site.http.get(f"/jobs/{job['id']}")).json()["queue"] == job["queue"]
    assert (await broadcast(site, type="unknown"))["items"] == []
    assert [one["queue"] for one in (await broadcast(site, type="b"))["items"]] == [f"@{NODE}", f"@{OTHER}"]


async def test_the_same_again_is_the_same_jobs(site: Site) -> None:
    await node(site, NODE, "a")
    first = await broadcast(site, id=ID, payload={"x": 1})
    assert first["id"] == ID
    await node(site, OTHER, "a")
    again = await broadcast(site, id=ID.upper(), payload={"x": 1})
    assert again["items"][0]["id"] == first["items"][0]["id"]
    assert len(again["items"]) == 2, "a node that came meanwhile is told, too"
    differs = await site.http.post("/broadcasts", json={"type": "a", "id": ID, "payload": {"x": 2}})
    assert (differs.status_code, differs.json()["code"]) == (409, "duplicate_job")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/type"]),
        ({"type": "a", "queue": "q", "unique": {"key": "k"}, "depends_on": [], "limit_key": "c", "sequence": "s"},
         ["/queue", "/limit_key", "/unique", "/depends_on", "/sequence"]),
        ({"type": "a", "priority": 11}, ["/priority"]),
        ({"type": "a", "nodes": 3}, ["/nodes"]),
    ],
)  # fmt: skip
async def test_bad_bodies_are_told_apart(site: Site, body: Any, pointers: list[str]) -> None:
    await node(site, NODE, "a")
    answer = await site.http.post("/broadcasts", json=body)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (422, pointers)
    assert (await site.http.get("/jobs")).json()["items"] == []


async def test_nobody_submits_to_a_node_by_name_and_its_queue_is_not_listed(site: Site) -> None:
    await node(site, NODE, "a")
    await broadcast(site)
    refused = await site.http.post("/jobs", json={"type": "a", "queue": f"@{NODE}"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/queue")
    assert (await site.http.post(f"/queues/@{NODE}/pause")).status_code == 400
    assert (await site.http.post("/queues/*/pause")).json()["items"] == []
    assert (await site.http.get("/queues")).json()["items"] == []
    assert await site.store.standings() == []


async def test_it_is_explained_for_whom_it_waits(site: Site) -> None:
    await node(site, NODE, "a", queues=("special",))
    await node(site, OTHER, "b")
    (job,) = (await broadcast(site))["items"]
    told = await explained(site, job["id"])
    assert [reason["code"] for reason in told["reasons"]] == ["one_node", "next"]  # type: ignore[attr-defined]
    assert NODE in told["reasons"][0]["detail"]  # type: ignore[index]
    await node(site, NODE, "a", quiet=True)
    assert await codes(site, job["id"]) == ["nodes_quiet", "one_node"]
    await site.store.deregister(NODE)
    assert await codes(site, job["id"]) == ["node_gone", "one_node"]
    await site.store.reap(10)
    assert await codes(site, job["id"]) == ["final"]
    ended = (await site.http.get(f"/jobs/{job['id']}")).json()
    assert (ended["state"], ended["error"]["kind"]) == ("cancelled", "node_gone")
