"""Schedules by function in ``tickr.testing``: a year of sunsets in no time, through crashes and long nights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from trio.testing import MockClock

import tickr
from tests.testing_kit.test_schedules import schedule
from tickr import sun
from tickr.testing import App, running

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EARLY = timedelta(minutes=-30)

jobs = tickr.Jobs()


@jobs.schedule("lamps", next_tick=sun.sunset("59.33", "18.07", offset=EARLY), timezone="Europe/Stockholm", missed="all")
@jobs.handler("switch")
async def switch(job: tickr.Job) -> str:
    assert job.tick is not None
    assert job.tick.at is not None
    return job.tick.at.isoformat()


def ticks(app: App) -> list[datetime]:
    return [job.tick.at for job in app.jobs() if job.tick and job.tick.at]


@running(jobs, start=START)
async def test_a_year_of_sunsets(app: App) -> None:
    await app.advance(timedelta(days=365))
    found = ticks(app)
    assert len(found) == 365
    assert [run.time for run in app.runs()] == found
    assert all(abs(later - at - DAY) < timedelta(minutes=5) for at, later in pairwise(found))
    sunset = sun.sunset(59.33, 18.07)
    assert all(sunset(at) == at - EARLY for at in found)


@pytest.mark.parametrize("point", ["schedule.before_fire", "schedule.after_fire", "store.before_commit"])
@pytest.mark.parametrize("nth", [1, 3, 12])
async def test_a_crash_makes_no_job_too_many_and_none_too_few(autojump_clock: MockClock, point: str, nth: int) -> None:
    async with running(jobs, start=START) as app:
        app.crash_at(point, nth)
        await app.advance(timedelta(days=30))
        assert len(ticks(app)) == len(set(ticks(app))) == (await schedule(app, "lamps")).fired == 30
        assert {job.state for job in app.jobs()} == {"succeeded"}


@running(jobs, start=START)
async def test_a_node_that_starts_again_finds_what_was_told(app: App) -> None:
    await app.advance(3 * DAY)
    before = await schedule(app, "lamps")
    await app.restart()
    await app.advance(1)
    after = await schedule(app, "lamps")
    assert (after.next_at, after.last_tick, after.version) == (before.next_at, before.last_tick, before.version)
    assert list(before.after(0)) == list(after.after(0))[: len(list(before.after(0)))]


calls = 0
flaky = tickr.Jobs()


@flaky.handler("switch")
async def again(job: tickr.Job) -> None: ...


def now_and_then(after: datetime) -> datetime:
    global calls
    calls += 1
    if calls % 3:
        raise ValueError("not now")
    return after.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


flaky.schedules.add("hourly", "switch", next_tick=now_and_then)


@running(flaky, start=START)
async def test_one_that_fails_now_and_then_loses_no_tick(app: App) -> None:
    await app.advance(2 * DAY + timedelta(minutes=1))
    assert ticks(app) == [START + timedelta(hours=number) for number in range(1, 49)]
    assert (await schedule(app, "hourly")).missed_ticks == 0
