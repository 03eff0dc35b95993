"""Outcomes are stored in batches, for as long as it takes, and one that the store refuses harms no other."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import SECOND_US, Stage
from tickr.errors import StoreError, StoreUnavailable
from tickr.jobs import Failure, Job, State
from tickr.reports import Outcome
from tickr.worker.outcomes import MAX_PENDING, Outcomes

WHY = Failure("exception", "it broke")


async def running(stage: Stage, count: int) -> list[Job]:
    return [await stage.run_elsewhere(job, lease_s=10_000) for job in await stage.insert(count)]


async def test_outcomes_are_stored_and_what_waits_again_is_indexed(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=10)
    nursery.start_soon(outcomes.run)
    done, retried, released, failed = await running(stage, 4)
    outcomes.put(Outcome(job=done, kind="succeeded", result="1"))
    outcomes.put(Outcome(job=retried, kind="retried", failure=WHY, delay_us=60 * SECOND_US))
    outcomes.put(Outcome(job=released, kind="released", failure=WHY))
    outcomes.put(Outcome(job=failed, kind="failed", failure=WHY))
    await wait_all_tasks_blocked()
    states = [(await stage.get(job)).state for job in (done, retried, released, failed)]
    assert states == [State.SUCCEEDED, State.RETRYING, State.READY, State.FAILED]
    assert await stage.indexed() == (1, 1)
    assert stage.store.calls["finish"] == 1


async def test_an_outage_is_outlasted_and_nothing_is_dropped(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=10)
    nursery.start_soon(outcomes.run)
    (job,) = await running(stage, 1)
    stage.store.failing["finish"] = StoreUnavailable("away")
    outcomes.put(Outcome(job=job, kind="succeeded", result="1"))
    await trio.sleep(600)  # virtual
    assert outcomes.holds(job.id, job.fence)
    stage.store.failing.clear()
    await trio.sleep(1)  # virtual
    assert (await stage.get(job)).state is State.SUCCEEDED
    assert not outcomes.holds(job.id, job.fence)


@pytest.mark.parametrize("error", [StoreError("the row is too long"), ValueError("too long, says a bug")])
async def test_one_that_cannot_be_stored_fails_its_own_job_only(
    stage: Stage, autojump_clock: MockClock, error: Exception
) -> None:
    outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=10)
    jobs = await running(stage, 5)
    poisoned = jobs[3].id
    finish = stage.store.port.finish

    async def picky(batch: list[Outcome]) -> list[Job | None]:
        if any(one.job.id == poisoned and one.kind == "succeeded" for one in batch):
            raise error
        stored: list[Job | None] = await finish(batch)
        return stored

    stage.store.port.finish = picky
    for job in jobs:
        outcomes.put(Outcome(job=job, kind="succeeded", result="1"))
    outcomes.close()
    await outcomes.run()
    after = [await stage.get(job) for job in jobs]
    assert [job.state for job in after].count(State.SUCCEEDED) == 4
    assert after[3].state is State.FAILED
    assert after[3].error is not None
    assert "too long" in after[3].error.message


async def test_claims_have_no_room_while_too_many_wait(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=10)
    await outcomes.wait_room()
    for job in await running(stage, MAX_PENDING // 2) + await running(stage, MAX_PENDING // 2):
        outcomes.put(Outcome(job=job, kind="succeeded"))
    with trio.move_on_after(5) as waited:
        await outcomes.wait_room()
    assert waited.cancelled_caught
    nursery.start_soon(outcomes.run)
    with trio.fail_after(5):
        await outcomes.wait_room()
    outcomes.close()
