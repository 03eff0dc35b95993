"""Time in ``tickr.testing``: it passes when the test lets it, everything is on its instant, and no wait is for ever."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.errors import JobNotFound
from tickr.testing import App, NotSucceeded, Unfinished, running

START = datetime(2024, 2, 28, 23, 59, 59, 500_000, tzinfo=UTC)


def offsets(app: App, type: str, began: datetime) -> list[float]:
    return [(run.time - began).total_seconds() for run in app.runs(type)]


@running(jobs, start=START)
async def test_time_begins_where_the_test_wants_it_and_stands_still(app: App) -> None:
    assert app.now == START
    job = await app.submit("double", {"number": 1}, run_at="2024-02-29T00:00:00Z")
    assert app.job(job).state == "scheduled"
    assert app.job(job).created_at == app.now == START
    await app.advance(0.5)
    assert app.now == datetime(2024, 2, 29, tzinfo=UTC)
    assert app.job(job).state == "succeeded"
    assert app.job(job).started_at == app.job(job).finished_at == app.now


@running(jobs)
async def test_what_is_due_happens_at_its_instant_and_in_order(app: App) -> None:
    began = app.now
    for delay in (30, 0.000_001, 10, 20.25, 10):
        await app.submit("double", {"number": 1}, delay=delay)
    await app.advance(timedelta(seconds=20))
    assert offsets(app, "double", began) == [0.000_001, 10, 10]
    await app.advance(10)
    assert offsets(app, "double", began) == [0.000_001, 10, 10, 20.25, 30]
    assert app.now - began == timedelta(seconds=30)


@running(jobs)
async def test_many_small_steps_are_as_long_as_a_large_one(app: App) -> None:
    began = app.now
    for number in range(1, 101):
        job = await app.submit("double", {"number": number}, delay=0.1)
        await app.advance(0.1)
        assert app.job(job).state == "succeeded"
    assert app.now - began == timedelta(seconds=10)


@running(jobs, start=START)
async def test_until_an_instant(app: App) -> None:
    job = await app.submit("rest", {"seconds": 3600.5}, timeout=7200)
    in_paris = datetime(2024, 2, 29, 2, tzinfo=timezone(timedelta(hours=1)))
    await app.advance_to(in_paris - timedelta(microseconds=1))
    assert app.job(job).state == "running"
    await app.advance_to(in_paris)
    assert app.now == in_paris
    assert app.job(job).state == "succeeded"
    with pytest.raises(ValueError, match="is past"):
        await app.advance_to(START)
    with pytest.raises(ValueError, match="has no time zone"):
        await app.advance_to(datetime(2030, 1, 1))
    with pytest.raises(ValueError, match="time passes forwards"):
        await app.advance(-1)


@running(jobs)
async def test_idle_leaves_what_is_for_later(app: App) -> None:
    began = app.now
    later = await app.submit("double", {"number": 1}, delay=86_400)
    fails = await app.submit("fail", {"times": 1})
    rests = await app.submit("rest")
    await app.idle()
    assert app.now - began == timedelta(minutes=1), "the retry 10 s later came meanwhile"
    assert [app.job(job).state for job in (later, fails, rests)] == ["scheduled", "succeeded", "succeeded"]
    await app.idle()
    assert app.now - began == timedelta(minutes=1)
    await app.submit("fail")
    await app.idle()
    assert app.now - began == timedelta(minutes=1)
    assert [job.state for job in app.jobs(type="fail")] == ["succeeded", "retrying"]


async def test_what_the_test_itself_does_at_that_instant_is_waited_for(autojump_clock: MockClock) -> None:
    rung = trio.Event()
    own = tickr.Jobs()
    own.include(jobs)

    @own.handler("ring")
    async def ring() -> None:
        rung.set()

    async def follow() -> None:
        await rung.wait()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        await app.submit("double", {"number": 1})

    async with running(own) as app, trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await app.submit("ring", delay=5)
        await app.submit("ring", delay=6)
        await app.advance(5)
        assert [job.state for job in app.jobs()] == ["succeeded", "scheduled", "succeeded"]
        rung = trio.Event()
        nursery.start_soon(follow)
        await app.drained()
        assert [job.state for job in app.jobs()] == ["succeeded"] * 4


@running(jobs)
async def test_drained_is_when_every_job_has_ended(app: App) -> None:
    began = app.now
    await app.drained()
    await app.submit("double", {"number": 1}, delay=timedelta(days=20).total_seconds())
    await app.submit("fail", max_attempts=2)
    await app.drained()
    assert app.now - began == timedelta(days=20)
    assert {job.state for job in app.jobs()} == {"succeeded", "failed"}


@running(jobs)
async def test_a_result_is_waited_for(app: App) -> None:
    job = await app.submit("fail", {"times": 2}, delay=5)
    later = await app.submit("double", {"number": 4}, delay=86_400)
    assert await app.result(job.id) == "done at attempt 3"
    assert app.job(later).state == "scheduled"
    assert await app.result(app.job(later)) == 8
    assert await app.result(later) == 8
    with pytest.raises(JobNotFound):
        await app.result("01b8dac5-b400-7000-8000-0000000000ff")


@running(jobs)
async def test_there_is_no_result_of_what_failed(app: App) -> None:
    job = await app.submit("fail", {"why": "the bank is closed"}, max_attempts=2)
    with pytest.raises(NotSucceeded) as raised:
        await app.result(job)
    assert str(raised.value).splitlines() == [
        f"There is no result: fail {job.id} failed",
        "  created 00:00:00",
        "  started 00:00:00",
        "  retrying 00:00:00 in 10 s (ValueError: the bank is closed)",
        "  started 00:00:10",
        "  failed 00:00:10 (ValueError: the bank is closed)",
    ]
    waits = await app.submit("double", {"number": 1}, delay=60)
    await app.cancel(waits)
    with pytest.raises(NotSucceeded, match="cancelled: Cancelled on request"):
        await app.result(waits)


@running(jobs)
async def test_no_wait_is_longer_than_it_may_be(app: App) -> None:
    job = await app.submit("rest", {"seconds": 86_400}, timeout=90_000)
    began = app.now
    for wait in (app.idle, app.drained, lambda within: app.result(job, within=within)):
        with pytest.raises(Unfinished, match=r"^Not (idle|drained|done) within 01:00:00 of virtual time"):
            await wait(within=timedelta(hours=1))
    assert app.now - began == timedelta(hours=3)
    await app.drained()


@running(jobs)
async def test_the_test_itself_may_sleep_and_wait(app: App) -> None:
    with trio.fail_after(100):
        await app.submit("rest")
        await trio.sleep(59)  # virtual
        assert [run.outcome for run in app.runs()] == ["running"]
        await trio.sleep(2)  # virtual
        assert [run.outcome for run in app.runs()] == ["succeeded"]


async def test_the_test_may_wait_for_what_a_handler_does(autojump_clock: MockClock) -> None:
    rung = trio.Event()
    own = tickr.Jobs()

    @own.handler("ring")
    async def ring() -> None:
        rung.set()

    async with running(own) as app:
        await app.submit("ring", delay=3600)
        await rung.wait()
        assert app.now.hour == 1


class Turns(trio.abc.Instrument):
    """Counts how often each task has its turn."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task.name] += 1


@running(jobs)
async def test_no_duty_of_a_node_wakes_up_often_while_nothing_happens(app: App) -> None:
    """A duty that is new takes ``stretch`` as the others do, or a month costs its users seconds."""
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    await app.advance(timedelta(days=30))
    trio.lowlevel.remove_instrument(turns)
    assert {name: count for name, count in turns.of.items() if count > 500} == {}


@running(jobs)
async def test_a_month_with_a_job_each_hour_is_quick(app: App) -> None:
    """How quick docs/testing.md says; here it is enough that a month is no matter of minutes."""
    for hour in range(31 * 24):
        await app.submit("double", {"number": hour}, delay=hour * 3600)
    await app.advance(timedelta(days=31))
    assert len(app.runs("double")) == 31 * 24
    assert len(app.jobs(state="succeeded")) == 31 * 24
