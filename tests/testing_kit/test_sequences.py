"""Sequences in a whole node, in virtual time: one after the other, second tries too, whatever happens in between."""

from __future__ import annotations

import pytest
import trio

import tickr
from tickr.testing import App, run

jobs = tickr.Jobs()


@jobs.handler("step", max_attempts=3, backoff=tickr.Backoff(kind="constant", base=600, jitter=0))
async def step(job: tickr.Job, bad: int = 0) -> int:
    await trio.sleep(10)  # virtual
    if job.attempt <= bad:
        raise ValueError("not yet")
    return job.attempt


@jobs.handler("parent")
async def parent(job: tickr.Job) -> None:
    await job.submit("step", sequence="s")


def test_a_job_that_waits_for_its_next_try_holds_up_those_behind_it() -> None:
    async def scenario(app: App) -> None:
        first = await app.submit("step", {"bad": 1}, sequence="s", queue="here")
        second = await app.submit("step", sequence="s", queue="there", priority=0)
        other = await app.submit("step", sequence="t")
        assert await app.result(other) == 1
        await app.advance(300)
        assert [app.job(job).state for job in (first, second)] == ["retrying", "blocked"]
        third = await app.submit("step", sequence="s")
        assert await app.result(third) == 1
        assert app.job(first).attempt == 2
        runs = [run.job for run in app.runs("step") if run.job != other.id]
        assert runs == [first.id, first.id, second.id, third.id]
        assert app.job(third).started_at == app.job(second).finished_at

    run(jobs, scenario)


@pytest.mark.parametrize("how", ["crash", "restart"])
def test_neither_a_crash_nor_a_restart_changes_the_order(how: str) -> None:
    async def scenario(app: App) -> None:
        line = [await app.submit("step", sequence="s") for _ in range(4)]
        await app.advance(15)
        await app.cancel(line[2])
        await getattr(app, how)()
        await app.drained()
        ended = [run.job for run in app.runs("step") if run.outcome == "succeeded"]
        assert ended == [line[at].id for at in (0, 1, 3)]

    run(jobs, scenario, grace=5)


def test_children_are_in_no_sequence() -> None:
    async def scenario(app: App) -> None:
        job = await app.submit("parent", max_attempts=1)
        await app.drained()
        error = app.job(job).error
        assert error is not None
        assert "is not for children" in error.message

    run(jobs, scenario)
