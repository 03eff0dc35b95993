"""Batches in virtual time: whole lives of jobs that share the calls of their handler."""

from __future__ import annotations

from collections import Counter

import trio
from trio.testing import MockClock

import tickr
from tickr.testing import App, running

jobs = tickr.Jobs()
calls: list[list[int]] = []


@jobs.handler(
    "index", batch=tickr.Batch(size=10, within=0.5), backoff=tickr.Backoff(kind="constant", base=60, jitter=0)
)
async def index(batch: list[tickr.Job]) -> list[object]:
    calls.append(sorted(job.payload["n"] for job in batch))
    await trio.sleep(10)  # virtual
    return [ValueError("odd") if job.payload["n"] % 2 and job.attempt == 1 else job.payload["n"] for job in batch]


async def submit(app: App, count: int) -> list[str]:
    calls.clear()
    return [await app.submit("index", {"n": n}) for n in range(count)]


@running(jobs)
async def test_those_that_have_failed_come_again_together(app: App) -> None:
    ids = await submit(app, 10)
    await app.drained()
    assert [await app.result(id_) for id_ in ids] == list(range(10))
    assert [app.job(id_).attempt for id_ in ids] == [1, 2] * 5
    assert sorted(n for call in calls for n in call) == sorted([*range(10), 1, 3, 5, 7, 9])
    assert len(calls) <= 4, "a few calls for fifteen attempts"


@running(jobs)
async def test_one_is_cancelled_and_the_others_start_again_at_no_cost(app: App) -> None:
    ids = await submit(app, 10)
    await app.advance(5)
    (running_now,) = [call for call in calls if 3 in call]
    await app.cancel(ids[3])
    await app.drained()
    assert app.job(ids[3]).state == "cancelled"
    ends = Counter(run.outcome for run in app.runs("index"))
    assert ends["released"] == len(running_now) - 1
    assert [app.job(id_).attempt for n, id_ in enumerate(ids) if n != 3] == [
        2 if n % 2 else 1 for n in range(10) if n != 3
    ]


@running(jobs)
async def test_a_crash_loses_and_doubles_nothing(app: App) -> None:
    ids = await submit(app, 10)
    await app.advance(5)
    await app.crash()
    await app.drained()
    found = [app.job(id_) for id_ in ids]
    assert [job.state for job in found] == ["succeeded"] * 10
    assert [(job.attempt, job.crashes) for job in found] == [(1, 1), (2, 1)] * 5


async def test_a_stop_hands_all_of_them_back(autojump_clock: MockClock) -> None:
    async with running(jobs, grace=1) as app:
        ids = await submit(app, 4)
        await app.advance(5)
        await app.restart()
        await app.drained()
        assert [app.job(id_).attempt for id_ in ids] == [1, 2, 1, 2]
        kinds = Counter(run.error.kind for run in app.runs("index") if run.error)
        assert kinds == {"shutdown": 4, "exception": 2}
