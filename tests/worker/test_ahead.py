"""Jobs that are claimed before there is a slot for them, and what worker tasks hand on from one job to the next."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.worker.attempts import claimed, running_pool
from tickr.worker.attempt import SOON_S, StopReason
from tickr.worker.handlers import Jobs
from tickr.worker.pace import AHEAD_S, MAX_AHEAD, Pace


def pool_jobs(**handlers: Any) -> Jobs:
    jobs = Jobs()
    for type, handler in handlers.items():
        jobs.handler(type)(handler)
    return jobs


async def short() -> None:
    await trio.sleep(0.01)  # virtual


async def nothing() -> None: ...


# -- the pace ---------------------------------------------------------------------------------------------------------


async def test_short_jobs_are_claimed_ahead_and_long_ones_are_not(autojump_clock: trio.testing.MockClock) -> None:
    async with running_pool(pool_jobs(short=short, long=trio.sleep_forever), slots=10) as bench:
        assert bench.pool.room == 10
        with trio.move_on_after(0.5):
            while True:
                free = await bench.pool.wait_free()
                bench.pool.start([claimed("short") for _ in range(free)])
        # 10 slots, 100 times a second each: 100 end within 0.1 s.
        assert bench.pool.room + len(bench.pool.running) == pytest.approx(10 + 1_000 * AHEAD_S, abs=25)
        await trio.sleep(60)  # virtual
        assert bench.pool.room == 10, "whoever was idle begins with what there are slots for"
        bench.pool.start([claimed("long") for _ in range(10)])
        await trio.sleep(1)  # virtual
        assert bench.pool.room == 0
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_the_pace_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    pace = Pace()
    pace.ahead()
    for _ in range(1_000_000):
        pace.job_ended()
    assert pace.ahead() == 0, "no time has passed"
    await trio.sleep(1)  # virtual
    assert pace.ahead() == MAX_AHEAD


async def test_what_finds_no_slot_is_handed_back_at_no_cost(autojump_clock: trio.testing.MockClock) -> None:
    async with running_pool(pool_jobs(long=trio.sleep_forever), slots=1) as bench:
        runs, waits, unwanted = claimed("long"), claimed("long"), claimed("long")
        bench.pool.start([runs, waits, unwanted])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(unwanted.id, StopReason.CANCELLED)
        with trio.fail_after(2):
            ends = {outcome.job.id: outcome for outcome in [await bench.outcomes.next(), await bench.outcomes.next()]}
        assert bench.pool.running == [runs]
        assert (ends[waits.id].kind, ends[unwanted.id].kind) == ("released", "cancelled")
        failure = ends[waits.id].failure
        assert failure is not None
        assert failure.kind == "not_started"
        bench.pool.stop(runs.id, StopReason.SHUTDOWN)
        assert (await bench.outcomes.next()).job is runs


# -- worker tasks -----------------------------------------------------------------------------------------------------


async def test_every_slot_gets_its_job_however_few_tasks_are_woken(autojump_clock: trio.testing.MockClock) -> None:
    running = 0

    async def handler() -> None:
        nonlocal running
        running += 1
        await trio.sleep_forever()

    async with running_pool(pool_jobs(long=handler), slots=100) as bench:
        await trio.testing.wait_all_tasks_blocked()
        for count in (1, 49, 50):
            bench.pool.start([claimed("long") for _ in range(count)])
            await trio.testing.wait_all_tasks_blocked()
            assert running == len(bench.pool.running)
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_jobs_that_never_wait_do_not_wake_every_task(autojump_clock: trio.testing.MockClock) -> None:
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += 1

    steps = Steps()
    async with running_pool(pool_jobs(t=nothing), slots=200) as bench:
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(steps)
        bench.pool.start([claimed("t") for _ in range(200)])
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        assert len(bench.outcomes.all) == 200
    assert steps.count < 60


async def test_the_time_of_one_job_is_not_that_of_the_next(autojump_clock: trio.testing.MockClock) -> None:
    ran_in = []

    async def quick() -> None:
        ran_in.append(trio.lowlevel.current_task())

    async def slow() -> None:
        ran_in.append(trio.lowlevel.current_task())
        await trio.sleep(20)  # virtual

    async with running_pool(pool_jobs(quick=quick, slow=slow), slots=1) as bench:
        bench.pool.start([claimed("quick", timeout_us=1_000_000), claimed("slow")])
        assert [(await bench.outcomes.next()).kind for _ in range(2)] == ["succeeded", "succeeded"]
        bench.pool.start([claimed("quick"), claimed("slow", timeout_us=1_000_000)])
        assert [(await bench.outcomes.next()).kind for _ in range(2)] == ["succeeded", "retried"]
    assert len(set(ran_in)) == 1, "one after the other in the same task"


@pytest.mark.parametrize("timeout_s", [SOON_S - 1, SOON_S, SOON_S + 0.5, 60.25])
async def test_a_timeout_is_exact_near_or_far(timeout_s: float, autojump_clock: trio.testing.MockClock) -> None:
    async with running_pool(pool_jobs(long=trio.sleep_forever), slots=1) as bench:
        began_at = trio.current_time()
        outcome = await bench.run(claimed("long", timeout_us=int(timeout_s * 1_000_000)))
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"
        assert trio.current_time() - began_at == pytest.approx(timeout_s)


async def test_a_stop_that_comes_too_late_does_not_meet_the_next_job(autojump_clock: trio.testing.MockClock) -> None:
    async def stops_itself() -> None:
        bench.pool.stop(first.id, StopReason.CANCELLED)

    async with running_pool(pool_jobs(a=stops_itself, short=short), slots=1) as bench:
        first = claimed("a")
        bench.pool.start([first, claimed("short")])
        assert [(await bench.outcomes.next()).kind for _ in range(2)] == ["succeeded", "succeeded"]


async def test_a_scope_left_open_is_not_for_the_next_job(autojump_clock: trio.testing.MockClock) -> None:
    left = []

    async def leaves_one_open() -> None:
        left.append(trio.CancelScope())
        left[0].__enter__()

    async with running_pool(pool_jobs(a=leaves_one_open, short=short), slots=1) as bench:
        bench.pool.start([claimed("a"), claimed("short")])
        assert (await bench.outcomes.next()).kind == "succeeded"
        left[0].cancel()
        assert (await bench.outcomes.next()).kind == "succeeded"
