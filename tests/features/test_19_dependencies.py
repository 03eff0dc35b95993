"""Row 19, dependencies: a job waits for others, whichever node runs them, and never for ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import trio

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def steps() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("step")
    async def step(fail: bool = False, seconds: float = 0) -> None:
        await trio.sleep(seconds)
        if fail:
            raise tickr.GiveUp("as it was told")

    return jobs


async def batch(client: Client, *jobs: dict[str, Any], atomic: bool = False) -> list[dict[str, Any]]:
    answer = await client.http.post("/jobs/batch", json={"jobs": jobs, "atomic": atomic})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def a_step(id: str | None = None, *on: str, **fields: Any) -> dict[str, Any]:
    return {"type": "step", "id": id or str(uuid.uuid4()), "depends_on": list(on), **fields}


async def test_a_diamond_runs_in_its_order(start_node: StartNode) -> None:
    async with start_node(steps(), workers=4) as client:
        a, b, c, d = (str(uuid.uuid4()) for _ in range(4))
        diamond = [a_step(d, b, c), a_step(b, a), a_step(c, a), a_step(a, payload={"seconds": 0.2})]
        assert [one["status"] for one in await batch(client, *diamond)] == [201] * 4
        blocked = await client.get(d)
        assert blocked["state"] == "blocked"
        assert blocked["depends_on"] == {"jobs": [b, c], "on_failure": "fail"}
        explained = (await client.http.get(f"/jobs/{d}/explain")).json()
        (reason,) = explained["reasons"]
        assert (reason["code"], {one["id"] for one in reason["jobs"]}) == ("blocked", {b, c})
        done = {id_: await client.until_final(id_) for id_ in (a, b, c, d)}
        assert {job["state"] for job in done.values()} == {"succeeded"}
        assert done[a]["finished_at"] <= min(done[b]["started_at"], done[c]["started_at"])
        assert max(done[b]["finished_at"], done[c]["finished_at"]) <= done[d]["started_at"]
        events = (await client.http.get("/events", params={"after": "earliest", "job": d})).json()["events"]
        assert [event["type"] for event in events] == [
            f"tickr.job.{what}" for what in ("created", "unblocked", "started", "succeeded")
        ]
        assert (await client.post(**a_step(None, a, d)))["state"] == "ready"


async def test_what_depends_on_a_failure_ends_as_it_wished(start_node: StartNode) -> None:
    async with start_node(steps(), workers=4) as client:
        bad = await client.post(type="step", payload={"fail": True, "seconds": 0.1})
        behind = {
            wish: await client.post(type="step", depends_on={"jobs": [bad["id"]], "on_failure": wish})
            for wish in ("fail", "cancel", "run")
        }
        done = {wish: await client.until_final(job["id"]) for wish, job in behind.items()}
        ends = {wish: job["state"] for wish, job in done.items()}
        assert ends == {"fail": "failed", "cancel": "cancelled", "run": "succeeded"}
        assert done["fail"]["error"]["kind"] == done["cancel"]["error"]["kind"] == "dependency_failed"
        late = await client.post(type="step", depends_on=[done["cancel"]["id"]])
        assert (late["state"], late["error"]["kind"]) == ("failed", "dependency_failed")
        again = await client.http.post(f"/jobs/{late['id']}/retry")
        assert again.json()["state"] == "ready"
        assert (await client.until_final(late["id"]))["state"] == "succeeded"


async def test_what_cannot_be_waited_for_is_refused() -> None:
    async with node(steps(), store="memory:", index="heap:") as client:
        missing, one, other = (str(uuid.uuid4()) for _ in range(3))
        answer = await client.http.post("/jobs", json=a_step(None, missing))
        assert (answer.status_code, answer.json()["code"]) == (422, "dependency_missing")
        assert answer.json()["errors"][0]["pointer"] == "/depends_on"
        assert missing in answer.json()["errors"][0]["detail"]
        answer = await client.http.post("/jobs", json=a_step(one, one))
        assert (answer.status_code, answer.json()["code"]) == (422, "dependency_cycle")
        circle = [a_step(one, other), a_step(other, one)]
        results = await batch(client, *circle, a_step(None))
        assert [result["status"] for result in results] == [422, 422, 201]
        answer = await client.http.post("/jobs/batch", json={"jobs": [a_step(None), *circle], "atomic": True})
        assert (answer.status_code, answer.json()["code"]) == (422, "dependency_cycle")
        assert answer.json()["errors"][0]["pointer"] in ("/jobs/1/depends_on", "/jobs/2/depends_on")
        for wrong in ("x", ["x"], {"jobs": [one], "on_failure": "maybe"}, {"on_failure": "fail"}, [one] * 101):
            answer = await client.http.post("/jobs", json={"type": "step", "depends_on": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), wrong


# -- real processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=store, index=index, workers=4)) for _ in range(2)]


async def test_a_graph_goes_on_when_a_node_is_killed_in_the_middle_of_it(pair: list[TickrProcess]) -> None:
    """Ten chains of six jobs and one behind all of them; the node that took them is killed and does not come back."""

    def link(id_: str, *on: str) -> dict[str, Any]:
        return {
            "type": "report",
            "id": id_,
            "payload": {"time": 0.1},
            "depends_on": list(on),
            "labels": {"by": "chain"},
        }

    ids = [[str(uuid.uuid4()) for _ in range(6)] for _ in range(10)]
    jobs = [link(id_, *chain[at : at + 1]) for chain in ids for at, id_ in enumerate(chain[1:])]
    jobs += [link(chain[0]) for chain in ids] + [link(last := str(uuid.uuid4()), *(chain[-1] for chain in ids))]
    doomed, other = pair

    def count(state: str) -> int:
        found = httpx2.get(f"{other.url}/jobs", params={"limit": 200, "label": "by=chain"}).json()["items"]
        return sum(job["state"] == state for job in found)

    answer = httpx2.post(f"{doomed.url}/jobs/batch", json={"jobs": jobs}, timeout=10)
    assert {one["status"] for one in answer.json()["results"]} == {201}

    async def in_the_middle() -> bool:
        return count("succeeded") >= 10 and count("blocked") >= 10

    await eventually(in_the_middle)
    doomed.kill()

    async def done() -> bool:
        return count("succeeded") == len(jobs)

    await eventually(done, within_s=45)
    events = httpx2.get(f"{other.url}/events", params={"after": "earliest", "job": last}).json()["events"]
    assert [event["type"].rpartition(".")[2] for event in events][:2] == ["created", "unblocked"]
