"""Direct starts: past index and claim, for a node that waits for work; never past somebody who was there before."""

from __future__ import annotations

import uuid
from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.errors import StoreUnavailable
from tickr.intake import Intake
from tickr.jobs import Job, NewJob, State
from tickr.store.contract import Start
from tickr.worker.claim import QUIET_S
from tickr.worker.direct import Direct
from tickr.worker.pool import PARTS
from tickr.worker.worker import Worker

SLOTS = 2 * PARTS


class Node(Slots):
    """One node's intake and worker. Its jobs run until ``gate`` opens; ``order`` is that of their starts."""

    def __init__(self, stage: Stage, slots: int = SLOTS) -> None:
        async def waits(job: Any) -> None:
            self.order.append(job.id)
            await self.gate.wait()

        super().__init__(stage, waits, slots=slots)
        self.gate = trio.Event()
        self.holds_lease = True
        self.order: list[str] = []
        self.direct = Direct(self.claimer, self.pool, types=self.jobs.types, holds_lease=lambda: self.holds_lease)
        self.intake = Intake(stage.store, stage.bell, stage.announcer, self.direct)

    async def start(self, nursery: trio.Nursery) -> None:
        await self.run(nursery)
        nursery.start_soon(self.intake.run)
        await self.claim(nursery)
        await self.wait_quiet()

    async def wait_quiet(self) -> None:
        """Return when the claim loop has waited for a while, if it has nothing to do."""
        await wait_all_tasks_blocked()
        await trio.sleep(2 * QUIET_S)  # virtual

    async def submit(self, **fields: Any) -> Job:
        job, created = await self.intake.submit(new(**fields))
        assert created
        return job


def new(**fields: Any) -> NewJob:
    return NewJob(**{"id": str(uuid.uuid4()), "type": "noop", **fields})


async def test_an_idle_node_starts_a_job_with_the_transaction_that_stores_it(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    pushes = stage.index.calls["push"]
    job = await node.submit()
    assert (job.state, job.version, job.attempt, job.started_at) == (State.READY, 1, 0, None), "as it was created"
    assert (await stage.get(job)).state is State.RUNNING
    await wait_all_tasks_blocked()
    assert (node.order, node.claims, stage.index.calls["push"]) == ([job.id], 0, pushes)
    again, created = await node.intake.submit(new(id=job.id))
    assert (again.state, created) == (State.RUNNING, False), "asked again, it is what it is now"
    node.gate.set()
    await wait_all_tasks_blocked()
    assert (await stage.get(job)).state is State.SUCCEEDED


async def test_only_what_could_be_claimed_here_starts(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    for other in (new(type="elsewhere"), new(queue="of others"), new(delay_us=SECOND_US)):
        with node.direct.offer([other]) as start:
            assert start is None
        with node.direct.offer([other, plain := new()]) as start:
            assert start == (NODE, {plain.id})
    later = await node.submit(run_at=stage.wall_clock() + SECOND_US)
    assert (await stage.get(later)).state is State.READY, "the store knows what is due"


async def test_a_part_of_the_slots_and_the_most_urgent_first(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    jobs = [new(priority=9 - at) for at in range(6)]
    await node.intake.submit_many(jobs)
    await node.wait_quiet()
    assert set(node.order[: SLOTS // PARTS]) == {job.id for job in jobs[-SLOTS // PARTS :]}
    assert sorted(node.order) == sorted(job.id for job in jobs), "the others by way of the claim"
    assert node.claims == 1
    job = await node.submit()
    await node.wait_quiet()
    assert (node.claims, node.order[-1]) == (2, job.id), "busy enough"


async def test_nobody_who_waits_is_overtaken(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """All slots are taken and one job waits; when a slot is free, that one is next."""
    node = Node(stage, slots=1)
    await node.start(nursery)
    first = await node.submit()
    await node.wait_quiet()
    second = await node.submit()
    await node.wait_quiet()
    third = await node.submit()
    await node.wait_quiet()
    assert node.order == [first.id]
    node.gate.set()
    await node.wait_quiet()
    assert node.order == [first.id, second.id, third.id]


async def test_a_claim_loop_that_has_only_begun_to_look_is_not_known_to_be_idle(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.claim(nursery)
    with node.direct.offer([new()]) as start:
        assert start is None
    await node.wait_quiet()
    with node.direct.offer([new()]) as start:
        assert start is not None
        assert node.pool.free == SLOTS - 1
    assert node.pool.free == SLOTS
    node.claimer.close()
    with node.direct.offer([new()]) as start:
        assert start is None, "a node that stops begins nothing more"


async def test_a_store_that_fails_gives_the_slots_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage, slots=1)
    await node.start(nursery)
    stage.store.failing["insert"] = StoreUnavailable("away")
    for _ in range(3):
        (answer,) = await node.intake.submit_many([new()])
        assert isinstance(answer, StoreUnavailable)
    del stage.store.failing["insert"]
    assert (node.pool.free, node.pool.part) == (1, 1)
    assert (await stage.get(await node.submit())).state is State.RUNNING


async def offered(node: Node, direct: Direct) -> tuple[Start, Job]:
    """Return a job that was stored as started here, and is about to begin."""
    with direct.offer([job := new()]) as start:
        assert start is not None
        ((stored, _),) = await node.stage.store.insert([job], start=start)
    assert stored.state is State.RUNNING
    return start, stored


async def test_what_was_stored_under_a_lost_lease_is_left_to_whoever_finds_it(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await stage.register()
    options = {"slots": SLOTS, "max_result_bytes": 100, "lease_s": 15.0, "holds_lease": lambda: True}
    options["describe"] = stage.describe
    worker = Worker(node.jobs, stage.store, stage.index, stage.bell, stage.announcer, **options)  # type: ignore[arg-type]
    nursery.start_soon(worker.run, nursery)
    async with trio.open_nursery() as session:
        session.start_soon(worker.claim, NODE)
        await node.wait_quiet()
        start, stored = await offered(node, worker.direct)
        worker.lose_lease()
        session.cancel_scope.cancel()
    worker.direct.begin(start, [stored])
    nursery.start_soon(worker.claim, "11111111-1111-7111-8111-111111111112")
    await node.wait_quiet()
    worker.direct.begin(start, [stored])
    await node.wait_quiet()
    assert node.order == []


async def test_what_was_taken_before_a_stop_begins_all_the_same(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nobody else would look for it before this node is gone, and that would count as a crash."""
    node = Node(stage)
    await node.start(nursery)
    start, stored = await offered(node, node.direct)
    node.claimer.close()
    await node.wait_quiet()
    node.direct.begin(start, [stored])
    node.gate.set()
    await node.wait_quiet()
    assert (await stage.get(stored)).state is State.SUCCEEDED


async def test_a_node_that_was_frozen_for_longer_than_its_lease_begins_nothing(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    node.holds_lease = False
    with node.direct.offer([new()]) as start:
        assert start is None
