"""Schedules in ``tickr.testing``: those that the code declares tick in virtual time, through crashes too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from trio.testing import MockClock

import tickr
from tickr.errors import ConfigError
from tickr.schedules import Schedule
from tickr.testing import App, running

START = datetime(2030, 3, 30, 12, tzinfo=UTC)
"""The day before clocks go forward in Berlin."""

jobs = tickr.Jobs()


@jobs.schedule("nightly", {"what": "books"}, cron="@daily", timezone="Europe/Berlin", missed="all")
@jobs.schedule("few", {"what": "few"}, every=timedelta(minutes=1), start="now", times=3)
@jobs.handler("count")
async def count(job: tickr.Job, what: str) -> str:
    assert job.tick is not None
    return f"{what} of {job.tick.at}"


async def schedule(app: App, name: str) -> Schedule:
    found = await app.handle.store.schedule(name)
    assert found is not None
    return found


@running(jobs, start=START)
async def test_what_the_code_declares_ticks(app: App) -> None:
    await app.advance(timedelta(days=3))
    nights = [run.time for run in app.runs() if run.arguments["what"] == "books"]
    assert nights == [
        datetime(2030, 3, 30, 23, tzinfo=UTC),
        datetime(2030, 3, 31, 22, tzinfo=UTC),
        datetime(2030, 4, 1, 22, tzinfo=UTC),
    ]
    few = [job for job in app.jobs() if job.payload == {"what": "few"}]
    assert [job.tick for job in few] == [tickr.Tick("few", START + timedelta(minutes=n)) for n in range(3)]
    assert few[1].result == "few of 2030-03-30 12:01:00+00:00"
    assert (await schedule(app, "few")).ended == "times"


@pytest.mark.parametrize("point", ["schedule.before_fire", "schedule.after_fire"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_crash_at_a_tick_makes_no_job_too_many_and_none_too_few(
    autojump_clock: MockClock, point: str, nth: int
) -> None:
    async with running(jobs, start=START) as app:
        app.crash_at(point, nth)
        await app.advance(600)
        ticks = [job.tick.at for job in app.jobs() if job.tick]
        assert len(ticks) == len(set(ticks)) == (await schedule(app, "few")).fired == 3
        assert {job.state for job in app.jobs()} == {"succeeded"}


@running(jobs, start=START)
async def test_another_node_of_the_same_code_changes_nothing(app: App) -> None:
    await app.advance(90)
    before = await schedule(app, "few")
    await app.restart()
    await app.crash()
    assert await schedule(app, "few") == before


async def test_what_cannot_be_declared_keeps_it_from_starting(autojump_clock: MockClock) -> None:
    wrong = tickr.Jobs()
    wrong.schedules.add("s", "count", every=0.5)
    with pytest.raises(ConfigError, match="schedule s: every must be a number of seconds"):
        async with running(wrong):
            pass
