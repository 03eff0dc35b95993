"""Row 3, delayed jobs: a sorted set by due time; the scheduler sleeps until the next one, an earlier one wakes it."""

from __future__ import annotations

import statistics
import uuid
from datetime import datetime

import tickr
from tests.features.conftest import StartNode
from tickr.jobs import NewJob
from tickr.store.open import open_store

HOUR_US = 3_600_000_000
LATE_S = 1.0
"""How late a start may be on a busy machine; far below the nets (a poll of 1 s or more would show)."""


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def noop() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("noop")
    async def run(job: tickr.Job) -> None: ...

    return jobs


async def test_delayed_jobs_start_when_due_and_never_early(start_node: StartNode) -> None:
    async with start_node(noop()) as client:
        jobs = [await client.post(type="noop", delay=delay) for delay in (0.6, 0.2, 0.4)]
        assert [job["state"] for job in jobs] == ["scheduled"] * 3
        done = [await client.until_final(job["id"]) for job in jobs]
    for job in done:
        assert 0 <= instant(job["started_at"]) - instant(job["run_at"]) < LATE_S


async def test_delayed_jobs_an_earlier_one_wakes_the_sleeping_scheduler(start_node: StartNode) -> None:
    async with start_node(noop()) as client:
        far = await client.post(type="noop", delay=3600)
        near = await client.until_final((await client.post(type="noop", delay=0.3))["id"])
        assert 0 <= instant(near["started_at"]) - instant(near["run_at"]) < LATE_S
        assert (await client.get(far["id"]))["state"] == "scheduled"


async def test_delayed_jobs_an_earlier_one_from_another_process_wakes_it_too(
    start_lasting: StartNode, index_url: str
) -> None:
    async with start_lasting(noop()) as worker, start_lasting(roles=("api",)) as front:
        await front.post(type="noop", delay=3600)
        job = await worker.until_final((await front.post(type="noop", delay=0.3))["id"])
        late = instant(job["started_at"]) - instant(job["run_at"])
        # Without a shared index nobody tells the worker's process: its audit finds the job.
        assert 0 <= late < (4 * LATE_S if index_url == "heap:" else LATE_S)


async def test_delayed_jobs_run_on_a_worker_whose_scheduler_is_another_process(start_lasting: StartNode) -> None:
    async with start_lasting(noop(), roles=("api", "worker")) as worker, start_lasting(roles=("scheduler",)):
        job = await worker.until_final((await worker.post(type="noop", delay=0.2))["id"])
        assert 0 <= instant(job["started_at"]) - instant(job["run_at"]) < LATE_S


async def test_delayed_jobs_run_at_an_instant(start_node: StartNode) -> None:
    async with start_node(noop()) as client:
        past = await client.post(type="noop", run_at="2001-02-03T04:05:06+01:00")
        assert past["run_at"] == "2001-02-03T03:05:06.000000Z"
        assert (await client.until_final(past["id"]))["state"] == "succeeded"


async def test_delayed_jobs_100_000_of_them_do_not_hold_up_an_instant_one(
    start_lasting: StartNode, lasting_store_url: str
) -> None:
    """`python -m bench latency --backlog 100000` has the figures; here it is told from a wait for a poll or a scan."""
    async with open_store(lasting_store_url) as store:
        for _ in range(100):
            await store.insert([NewJob(id=str(uuid.uuid4()), type="noop", delay_us=HOUR_US) for _ in range(1000)])
    async with start_lasting(noop()) as client:
        await client.until_final((await client.post(type="noop"))["id"])
        waits = []
        for _ in range(21):
            job = await client.until_final((await client.post(type="noop"))["id"])
            waits.append(instant(job["started_at"]) - instant(job["created_at"]))
        assert statistics.median(waits) < 0.1
        assert (await client.http.get("/queues")).json()["items"][0]["scheduled"] == 100_000
