"""Promote sleeps exactly until just before the next job is due, and an earlier one wakes it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.ports import pop_ids
from tests.stages.conftest import SECOND_US, Stage
from tickr.index.contract import EARLY_US
from tickr.scheduler.promote import LONGEST_SLEEP_S, promote

EARLY_S = EARLY_US / 1e6


async def test_it_moves_each_job_at_its_instant_and_sleeps_in_between(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(delay_us=2 * SECOND_US)
    await stage.submit(delay_us=4 * SECOND_US)
    began = trio.current_time()
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    for due in (2, 4):
        await stage.index.pop(["default"], 10)
        assert trio.current_time() - began == pytest.approx(due - EARLY_S)
    # One look at the start and one at each instant: nothing else was asked in between.
    assert stage.index.calls["promote"] == 3


async def test_an_earlier_job_wakes_it(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    await stage.submit(delay_us=3600 * SECOND_US)
    await trio.sleep(1)  # virtual
    began = trio.current_time()
    (near,) = await stage.submit(delay_us=500_000)
    assert await pop_ids(stage.index, ["default"], 10) == [near.id]
    assert trio.current_time() - began == pytest.approx(0.5 - EARLY_S)


async def test_a_lost_ring_costs_the_net_and_no_more(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    await trio.sleep(1)  # virtual
    (job,) = await stage.insert(delay_us=SECOND_US)
    await stage.index.push([job.entry()], now=stage.store.now_us())  # nobody rings
    began = trio.current_time()
    assert await pop_ids(stage.index, ["default"], 10) == [job.id]
    assert 1 - EARLY_S <= trio.current_time() - began <= LONGEST_SLEEP_S
