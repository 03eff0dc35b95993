"""What a job meets in ``tickr.testing`` is what it meets in earnest: it is the same Tickr."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.errors import DuplicateJob, IllegalTransition, JobNotFound, SpecRejected
from tickr.feed.selection import EVERYTHING
from tickr.testing import App, running


def handlers(type: str, function: Callable[..., Awaitable[Any]], **options: Any) -> tickr.Jobs:
    made = tickr.Jobs()
    made.handler(type, **options)(function)
    return made


# -- tries ------------------------------------------------------------------------------------------------------------


async def test_a_handler_that_waits_for_something_looks_as_often_as_it_takes(autojump_clock: MockClock) -> None:
    async def deliver(job: tickr.Job) -> str:
        if job.fence < 10:
            raise tickr.Snooze(60, "the file is not there yet")
        return f"delivered at attempt {job.attempt}"

    async with running(handlers("deliver", deliver)) as app:
        job = await app.submit("deliver", max_attempts=1)
        await app.advance(30)
        assert app.job(job).state == "scheduled"
        assert await app.result(job) == "delivered at attempt 1"
        assert app.job(job).finished_at - app.job(job).created_at == timedelta(minutes=9)
        assert [one.error.kind for one in app.job(job).attempts[:-1]] == ["snoozed"] * 9

        job = await app.submit("deliver", expires_in=100)
        await app.drained()
        assert app.job(job).error.kind == "expired"


@running(jobs)
async def test_back_offs_are_exact(app: App) -> None:
    await app.submit("fail", max_attempts=6, backoff={"kind": "exponential", "base": 1, "factor": 3, "cap": 20})
    await app.drained()
    times = [run.time for run in app.runs()]
    pauses = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert pauses == [1, 3, 9, 20, 20]


async def pauses_of(**options: Any) -> list[float]:
    async with running(jobs, **options) as app:
        await app.submit("fail", max_attempts=4)
        await app.drained()
        return [run.time.timestamp() - app.runs()[0].time.timestamp() for run in app.runs()]


async def test_jitter_follows_from_the_seed(autojump_clock: MockClock) -> None:
    first, again, other = [await pauses_of(jitter=True, seed=seed) for seed in (1, 1, 2)]
    assert first == again
    assert first != other
    assert first != await pauses_of() == [0, 10, 30, 70]
    assert 9 <= first[1] <= 11


async def test_what_a_handler_may_raise(autojump_clock: MockClock) -> None:
    async def ship(job: tickr.Job, order: int) -> str:
        if order < 0:
            raise tickr.GiveUp("there is no such order")
        if job.attempt == 1:
            raise tickr.RetryLater(3600, "the carrier asks for an hour")
        return "shipped"

    async with running(handlers("ship", ship)) as app:
        good, bad, worse = [await app.submit("ship", {"order": order}) for order in (1, -1, "1")]
        assert await app.result(good) == "shipped"
        assert [event.what for event in app.job(good).events] == [
            "created", "started", "retrying", "started", "succeeded"
        ]  # fmt: skip
        assert app.job(good).attempts[0].error.kind == "retry_later"
        assert app.job(good).finished_at - app.job(good).created_at == timedelta(hours=1)
        assert (app.job(bad).error.kind, app.job(bad).error.message) == ("give_up", "there is no such order")
        assert app.job(worse).error.kind == "bad_payload"
        assert [run.job for run in app.runs("ship")].count(worse.id) == 0, "it was never called"


@running(jobs)
async def test_time_outs_come_in_time(app: App) -> None:
    job = await app.submit("rest", {"seconds": 7200}, timeout=1800, max_attempts=2)
    await app.drained()
    assert app.job(job).timeline == (
        "created 00:00:00, started 00:00:00, retrying 00:30:00 in 10 s (timeout: Not done within 1800 s.), "
        "started 00:30:10, failed 01:00:10 (timeout: Not done within 1800 s.)"
    )


async def test_a_handler_that_ignores_its_cancellation_is_left_behind(autojump_clock: MockClock) -> None:
    over = trio.Event()

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await over.wait()

    async with running(handlers("stubborn", stubborn, timeout=20, max_attempts=1)) as app:
        job = await app.submit("stubborn")
        await app.drained()
        assert app.job(job).error.kind == "unresponsive"
        assert app.job(job).finished_at - app.job(job).started_at == timedelta(seconds=25)
        over.set()


# -- order ------------------------------------------------------------------------------------------------------------


@running(jobs, workers=1)
async def test_priorities_and_queues(app: App) -> None:
    await app.submit("rest", {"seconds": 5})
    for number, priority in enumerate((5, 9, 0, 5)):
        await app.submit("double", {"number": number}, priority=priority)
    await app.drained()
    assert [run.arguments["number"] for run in app.runs("double")] == [2, 0, 3, 1]
    await app.submit("double", {"number": 7}, queue="slow")
    await app.idle()
    assert app.jobs()[-1].queue == "slow"
    assert app.jobs()[-1].state == "succeeded"


@running(jobs, workers=2)
async def test_so_many_run_at_once(app: App) -> None:
    for _ in range(4):
        await app.submit("rest", {"seconds": 60})
    await app.drained()
    starts = [event.time - app.events[0].time for event in app.events if event.what == "started"]
    assert [start.total_seconds() for start in starts] == [0, 0, 60, 60]


# -- wishes -----------------------------------------------------------------------------------------------------------


@running(jobs)
async def test_cancel_and_retry(app: App) -> None:
    waits, runs = await app.submit("rest", delay=60), await app.submit("rest")
    await app.advance(10)
    await app.cancel(waits)
    await app.cancel(app.job(runs))
    await app.idle()
    assert [app.job(job).state for job in (waits, runs)] == ["cancelled", "cancelled"]
    assert app.job(runs).finished_at == app.now
    assert [run.outcome for run in app.runs()] == ["cancelled"]
    await app.retry(waits.id)
    assert await app.result(waits) == "rested at attempt 1"
    with pytest.raises(IllegalTransition):
        await app.cancel(waits)
    with pytest.raises(JobNotFound):
        await app.retry("01b8dac5-b400-7000-8000-0000000000ff")


@running(jobs)
async def test_submissions_are_checked_and_told_apart_by_their_ids(app: App) -> None:
    with pytest.raises(SpecRejected, match="did you mean"):
        await app.submit("rest", dely=1)
    chosen = "01b8dac5-0000-7000-8000-000000000abc"
    assert (await app.submit("rest", id=chosen)).id == (await app.submit("rest", id=chosen)).id == chosen
    with pytest.raises(DuplicateJob):
        await app.submit("double", {"number": 1}, id=chosen)
    assert len(app.jobs()) == 1


async def test_wishes_of_the_handler_hold(autojump_clock: MockClock) -> None:
    async def noop() -> None: ...

    backoff = tickr.Backoff(base=2)
    async with running(handlers("noop", noop, timeout=7, max_attempts=9, backoff=backoff)) as app:
        job = await app.submit("noop")
        assert (job.timeout_us, job.max_attempts, job.backoff) == (7_000_000, 9, backoff)


async def test_a_handler_may_submit_more(autojump_clock: MockClock) -> None:
    apps: list[App] = []

    async def chain(left: int) -> None:
        if left:
            await apps[0].submit("chain", {"left": left - 1}, delay=3600)

    async with running(handlers("chain", chain)) as app:
        apps.append(app)
        await app.submit("chain", {"left": 23})
        began = app.now
        await app.drained()
        assert app.now - began == timedelta(hours=23)
        assert [run.arguments["left"] for run in app.runs("chain")] == list(range(23, -1, -1))


# -- what is said -----------------------------------------------------------------------------------------------------


async def test_progress_and_log(autojump_clock: MockClock) -> None:
    async def resize(job: tickr.Job, pages: int) -> None:
        await job.log("opened")
        for page in range(1, pages + 1):
            await trio.sleep(1)  # virtual
            await job.progress(page / pages, f"page {page}")

    async with running(handlers("resize", resize)) as app:
        job = await app.submit("resize", {"pages": 4})
        await app.advance(2.5)
        assert app.job(job).progress.fraction == 0.5
        await app.drained()
        said = [
            (event.what, event.fraction, event.message) for event in app.events if event.what in ("progress", "log")
        ]
        assert said == [("log", None, "opened"), *(("progress", n / 4, f"page {n}") for n in range(1, 5))]
        assert app.job(job).progress.message == "page 4"


@running(jobs)
async def test_events_are_those_of_the_feed(app: App) -> None:
    await app.submit("fail", {"times": 2}, labels={"a": "b"})
    await app.submit("rest", delay=5)
    await app.cancel(await app.submit("double", {"number": 1}, delay=60))
    await app.drained()
    page = await app.handle.feed.page(EVERYTHING, after="earliest", limit=1000)
    assert page.caught_up
    assert [event.id for event in app.events] == [told.event.id for told in page.events]
    assert [event.what for event in app.events] == [told.event.what for told in page.events]


@running(jobs, keep_succeeded="1d")
async def test_jobs_are_deleted_when_it_is_time(app: App) -> None:
    job = await app.submit("double", {"number": 1})
    await app.idle()
    (run,) = app.runs("double")
    await app.advance(timedelta(days=2))
    with pytest.raises(JobNotFound):
        app.job(job)
    assert app.jobs() == []
    assert run.outcome == "succeeded"
    assert len(app.events) == 3
