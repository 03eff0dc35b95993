"""The audit puts back what the index lost: single entries, or everything."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.ports import pop_ids
from tests.stages.conftest import SECOND_US, Stage
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.failpoints import armed
from tickr.index.heap import open_heap
from tickr.scheduler.audit import PERIOD_S, Audit


def start(stage: Stage, nursery: trio.Nursery) -> None:
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)


async def test_a_due_job_that_the_index_does_not_hold_is_put_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    start(stage, nursery)
    await trio.sleep(1)  # virtual
    (job,) = await stage.insert()
    with trio.fail_after(2 * PERIOD_S):
        assert await pop_ids(stage.index, ["default"], 10) == [job.id]


async def test_one_that_is_just_being_claimed_is_not_put_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    start(stage, nursery)
    await trio.sleep(PERIOD_S / 2)  # virtual
    (job,) = await stage.insert()
    await trio.sleep(PERIOD_S)  # virtual: missing in one look
    await stage.run_elsewhere(job)
    await trio.sleep(5 * PERIOD_S)  # virtual
    assert await stage.indexed() == (0, 0)


async def test_an_emptied_index_is_rebuilt_with_what_is_due_and_what_is_not(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    start(stage, nursery)
    await stage.submit(3000)
    await stage.submit(2500, delay_us=3600 * SECOND_US, queue="mail")
    await trio.sleep(1.5 * PERIOD_S)  # virtual: between two looks
    assert await stage.indexed() == (3000, 2500)
    async with open_heap() as empty:
        stage.index.port = empty
        await trio.sleep(PERIOD_S)  # virtual
        assert await stage.indexed() == (3000, 2500)
        assert await empty.epoch() == await stage.store.epoch("unused")


async def test_an_index_emptied_during_its_rebuild_is_rebuilt_again(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.insert(10)
    emptied = False
    push = stage.index.port.push

    async with open_heap() as second:

        async def push_and_lose(*args: object, **kwargs: object) -> None:
            nonlocal emptied
            await push(*args, **kwargs)
            if not emptied:
                emptied = True
                stage.index.port = second

        stage.index.port.push = push_and_lose
        start(stage, nursery)
        await trio.sleep(3 * PERIOD_S)  # virtual
        assert await stage.indexed() == (10, 0)


async def test_an_index_emptied_at_the_very_end_of_its_rebuild_is_rebuilt_again(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(2500, delay_us=3600 * SECOND_US)
    async with open_heap() as second:

        async def lose() -> None:
            stage.index.port = second

        with armed("rebuild.before_epoch", lose):
            start(stage, nursery)
            await trio.sleep(PERIOD_S / 2)  # virtual
        await trio.sleep(PERIOD_S)  # virtual: one more look, which for missing entries alone would not do
        assert await stage.indexed() == (0, 2500)


async def test_outages_of_either_side_are_outlasted(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    start(stage, nursery)
    await trio.sleep(1)  # virtual
    for port, error in ((stage.index, IndexUnavailable("away")), (stage.store, StoreUnavailable("away"))):
        (job,) = await stage.insert()
        port.failing["*"] = error
        await trio.sleep(10)  # virtual
        port.failing.clear()
        with trio.fail_after(2 * PERIOD_S + 1):
            assert await pop_ids(stage.index, ["default"], 10) == [job.id]
        await stage.run_elsewhere(job)
