"""Retention by number: the last so many stay, in small pages and at a bounded pace, and outages are outlived."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.stages.conftest import NODE, Stage
from tests.stages.test_job_retention import ended, kept
from tickr.errors import StoreUnavailable
from tickr.jobs import FINAL, State
from tickr.scheduler.retention import BATCH_PAUSE_S, LARGEST_PAGE, WALK_S, CountRetention
from tickr.store.contract import Node


def retention(stage: Stage, succeeded: int | None = None, failed: int | None = None) -> CountRetention:
    return CountRetention(stage.store, keep_succeeded=succeeded, keep_failed=failed)


async def test_each_state_keeps_its_last(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    nursery.start_soon(retention(stage, 5, 2).run)
    for _ in range(3):
        for state in FINAL:
            await ended(stage, state, 8)
        await trio.sleep(2 * WALK_S)  # virtual
        assert await kept(stage) == {State.SUCCEEDED: 5, State.FAILED: 2, State.CANCELLED: 2}


async def test_any_number_is_any_number(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for state in FINAL:
        await ended(stage, state, 3)
    with trio.fail_after(1):
        await retention(stage).run()
    nursery.start_soon(retention(stage, failed=0).run)
    await trio.sleep(WALK_S)  # virtual
    assert await kept(stage) == {State.SUCCEEDED: 3, State.FAILED: 0, State.CANCELLED: 0}


async def test_a_lot_goes_at_a_bounded_pace(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for _ in range(5):
        await ended(stage, State.SUCCEEDED, 1000)
    nursery.start_soon(retention(stage, 10).run)
    await trio.sleep(BATCH_PAUSE_S * 8)  # virtual
    left = (await kept(stage))[State.SUCCEEDED]
    assert 5000 - 8 * LARGEST_PAGE <= left < 5000
    await trio.sleep(BATCH_PAUSE_S * 12)  # virtual
    assert (await kept(stage))[State.SUCCEEDED] == 10


async def test_where_nothing_is_too_much_it_looks_once_a_minute_and_walks_never(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await ended(stage, State.SUCCEEDED, 10)
    nursery.start_soon(retention(stage, 10).run)
    await trio.sleep(10 * WALK_S)  # virtual
    assert 10 <= stage.store.calls["last_beyond"] <= 11
    assert stage.store.calls["prune_beyond"] == 0


async def test_several_nodes_and_an_outage_never_take_too_many(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for n in range(3):
        await stage.store.register(
            Node(id=f"{n:032x}", host="h", pid=n, version="0", roles=("scheduler",)), lease_s=10_000
        )
        nursery.start_soon(retention(stage, 30).run)
    await stage.register(NODE)
    for _ in range(10):
        await ended(stage, State.SUCCEEDED, 20)
        stage.store.failing["*"] = StoreUnavailable("away")
        await trio.sleep(7)  # virtual
        stage.store.failing.clear()
        await trio.sleep(50)  # virtual
        assert (await kept(stage))[State.SUCCEEDED] >= min(30, 20)
    await trio.sleep(3 * WALK_S)  # virtual
    assert (await kept(stage))[State.SUCCEEDED] == 30
