"""Reap takes back the jobs of nodes whose lease ended, and keeps quiet after the store itself was away."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.ports import pop_ids
from tests.stages.conftest import NODE, SECOND_US, Stage
from tickr.errors import StoreUnavailable
from tickr.jobs import State
from tickr.scheduler.reap import SWEEP_S, Reaper


async def test_a_dead_nodes_job_is_taken_back_and_announced(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job, lease_s=15)
    began = trio.current_time()
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    assert await pop_ids(stage.index, ["default"], 10) == [job.id]
    assert 15 <= trio.current_time() - began <= 17
    after = await stage.get(job)
    assert (after.state, after.crashes, after.attempt) == (State.READY, 1, 0)


async def test_a_lease_ends_to_the_instant_however_the_sweeps_fall(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    await stage.run_elsewhere(job, lease_s=14.6)  # just after a sweep, so the next one sees it
    assert await pop_ids(stage.index, ["default"], 10) == [job.id]
    assert trio.current_time() - began == pytest.approx(SWEEP_S + 14.6)


async def test_a_node_that_keeps_its_lease_keeps_its_jobs(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job)
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    for _ in range(20):
        await trio.sleep(5)  # virtual
        await stage.store.heartbeat(NODE, lease_s=15)
    assert (await stage.get(job)).state is State.RUNNING


async def test_an_outage_of_the_store_is_no_fault_of_the_nodes(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job)
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    await trio.sleep(2)  # virtual
    stage.store.failing["*"] = StoreUnavailable("away")
    await trio.sleep(60)  # virtual: nobody can renew
    stage.store.failing.clear()
    await trio.sleep(14)  # virtual: when a node that was cut off gets through again, it still has its job
    assert await stage.store.heartbeat(NODE, lease_s=15) is not None
    await trio.sleep(10)  # virtual
    assert (await stage.get(job)).state is State.RUNNING


@pytest.mark.parametrize("step_us", [3600 * SECOND_US, -3600 * SECOND_US])
async def test_a_step_of_the_wall_clock_steals_nothing_and_shields_nobody(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, step_us: int
) -> None:
    (mine, orphan) = await stage.insert(2)
    await stage.run_elsewhere(mine)
    await stage.run_elsewhere(orphan, "22222222-2222-7222-8222-222222222222")
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    await trio.sleep(2)  # virtual
    stage.step_us = step_us
    for _ in range(10):
        await trio.sleep(4)  # virtual
        assert await stage.store.heartbeat(NODE, lease_s=15) is not None
    assert ((await stage.get(mine)).state, (await stage.get(mine)).crashes) == (State.RUNNING, 0)
    assert ((await stage.get(orphan)).state, (await stage.get(orphan)).crashes) == (State.READY, 1)
