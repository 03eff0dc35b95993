"""Keys from a request to its end, on every store and index: one job for one thing, and the next when it is done."""

from __future__ import annotations

import httpx2
import pytest
import trio

import tickr
from tests.features.conftest import Client, StartNode

pytestmark = pytest.mark.slow

KEYED = {"type": "sync", "unique": {"key": "customer 42"}}


def gated() -> tuple[tickr.Jobs, trio.Event, list[int]]:
    """Return handlers of which ``sync`` waits for the event, and notes what it was called with."""
    jobs, gate, ran = tickr.Jobs(), trio.Event(), list[int]()

    @jobs.handler("sync")
    async def sync(n: int = 0) -> int:
        ran.append(n)
        await gate.wait()
        return n

    return jobs, gate, ran


async def submit(client: Client, **fields: object) -> httpx2.Response:
    return await client.http.post("/jobs", json={**KEYED, **fields})


async def test_unique_jobs_one_runs_at_a_time_and_the_next_when_it_has_ended(start_node: StartNode) -> None:
    jobs, gate, ran = gated()
    async with start_node(jobs, workers=4) as client:
        first = (await submit(client, payload={"n": 1})).json()["id"]
        await client.until(first, "running")
        held = [await submit(client, payload={"n": 2}) for _ in range(5)]
        assert {(answer.status_code, answer.json()["id"]) for answer in held} == {(200, first)}
        assert {answer.headers["tickr-unique"] for answer in held} == {"held"}
        gate.set()
        await client.until(first, "succeeded")
        again = await submit(client, payload={"n": 3})
        assert again.status_code == 201
        await client.until(again.json()["id"], "succeeded")
        assert ran == [1, 3]


async def test_unique_jobs_of_a_burst_the_last_one_runs(start_node: StartNode) -> None:
    jobs, gate, ran = gated()
    gate.set()
    replace = {"key": "customer 42", "on_conflict": "replace"}
    async with start_node(jobs, workers=4) as client:
        answers = [await submit(client, payload={"n": n}, delay=0.5, unique=replace) for n in range(8)]
        assert {answer.status_code for answer in answers} == {201}
        *others, last = [answer.json()["id"] for answer in answers]
        await client.until(last, "succeeded")
        assert ran == [7]
        assert [(await client.get(one))["error"]["kind"] for one in others] == ["replaced"] * 7


async def test_unique_jobs_two_nodes_know_of_each_others(start_lasting: StartNode) -> None:
    jobs, gate, _ = gated()
    async with start_lasting(jobs, workers=2) as one, start_lasting(jobs, workers=2) as other:
        asked = {"Idempotency-Key": "request-1"}
        first = await one.http.post("/jobs", json=KEYED, headers=asked)
        assert (await submit(other)).json()["id"] == first.json()["id"]
        again = await other.http.post("/jobs", json=KEYED, headers=asked)
        assert (again.status_code, again.content) == (201, first.content)
        gate.set()
        await other.until(first.json()["id"], "succeeded")
        assert (await submit(other)).status_code == 201
