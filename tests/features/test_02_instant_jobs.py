"""Row 2, instant jobs: index, one claim loop, worker pool through memory channels."""

from __future__ import annotations

import trio

import tickr
from tests.features.conftest import StartNode


async def test_instant_jobs_run_at_once_and_their_results_are_stored(start_node: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("add")
    async def add(job: tickr.Job, a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    async with start_node(jobs) as client:
        ids = [(await client.post(type="add", payload={"a": n, "b": 1}))["id"] for n in range(20)]
        done = [await client.until_final(job_id) for job_id in ids]
    assert [job["state"] for job in done] == ["succeeded"] * 20
    assert [job["result"]["sum"] for job in done] == list(range(1, 21))
    assert {job["attempt"] for job in done} == {1}


async def test_instant_jobs_of_plain_functions_run_in_threads(start_node: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("plain")
    def plain(job: tickr.Job, word: str) -> str:
        return word.upper()

    async with start_node(jobs) as client:
        job = await client.post(type="plain", payload={"word": "tick"})
        assert (await client.until_final(job["id"]))["result"] == "TICK"


async def test_instant_jobs_run_by_priority_then_age_in_any_queue(start_node: StartNode) -> None:
    jobs, order, gate = tickr.Jobs(), list[str](), trio.Event()

    @jobs.handler("note")
    async def note(job: tickr.Job, name: str) -> None:
        if name == "first":
            await gate.wait()
        order.append(name)

    async with start_node(jobs, workers=1) as client:
        first = await client.post(type="note", payload={"name": "first"})
        await client.until(first["id"], "running")
        posted = [
            await client.post(type="note", payload={"name": name}, priority=priority)
            for name, priority in [("low", 9), ("old", 5), ("young", 5), ("urgent", 0)]
        ]
        other = await client.post(type="note", payload={"name": "elsewhere"}, queue="mail")
        gate.set()
        for job in [*posted, other]:
            await client.until_final(job["id"])
    assert [name for name in order if name != "elsewhere"] == ["first", "urgent", "old", "young", "low"]
    assert "elsewhere" in order


async def test_a_type_without_a_handler_waits_and_says_so(start_node: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("thumbnail")
    async def thumbnail(job: tickr.Job) -> None: ...

    async with start_node(jobs) as client:
        job = await client.post(type="thumbnial")
        known = await client.post(type="thumbnail")
        await client.until_final(known["id"])
        seen = await client.get(job["id"])
        assert seen["state"] == "ready"
        assert "thumbnial" in seen["notice"]
        assert '"thumbnail"' in seen["notice"]
