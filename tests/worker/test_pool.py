"""The pool: stops and their reasons, handlers that do not stop, slots."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.worker.attempts import Outcomes, claimed, outcome_of, running_pool
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs
from tickr.worker.pool import Pool


async def a_coroutine() -> None: ...


# -- stops ------------------------------------------------------------------------------------------------------------

EXPECTED = {
    StopReason.CANCELLED: ("cancelled", "cancelled"),
    StopReason.SHUTDOWN: ("released", "shutdown"),
    StopReason.LEASE_LOST: ("released", "lease_lost"),
}


@pytest.mark.parametrize("reason", EXPECTED)
async def test_the_reason_of_a_stop_decides(reason: StopReason, autojump_clock: trio.testing.MockClock) -> None:
    left = False

    async def handler() -> None:
        nonlocal left
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)  # virtual
            left = True
            raise ValueError("on the way out")

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job, other = claimed("t"), claimed("t")
        bench.pool.start([job, other])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(job.id, StopReason.CHILDREN, fence=job.fence + 1)  # another attempt than the one that runs
        bench.pool.stop(job.id, reason, fence=job.fence)
        bench.pool.stop(job.id, StopReason.SHUTDOWN)  # the first reason stands
        outcome = await bench.outcomes.next()
        assert left, "the outcome comes after the handler has ended"
        assert outcome.job is job
        assert outcome.failure is not None
        assert (outcome.kind, outcome.failure.kind) == EXPECTED[reason]
        assert bench.pool.running == [other]
        bench.pool.stop_all(StopReason.SHUTDOWN)


@pytest.mark.parametrize(("attempt", "kind"), [(1, "retried"), (3, "failed")])
async def test_timeout_spends_an_attempt(attempt: int, kind: str, autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    outcome = await outcome_of(trio.sleep_forever, attempt=attempt, timeout_us=2_500_000)
    assert trio.current_time() - began_at == pytest.approx(2.5)
    assert outcome.kind == kind
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("timeout", "Not done within 2.5 s.")


async def test_timeout_before_a_stop_stays_a_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)  # virtual

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t", timeout_us=1_000_000)
        bench.pool.start([job])
        await trio.sleep(1.5)  # virtual
        bench.pool.stop(job.id, StopReason.CANCELLED)
        outcome = await bench.outcomes.next()
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"


async def test_success_in_spite_of_a_stop_is_a_success(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "just finished"
        raise AssertionError

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(job.id, StopReason.CANCELLED)
        assert (await bench.outcomes.next()).kind == "succeeded"


async def test_stop_before_the_start_runs_nothing(autojump_clock: trio.testing.MockClock) -> None:
    ran: list[int] = []

    async def handler(n: int) -> None:
        ran.append(n)

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs, slots=2) as bench:
        first, second = claimed("t", {"n": 1}), claimed("t", {"n": 2})
        bench.pool.start([first, second])
        bench.pool.stop(second.id, StopReason.CANCELLED)
        kinds = {(await bench.outcomes.next()).kind for _ in range(2)}
        assert kinds == {"succeeded", "cancelled"}
        assert ran == [1]


async def test_cancelled_from_outside_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            raise BaseExceptionGroup("mixed", [cancelled, ValueError("and this")]) from None

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        bench.pool.start([claimed("t")])
        await trio.testing.wait_all_tasks_blocked()
        bench.tasks.cancel_scope.cancel()
    assert bench.outcomes.all == []
    assert bench.pool.running == []


async def test_end_of_run_stops_everything(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    outcomes = Outcomes()
    pool = Pool(jobs, outcomes, slots=2, max_result_bytes=1_000)
    async with trio.open_nursery() as tasks:
        with trio.move_on_after(1):
            pool.start([claimed("t")])
            await pool.run(tasks)
    assert [outcome.kind for outcome in outcomes.all] == ["released"]


# -- those that do not stop -------------------------------------------------------------------------------------------


class Deaf:
    """A handler that ignores its cancellation until ``release`` is set, and counts how often it was told."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.told = 0

    async def __call__(self) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ignore)
        return "too late"

    async def _ignore(self) -> None:
        with trio.CancelScope(shield=True):  # a loop on a cancellation is never idle: no virtual clock would move
            await trio.sleep(70)  # virtual
        while not self.release.is_set():
            try:
                await self.release.wait()
            except trio.Cancelled:
                self.told += 1


@pytest.mark.parametrize(
    ("reason", "kind"), [(None, "retried"), (StopReason.CANCELLED, "cancelled"), (StopReason.SHUTDOWN, "released")]
)
async def test_a_handler_that_does_not_stop_is_left_behind(
    reason: StopReason | None, kind: str, autojump_clock: trio.testing.MockClock
) -> None:
    deaf = Deaf()
    jobs = Jobs()
    jobs.handler("deaf")(deaf)
    jobs.handler("tame")(a_coroutine)
    with capture_logs() as lines:
        async with running_pool(jobs, slots=1, unresponsive_after_s=5) as bench:
            job = claimed("deaf", timeout_us=60_000_000)
            bench.pool.start([job])
            await trio.testing.wait_all_tasks_blocked()
            began_at = trio.current_time()
            if reason is not None:
                bench.pool.stop(job.id, reason)
            outcome = await bench.outcomes.next()
            assert 5 <= trio.current_time() - began_at - (60 if reason is None else 0) <= 6.5
            assert outcome.kind == kind
            assert outcome.failure is not None
            assert outcome.failure.kind == "unresponsive"
            assert "_ignore" in (outcome.failure.traceback or "")
            assert [(zombie.job_id, zombie.where) for zombie in bench.pool.zombies] == [(job.id, "task")]
            assert bench.pool.free == 1
            await trio.sleep(70)  # virtual
            assert (await bench.run(claimed("tame"))).kind == "succeeded", "its slot works again"

            told = deaf.told
            await trio.sleep(10)  # virtual
            assert 0 < deaf.told - told <= 12, "it is reminded once a second, and does not spin"
            deaf.release.set()
            await trio.testing.wait_all_tasks_blocked()
            assert bench.pool.zombies == []
            assert len(bench.outcomes.all) == 2, "what it did in the end counts for nothing"
    said = [line["event"] for line in lines if line.get("job") == job.id]
    assert said.count("job.left_behind") == said.count("job.left_behind_ended") == 1
    assert "job.succeeded" not in said


async def test_a_handler_left_behind_may_still_end_with_the_pool(autojump_clock: trio.testing.MockClock) -> None:
    async def hard_of_hearing() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(30)  # virtual
        await trio.sleep_forever()

    jobs = Jobs()
    jobs.handler("t")(hard_of_hearing)
    async with running_pool(jobs) as bench:
        await bench.run(claimed("t", timeout_us=1))
        assert len(bench.pool.zombies) == 1
    # Leaving the block would never end if the cancellation were kept from it.
    assert bench.pool.zombies == []


async def test_zombies_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    deaf = Deaf()
    jobs = Jobs()
    jobs.handler("deaf")(deaf)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(2):
            await bench.run(claimed("deaf", timeout_us=1))
        assert len(bench.pool.zombies) == 2
        assert bench.pool.free == 0
        with trio.move_on_after(100) as waiting:
            await bench.pool.wait_free()
        assert waiting.cancelled_caught
        deaf.release.set()
        assert await bench.pool.wait_free() == 1


# -- looking after them ------------------------------------------------------------------------------------------------


class Steps(trio.abc.Instrument):
    """Counts the steps of the task that runs a pool."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith("Pool.run")


async def test_nobody_looks_while_there_is_nothing_to_look_for(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs) as bench:
        await bench.run(claimed("t", timeout_us=1))
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(86_400)  # virtual
        assert steps.count < 5, "nothing runs"
        bench.pool.start([claimed("t", timeout_us=86_400_000_000)])
        await trio.sleep(86_000)  # virtual
        assert steps.count < 15, "what runs has time"
        began_at = trio.current_time()
        await bench.outcomes.next()
        assert trio.current_time() - began_at == pytest.approx(400)
        trio.lowlevel.remove_instrument(steps)


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_who_is_asked_to_stop_is_looked_after_from_then_on(
    all_of_them: bool, autojump_clock: trio.testing.MockClock
) -> None:
    release = trio.Event()

    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await release.wait()

    jobs = Jobs()
    jobs.handler("t")(shielded)
    async with running_pool(jobs, unresponsive_after_s=5) as bench:
        job = claimed("t", timeout_us=86_400_000_000)
        bench.pool.start([job])
        await trio.sleep(1000)  # virtual
        stop = bench.pool.stop_all if all_of_them else partial(bench.pool.stop, job.id)
        stop(StopReason.SHUTDOWN)
        await bench.outcomes.next()
        assert 1005 <= trio.current_time() <= 1007
        release.set()


# -- slots ------------------------------------------------------------------------------------------------


async def test_slots(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs, slots=2) as bench:
        assert await bench.pool.wait_free() == 2
        first, second = claimed("t"), claimed("t")
        bench.pool.start([first])
        assert await bench.pool.wait_free() == 1
        bench.pool.start([second])
        assert bench.pool.holds(second.id, second.fence)
        assert not bench.pool.holds(second.id, second.fence + 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.pool.wait_free)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks, "no slot, so it waits"
            bench.pool.stop(first.id, StopReason.CANCELLED)
        bench.pool.stop_all(StopReason.SHUTDOWN)
