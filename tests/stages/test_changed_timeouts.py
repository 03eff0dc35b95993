"""Time-outs that are changed while their jobs run: by a ring, or by the next heartbeat; in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.edits import Edit
from tickr.intake import Intake
from tickr.jobs import Job, State
from tickr.worker.reconcile import Reconciler

OTHER = "22222222-2222-7222-8222-222222222222"
CHANGES = [(60, 20, 20), (20, 60, 60), (4, 60, 60), (60, 12, 12), (60, 5, 10)]
"""The time-out as it was, as it becomes within 10 s of the start, and after how long the job ends."""


def intake(stage: Stage) -> Intake:
    return Intake(stage.store, stage.bell, stage.announcer)


class Node(Slots):
    """A pool with endless jobs, its outcomes and its reconciler; it claims as ``name``."""

    def __init__(self, stage: Stage, handler: Any = trio.sleep_forever, name: str = NODE) -> None:
        async def endless() -> None:
            await handler()

        super().__init__(stage, endless)
        self.name = name
        self.reconciler = Reconciler(stage.store, stage.bell, self.pool, self.outcomes)

    async def start(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.reconciler.run)
        await self.run(nursery)

    async def run_one(self, timeout_s: float) -> Job:
        (job,) = await self.stage.insert(timeout_us=round(timeout_s * SECOND_US), max_attempts=1)
        claimed = await self.stage.run_elsewhere(job, self.name, lease_s=10_000)
        self.pool.start([claimed])
        await wait_all_tasks_blocked()
        return claimed

    async def beat(self) -> None:
        self.reconciler.heard_from_store(await self.stage.store.heartbeat(self.name, lease_s=10_000) or [])
        await wait_all_tasks_blocked()


async def ends_after(stage: Stage, job: Job) -> float:
    """Wait for the end of ``job``, and return how long it ran, in seconds."""
    while (found := await stage.get(job)).state is State.RUNNING:  # noqa: ASYNC110 -- looked at from outside
        await trio.sleep(0.25)  # virtual
    assert (found.state, found.error and found.error.kind) == (State.FAILED, "timeout")
    return ((found.finished_at or 0) - (found.started_at or 0)) / SECOND_US


@pytest.mark.parametrize("how", ["ring", "heartbeat"])
@pytest.mark.parametrize(
    ("was", "becomes", "ends"), [(60, 20, 20), (20, 60, 60), (4, 60, 60), (60, 12, 12), (60, 5, 10)]
)
async def test_a_time_out_that_is_changed_counts_from_the_start_of_the_attempt(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, how: str, was: float, becomes: float, ends: float
) -> None:
    node = Node(stage)
    await node.start(nursery)
    job, other = await node.run_one(was), await node.run_one(100)
    await trio.sleep(min(10, was / 2))  # virtual
    if how == "ring":
        await intake(stage).edit(job.id, Edit(timeout_us=round(becomes * SECOND_US)))
    else:
        await stage.store.edit(job.id, Edit(timeout_us=round(becomes * SECOND_US)))
        await node.beat()
    assert await ends_after(stage, job) == pytest.approx(ends, abs=0.01)
    assert (await stage.get(other)).state is State.RUNNING
    assert f"{becomes:g} s" in str((await stage.get(job)).error)


async def test_a_heartbeat_that_is_older_than_the_ring_takes_nothing_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    job = await node.run_one(10)
    old = await stage.store.heartbeat(NODE, lease_s=10_000) or []
    await intake(stage).edit(job.id, Edit(timeout_us=30 * SECOND_US))
    node.reconciler.heard_from_store(old)
    assert await ends_after(stage, job) == pytest.approx(30, abs=0.01)


async def test_the_attempt_of_another_node_is_none_of_its_business(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its node is killed and another runs the job: the new time-out is with it, and the ring reaches that one."""
    node, other = Node(stage), Node(stage, name=OTHER)
    await node.start(nursery)
    await other.start(nursery)
    job = await node.run_one(1000)
    await stage.store.edit(job.id, Edit(timeout_us=500 * SECOND_US))
    await stage.store.deregister(NODE)
    await stage.store.reap(10)
    again = await stage.run_elsewhere(await stage.get(job), OTHER, lease_s=10_000)
    assert again.timeout_us == 500 * SECOND_US
    other.pool.start([again])
    await wait_all_tasks_blocked()
    await intake(stage).edit(job.id, Edit(timeout_us=7 * SECOND_US))
    await wait_all_tasks_blocked()
    assert [one.timeout_us for one in node.pool.running] == [1000 * SECOND_US], "an attempt of the past"
    assert await ends_after(stage, again) == pytest.approx(7, abs=0.01)


async def test_its_success_counts_though_the_job_was_changed_meanwhile(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def short() -> None:
        await trio.sleep(5)  # virtual

    node = Node(stage, short)
    await node.start(nursery)
    job = await node.run_one(60)
    await intake(stage).edit(job.id, Edit(timeout_us=50 * SECOND_US))
    await trio.sleep(6)  # virtual
    assert ((await stage.get(job)).state, (await stage.get(job)).version) == (State.SUCCEEDED, 4)
