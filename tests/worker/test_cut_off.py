"""Which hand-backs say that the attempt had begun: those of a stop, and only once its handler had been called."""

from __future__ import annotations

import trio
import trio.testing

from tests.worker.attempts import claimed, running_pool
from tickr.worker.attempt import StopReason
from tickr.worker.endings import Snooze
from tickr.worker.handlers import Jobs

jobs = Jobs()


@jobs.handler("waits")
async def waits() -> None:
    await trio.sleep_forever()


@jobs.handler("snoozes")
async def snoozes() -> None:
    raise Snooze(1)


async def test_an_attempt_that_has_begun_is_cut_off_and_one_that_waits_is_not() -> None:
    async with running_pool(jobs, slots=1) as bench:
        first, second = claimed("waits"), claimed("waits")
        bench.pool.start([first, second])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop_all(StopReason.SHUTDOWN)
        ends = {(await bench.outcomes.next()).job.id for _ in range(2)}
        assert ends == {first.id, second.id}
        assert {one.job.id: (one.kind, one.cut_off) for one in bench.outcomes.all} == {
            first.id: ("released", True),
            second.id: ("released", False),
        }


async def test_what_the_handler_asks_for_is_not_cut_off() -> None:
    async with running_pool(jobs) as bench:
        outcome = await bench.run(claimed("snoozes"))
        assert (outcome.kind, outcome.delay_us, outcome.cut_off) == ("released", 1_000_000, False)
