"""Reconcile: cancellations reach running jobs by bell or by heartbeat, and a claim whose answer got lost is undone."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, Stage
from tests.stages.nodes import Slots
from tickr.bell import Ring
from tickr.jobs import Job, State
from tickr.store.contract import Running
from tickr.worker.reconcile import Reconciler


class Node(Slots):
    """A pool with endless jobs, its outcomes and its reconciler."""

    def __init__(self, stage: Stage) -> None:
        async def endless() -> None:
            await trio.sleep_forever()

        super().__init__(stage, endless)
        self.reconciler = Reconciler(stage.store, stage.bell, self.pool, self.outcomes)

    async def start(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.reconciler.run)
        await self.run(nursery)

    async def run_one(self) -> Job:
        (job,) = await self.stage.insert()
        claimed = await self.stage.run_elsewhere(job, lease_s=10_000)
        self.pool.start([claimed])
        await wait_all_tasks_blocked()
        return claimed


async def test_a_ring_stops_a_running_job(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = Node(stage)
    await node.start(nursery)
    job, other = await node.run_one(), await node.run_one()
    await stage.store.cancel(job.id)
    await stage.bell.ring(Ring("cancel", job=job.id))
    await wait_all_tasks_blocked()
    assert (await stage.get(job)).state is State.CANCELLED
    assert (await stage.get(other)).state is State.RUNNING


async def test_a_heartbeat_stops_it_when_the_ring_was_lost(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    job = await node.run_one()
    await stage.store.cancel(job.id)
    node.reconciler.heard_from_store(await stage.store.heartbeat(NODE, lease_s=15) or [])
    await wait_all_tasks_blocked()
    assert (await stage.get(job)).state is State.CANCELLED


async def test_a_claim_that_nobody_knows_is_handed_back_at_the_third_heartbeat(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    (job,) = await stage.insert()
    lost = await stage.run_elsewhere(job, lease_s=10_000)  # claimed for this node, but its pool never heard of it
    listed = [Running(lost.id, lost.fence, False)]
    for _ in range(2):
        node.reconciler.heard_from_store(listed)
        await wait_all_tasks_blocked()
        assert (await stage.get(job)).state is State.RUNNING  # it may just be on its way to the pool
    node.reconciler.heard_from_store(listed)
    await wait_all_tasks_blocked()
    after = await stage.get(job)
    assert (after.state, after.attempt, after.crashes) == (State.READY, 0, 0)
    assert await stage.indexed() == (1, 0)


async def test_a_job_that_runs_here_is_left_alone(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    job = await node.run_one()
    for _ in range(3):
        node.reconciler.heard_from_store([Running(job.id, job.fence, False)])
        await wait_all_tasks_blocked()
    assert (await stage.get(job)).state is State.RUNNING
