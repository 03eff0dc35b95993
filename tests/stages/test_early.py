"""What the index gives a moment early is kept, with a slot for it, and claimed at its instant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.errors import StoreUnavailable
from tickr.index.contract import EARLY_US
from tickr.scheduler.promote import promote
from tickr.worker.early import AT_ONCE

EARLY_S = EARLY_US / 1e6
OTHER = "22222222-2222-7222-8222-222222222222"


class Node(Slots):
    """``began``: when each job began, in seconds since the node did."""

    def __init__(self, stage: Stage, *, slots: int = 10, work: Callable[[], Awaitable[object]] | None = None) -> None:
        async def notes(job: Any) -> None:
            self.began[job.id] = round(trio.current_time() - self.since, 6)
            if work is not None:
                await work()

        super().__init__(stage, notes, slots=slots)
        self.began: dict[str, float] = {}
        self.since = trio.current_time()

    async def start(self, nursery: trio.Nursery, node: str = NODE) -> None:
        await self.run(nursery)
        nursery.start_soon(promote, self.stage.store, self.stage.index, self.stage.bell)
        await self.claim(nursery, node)


@pytest.fixture
async def node(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> Node:
    node = Node(stage)
    await node.start(nursery)
    return node


async def test_a_delayed_job_is_taken_out_before_and_begins_at_its_instant(
    stage: Stage, autojump_clock: MockClock, node: Node
) -> None:
    (job,) = await stage.submit(delay_us=2 * SECOND_US)
    await trio.sleep(2 - EARLY_S / 2)  # virtual
    assert (await stage.indexed(), node.pool.free, node.claims) == ((0, 0), 9, 0)
    await trio.sleep(1)  # virtual
    assert (node.began, node.pool.free, node.claims) == ({job.id: 2.0}, 10, 1)


async def test_each_begins_at_its_own_instant_whatever_their_order(
    stage: Stage, autojump_clock: MockClock, node: Node
) -> None:
    wanted = {}
    for at_us in (1_003_000, 1_001_000, 1_004_000, 1_000_000, 1_009_000):
        (job,) = await stage.submit(delay_us=at_us)
        wanted[job.id] = at_us / 1e6
    (urgent,) = await stage.submit(delay_us=1_002_000, priority=0)
    await trio.sleep(2)  # virtual
    assert node.began == {**wanted, urgent.id: 1.002}


async def test_who_is_due_during_a_claim_waits_for_no_other_and_many_share_one(
    stage: Stage, autojump_clock: MockClock, node: Node
) -> None:
    stage.slow_down_claims(0.003)
    for at_us in range(1_000_000, 1_003_000, 500):
        await stage.submit(delay_us=at_us)
    await trio.sleep(2)  # virtual
    assert sorted(node.began.values()) == [1.003, 1.0035, *4 * [1.006]]
    assert node.claims == AT_ONCE + 1


async def test_a_node_that_stops_lets_claims_end(stage: Stage, autojump_clock: MockClock, node: Node) -> None:
    stage.slow_down_claims(0.003)
    jobs = [(await stage.submit(delay_us=at_us))[0] for at_us in (1_000_000, 1_001_000, 1_004_000)]
    await trio.sleep(1.002)  # virtual
    node.claimer.close()
    await trio.sleep(1)  # virtual
    assert list(node.began) == [job.id for job in jobs[:2]]
    assert (await stage.indexed(), node.pool.free) == ((1, 0), 10)


async def test_a_slot_is_kept_for_it(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = Node(stage, slots=1)
    await node.start(nursery)
    (early,) = await stage.submit(delay_us=SECOND_US)
    await trio.sleep(1 - EARLY_S / 2)  # virtual
    (other,) = await stage.submit()
    await trio.sleep(1)  # virtual
    assert list(node.began) == [early.id, other.id]
    assert node.began[early.id] == 1.0


async def test_a_node_that_stops_puts_it_back(stage: Stage, autojump_clock: MockClock, node: Node) -> None:
    await stage.submit(delay_us=SECOND_US)
    await trio.sleep(1 - EARLY_S / 2)  # virtual
    node.claimer.close()
    await wait_all_tasks_blocked()
    assert (await stage.indexed(), node.pool.free, node.claims) == ((1, 0), 10, 0)


async def test_what_a_node_that_stops_puts_back_begins_in_time_at_another(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, node: Node
) -> None:
    (job,) = await stage.submit(delay_us=SECOND_US)
    await trio.sleep(1 - EARLY_S / 2)  # virtual
    other = Node(stage)
    await other.start(nursery, OTHER)
    node.claimer.close()
    await trio.sleep(1)  # virtual
    assert (node.began, list(other.began)) == ({}, [job.id])
    assert other.began[job.id] == pytest.approx(EARLY_S / 2)


async def test_a_session_that_is_cut_gives_the_slot_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    async with trio.open_nursery() as session:
        await node.start(session)
        await stage.submit(delay_us=SECOND_US)
        await trio.sleep(1 - EARLY_S / 2)  # virtual
        assert node.pool.free == 9
        session.cancel_scope.cancel()
    assert node.pool.free == 10


async def test_a_store_that_is_away_just_then_costs_a_look_of_the_audit_and_no_slot(
    stage: Stage, autojump_clock: MockClock, node: Node
) -> None:
    (job,) = await stage.submit(delay_us=SECOND_US)
    stage.store.failing["claim"] = StoreUnavailable("away")
    await trio.sleep(2)  # virtual
    assert (node.began, node.claims, node.pool.free) == ({}, 1, 10)
    del stage.store.failing["claim"]
    await stage.index.push([job.entry()], now=stage.store.now_us())  # as the audit does
    await trio.sleep(1)  # virtual
    assert list(node.began) == [job.id]


async def test_an_outage_of_the_store_does_not_empty_the_index(
    stage: Stage, autojump_clock: MockClock, node: Node
) -> None:
    jobs = [(await stage.submit(delay_us=SECOND_US + at_us))[0] for at_us in range(0, 5_000_000, 50_000)]
    stage.store.failing["claim"] = stage.store.failing["ping"] = StoreUnavailable("away")
    await trio.sleep(7)  # virtual
    assert node.claims == 1
    assert (await stage.indexed())[0] == len(jobs) - 1
    stage.store.failing.clear()
    await trio.sleep(2)  # virtual
    assert len(node.began) == len(jobs) - 1, "and one that the audit would find"


async def test_a_claim_past_the_index_leaves_the_slots_that_are_kept(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What brings it about: the index gives a job that only another node handles, while the store has many."""
    gate = trio.Event()
    node = Node(stage, work=gate.wait)
    await node.start(nursery)
    await stage.register(OTHER, types=("big",))
    await stage.insert(30)
    early = [entry for job in await stage.insert(9, delay_us=1_004_000) for entry in [job.entry()]]
    await trio.sleep(1)  # virtual
    (foreign,) = await stage.insert(type="big")
    await stage.index.push([*early, foreign.entry()], now=stage.store.now_us() + EARLY_US)
    most = 0
    for _ in range(40):
        await trio.sleep(EARLY_S / 20)  # virtual
        most = max(most, len(node.pool.running))
    assert most == 10
    gate.set()
