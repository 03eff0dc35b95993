"""Middleware and time: time-outs, stops, and those that do not stop when they are asked to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.worker.attempts import Outcomes, claimed, running_pool
from tests.worker.wrapped import (
    Steps,
    a_coroutine,
    kind_of,
    noting,
    outcome_within,
    raising,
    swallows_everything,
    swallows_nothing,
)
from tickr.worker.attempt import RunningJob, StopReason
from tickr.worker.endings import GiveUp
from tickr.worker.handlers import Jobs
from tickr.worker.leash import Leash
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

# -- stops and time-outs ----------------------------------------------------------------------------------------------


def plain() -> None: ...


@contextlib.asynccontextmanager
async def hangs_first(job: Job) -> AsyncIterator[None]:
    await trio.sleep_forever()
    yield


@contextlib.asynccontextmanager
async def hangs_last(job: Job) -> AsyncIterator[None]:
    yield
    await trio.sleep_forever()


@pytest.mark.parametrize("middleware", [hangs_first, hangs_last])
async def test_time_runs_for_the_middleware_too(middleware: Middleware, autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    steps: Steps = []
    outcome = await outcome_within([noting(steps, "a"), middleware], a_coroutine, timeout_us=2_500_000)
    assert trio.current_time() - began_at == pytest.approx(2.5)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "timeout")
    assert steps == ["a in", "a Cancelled"]


@pytest.mark.parametrize("middleware", [hangs_first, hangs_last])
async def test_time_runs_for_the_middleware_of_a_thread(middleware: Middleware) -> None:
    outcome = await outcome_within(middleware, plain, timeout_us=50_000)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "timeout")


async def test_a_thread_gets_what_its_middleware_has_left_of_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Not the whole time anew when the thread begins, which is what it gets without middleware."""
    jobs = Jobs()
    jobs.handler("t")(plain)
    handler = jobs.get("t")
    assert handler is not None
    for clock_runs, left_s in ((True, 1), (False, 4)):
        running = RunningJob(claimed("t", timeout_us=4_000_000), handler, Outcomes())
        with Leash() as leash:
            running.take(leash, clock_runs=clock_runs)
            await trio.sleep(3)  # virtual
            running.start_clock()
            assert leash.scope.deadline - trio.current_time() == pytest.approx(left_s)
        leash.drop()


STOPS = {
    None: ("retried", "timeout"),
    StopReason.CANCELLED: ("cancelled", "cancelled"),
    StopReason.SHUTDOWN: ("released", "shutdown"),
    StopReason.LEASE_LOST: ("released", "lease_lost"),
}


@pytest.mark.parametrize("reason", STOPS)
@pytest.mark.parametrize("place", ["outside", "handler", "inside"])
async def test_a_stop_is_not_theirs_to_swallow(
    reason: StopReason | None, place: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Wherever it hits: in the handler, in what is outside of it, or inside of what swallows it."""
    chain = {
        "outside": [hangs_first, swallows_everything],
        "handler": [swallows_everything],
        "inside": [swallows_everything, hangs_first],
    }[place]
    jobs = Jobs()
    jobs.handler("t", middleware=chain)(trio.sleep_forever)
    async with running_pool(jobs) as bench:
        job = claimed("t", timeout_us=1_000_000)
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        if reason is not None:
            bench.pool.stop(job.id, reason)
        outcome = await bench.outcomes.next()
    assert (outcome.kind, kind_of(outcome)) == STOPS[reason]


async def test_another_error_in_place_of_the_stop_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    outcome = await outcome_within(raising(ValueError(), at_exit=True), trio.sleep_forever, timeout_us=1_000_000)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "timeout")


async def test_a_handler_that_returns_in_spite_of_a_stop_has_succeeded_if_its_middleware_ends_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def handler() -> str:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()
        return "just finished"

    outcome = await outcome_within(swallows_nothing, handler, timeout_us=1_000_000)
    assert (outcome.kind, outcome.result) == ("succeeded", '"just finished"')
    outcome = await outcome_within(hangs_last, handler, timeout_us=1_000_000)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "timeout")


async def test_cancelled_from_outside_goes_on_past_those_who_swallow(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.middleware(swallows_everything)
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs) as bench:
        bench.pool.start([claimed("t")])
        await trio.testing.wait_all_tasks_blocked()
        bench.tasks.cancel_scope.cancel()
    assert bench.outcomes.all == []


# -- those that do not stop -------------------------------------------------------------------------------------------


def deaf(release: trio.Event, *, at_exit: bool) -> Middleware:
    @contextlib.asynccontextmanager
    async def never_listens(job: Job) -> AsyncIterator[None]:
        if at_exit:
            yield
        with trio.CancelScope(shield=True):
            await release.wait()
        if not at_exit:
            yield

    return never_listens


@pytest.mark.parametrize("at_exit", [False, True])
async def test_one_that_does_not_stop_is_left_behind(at_exit: bool, autojump_clock: trio.testing.MockClock) -> None:
    release = trio.Event()
    jobs = Jobs()
    jobs.handler("deaf", middleware=[deaf(release, at_exit=at_exit)])(a_coroutine)
    jobs.handler("tame")(a_coroutine)
    async with running_pool(jobs, slots=1, unresponsive_after_s=5) as bench:
        began_at = trio.current_time()
        outcome = await bench.run(claimed("deaf", timeout_us=1_000_000))
        assert 6 <= trio.current_time() - began_at <= 7.5
        assert (outcome.kind, kind_of(outcome)) == ("retried", "unresponsive")
        assert outcome.failure is not None
        assert "never_listens" in (outcome.failure.traceback or "")
        assert [zombie.where for zombie in bench.pool.zombies] == ["task"]
        assert (await bench.run(claimed("tame"))).kind == "succeeded"
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.pool.zombies == []
        assert len(bench.outcomes.all) == 2


@pytest.mark.parametrize("at_exit", [False, True])
async def test_one_that_does_not_stop_round_a_thread_is_left_behind(at_exit: bool) -> None:
    release = trio.Event()
    jobs = Jobs()
    jobs.handler("deaf", middleware=[deaf(release, at_exit=at_exit)])(plain)
    async with running_pool(jobs, slots=1, unresponsive_after_s=0.05) as bench:
        outcome = await bench.run(claimed("deaf", timeout_us=50_000))
        assert (outcome.kind, kind_of(outcome)) == ("retried", "unresponsive")
        assert [zombie.where for zombie in bench.pool.zombies] == ["task"]
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.pool.zombies == []
        assert len(bench.outcomes.all) == 1


async def test_a_thread_that_does_not_stop_is_left_behind_and_its_middleware_ends() -> None:
    steps: Steps = []
    end = threading.Event()
    jobs = Jobs()
    jobs.handler("hangs", middleware=[noting(steps, "a")])(end.wait)
    async with running_pool(jobs, slots=1, unresponsive_after_s=0.05) as bench:
        outcome = await bench.run(claimed("hangs", timeout_us=50_000))
        assert (outcome.kind, kind_of(outcome)) == ("retried", "unresponsive")
        assert [zombie.where for zombie in bench.pool.zombies] == ["thread"]
        end.set()
        while bench.pool.zombies:
            await trio.lowlevel.checkpoint()
        assert len(bench.outcomes.all) == 1
    assert steps == ["a in", "a Unresponsive"]


# -- scopes and nurseries of their own --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def impatient(job: Job) -> AsyncIterator[None]:
    with trio.fail_after(3):
        yield


@contextlib.asynccontextmanager
async def with_company(job: Job) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("function", [trio.sleep_forever, a_coroutine])
async def test_a_time_limit_of_its_own_is_an_error_of_its_own(
    function: Any, autojump_clock: trio.testing.MockClock
) -> None:
    began_at = trio.current_time()
    outcome = await outcome_within(impatient, function)
    if function is a_coroutine:
        assert outcome.kind == "succeeded"
        return
    assert trio.current_time() - began_at == pytest.approx(3)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")
    assert outcome.failure is not None
    assert outcome.failure.message == "TooSlowError"


async def test_tasks_of_its_own_end_with_it(autojump_clock: trio.testing.MockClock) -> None:
    async def gives_up() -> None:
        raise GiveUp("which the nursery puts into a group")

    assert (await outcome_within(with_company, a_coroutine)).kind == "succeeded"
    outcome = await outcome_within(with_company, gives_up)
    assert (outcome.kind, kind_of(outcome)) == ("failed", "give_up")
    outcome = await outcome_within(with_company, trio.sleep_forever, timeout_us=1_000_000)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "timeout")


# -- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", STOPS)
async def test_who_is_stopped_is_told_why(reason: StopReason | None, autojump_clock: trio.testing.MockClock) -> None:
    told: list[str | None] = []

    @contextlib.asynccontextmanager
    async def asks(job: Job) -> AsyncIterator[None]:
        told.append(job.stop_reason)
        try:
            yield
        finally:
            told.append(job.stop_reason)

    async def handler(job: Job) -> None:
        try:
            await trio.sleep_forever()
        finally:
            told.append(job.stop_reason)

    jobs = Jobs()
    jobs.middleware(asks)
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t", timeout_us=1_000_000)
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        if reason is not None:
            bench.pool.stop(job.id, reason)
        await bench.outcomes.next()
    why = "timeout" if reason is None else reason.value
    assert told == [None, why, why]


async def test_a_thread_is_told_why() -> None:
    began = threading.Event()

    def handler(job: Job) -> str | None:
        began.set()
        with contextlib.suppress(trio.Cancelled):
            while True:
                trio.from_thread.check_cancelled()
        return job.stop_reason

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.to_thread.run_sync(began.wait)
        bench.pool.stop(job.id, StopReason.LEASE_LOST)
        assert (await bench.outcomes.next()).result == '"lease_lost"'
    assert Job(claimed("t")).stop_reason is None, "nobody is asked elsewhere"
