"""Reap takes back the jobs of nodes whose lease ended, and keeps quiet after the store itself was away."""

from __future__ import annotations

from functools import partial

import trio
from trio.testing import MockClock

from tests.stages.conftest import NODE, Stage
from tickr.errors import StoreUnavailable
from tickr.jobs import Failure, Outcome, State
from tickr.scheduler.reap import reap


async def test_a_dead_nodes_job_is_taken_back_and_announced(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job, lease_s=15)
    began = trio.current_time()
    nursery.start_soon(partial(reap, stage.store, stage.announcer, quiet_s=15))
    assert await stage.index.pop(["default"], 10) == [job.id]
    assert 15 <= trio.current_time() - began <= 17
    after = await stage.get(job)
    assert (after.state, after.crashes, after.attempt) == (State.READY, 1, 0)


async def test_a_node_that_keeps_its_lease_keeps_its_jobs(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job)
    nursery.start_soon(partial(reap, stage.store, stage.announcer, quiet_s=15))
    for _ in range(20):
        await trio.sleep(5)  # virtual
        await stage.store.heartbeat(NODE, lease_s=15)
    assert (await stage.get(job)).state is State.RUNNING


async def test_after_an_outage_of_the_store_owners_have_time_to_hand_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert()
    await stage.run_elsewhere(job)
    nursery.start_soon(partial(reap, stage.store, stage.announcer, quiet_s=15))
    await trio.sleep(2)  # virtual
    stage.store.failing["*"] = StoreUnavailable("away")
    await trio.sleep(60)  # virtual: the lease ends, and nobody could have renewed it
    stage.store.failing.clear()
    await trio.sleep(3)  # virtual: when a node that was cut off gets through again
    await stage.store.finish([Outcome(job=await stage.get(job), kind="released", failure=Failure("lease_lost", "…"))])
    await trio.sleep(30)  # virtual
    assert (await stage.get(job)).crashes == 0
