"""Claims: a slot first, then a hint from the index, then the store's word; and what becomes of what was not claimed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, SECOND_US, Stage
from tickr.bell import Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.heap import open_heap
from tickr.jobs import Entry, Job, State
from tickr.scheduler.audit import FRONT, Audit
from tickr.scheduler.promote import promote
from tickr.worker.claim import WINDOW, Claimer
from tickr.worker.hints import MAX_PAUSE_US, PAUSE_US


class Slots:
    """Slots that are free until taken; ``free`` gives more."""

    has_suspect = False

    def __init__(self, free: int) -> None:
        self.free = free
        self.reserved = 0
        self.started: list[Job] = []
        self.running = self.started
        self.freed = trio.Event()

    async def wait_free(self) -> int:
        while self.free <= 0:
            self.freed = trio.Event()
            await self.freed.wait()
        return self.free

    @property
    def room(self) -> int:
        return max(0, self.free)

    def start(self, jobs: Sequence[Job]) -> None:
        assert len(jobs) <= self.free + self.reserved
        self.free -= len(jobs)
        self.started.extend(jobs)

    def reserve(self, count: int) -> None:
        self.free -= count
        self.reserved += count

    def release(self, count: int) -> None:
        self.reserved -= count
        self.give(count)

    def give(self, count: int) -> None:
        self.free += count
        self.freed.set()


OTHER = "22222222-2222-7222-8222-222222222222"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage on which the claiming node has its row."""
    async with open_heap() as index:
        stage = Stage(index)
        await stage.register()
        yield stage


def claimer_of(stage: Stage, slots: Slots, types: Sequence[str] = ("noop",)) -> Claimer:
    return stage.claimer(slots, types)


async def test_it_claims_no_more_than_it_has_slots(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slots = Slots(3)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    jobs = await stage.submit(5)
    await wait_all_tasks_blocked()
    assert len(slots.started) == 3
    slots.give(10)
    await wait_all_tasks_blocked()
    assert {job.id for job in slots.started} == {job.id for job in jobs}
    assert {(job.state, job.attempt, job.fence, job.node) for job in slots.started} == {(State.RUNNING, 1, 1, NODE)}


async def test_it_claims_what_there_is_room_for_when_the_index_answers(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Room for jobs claimed ahead is gone after a long wait; what was asked for then is not lost, but tried again."""
    slots = Slots(10)
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await wait_all_tasks_blocked()
    slots.free = 2
    jobs = await stage.submit(5)
    await wait_all_tasks_blocked()
    assert len(slots.started) == 2
    slots.give(10)
    await trio.sleep(0.1)  # virtual
    assert {job.id for job in slots.started} == {job.id for job in jobs}


async def test_it_finds_a_queue_that_is_new(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    slots = Slots(10)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await wait_all_tasks_blocked()
    for queue in ("mail", "default", "reports"):
        await stage.submit(queue=queue)
        await wait_all_tasks_blocked()
        assert slots.started[-1].queue == queue


async def test_every_queue_has_its_turn(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    await stage.submit(50)
    (rare,) = await stage.submit(queue="rare")
    slots = Slots(1)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    for _ in range(4):
        await wait_all_tasks_blocked()
        slots.give(1)
    await wait_all_tasks_blocked()
    assert rare.id in {job.id for job in slots.started}


async def test_what_it_cannot_run_waits_with_a_pause_that_doubles(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slots = Slots(10)
    (foreign,) = await stage.submit(type="foreign")
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(6.5)  # virtual: 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2
    assert stage.store.calls["claim"] == 7
    await trio.sleep(600)  # virtual
    assert stage.store.calls["claim"] <= 12 + 600 * SECOND_US / MAX_PAUSE_US
    assert slots.started == []
    assert (await stage.get(foreign)).version == 1


async def test_jobs_of_others_are_left_to_them_and_do_not_hide_ones_own(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A node with free slots beside a busy one with a backlog: neither starves the other, and nobody spins."""
    await stage.register(OTHER, types=("big",))
    big = await stage.submit(200, type="big", priority=4)
    (mine,) = await stage.submit()
    stage.slow_down_claims(0.003)
    slots, busy = Slots(4), Slots(0)
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    nursery.start_soon(claimer_of(stage, busy, ["big"]).run, OTHER)
    await trio.sleep(1)  # virtual
    assert [job.id for job in slots.started] == [mine.id]
    await trio.sleep(60)  # virtual
    assert stage.store.calls["claim"] < 100
    busy.give(200)
    await trio.sleep(1.5)  # virtual: what the other had in hand just then is back as well
    assert {job.id for job in busy.started} == {job.id for job in big}


async def test_more_queues_than_one_pop_looks_into_all_have_their_turn(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for number in range(2 * WINDOW):
        await stage.insert(queue=f"q{number:04}")
    slots = Slots(5_000)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(1)  # virtual: all due ones are put to the front at the start
    assert len(slots.started) == 2 * WINDOW
    for queue in ("q0001", f"q{WINDOW + 7:04}"):
        (job,) = await stage.submit(queue=queue)
        await trio.sleep(5)  # virtual
        assert slots.started[-1].id == job.id


async def test_a_node_that_starts_brings_paused_jobs_of_its_types_to_the_front(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (foreign,) = await stage.submit(type="foreign")
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    async with trio.open_nursery() as first:
        first.start_soon(claimer_of(stage, Slots(10)).run, NODE)
        await trio.sleep(300)  # virtual: the pause is long by now
        first.cancel_scope.cancel()
    able = Slots(10)
    nursery.start_soon(claimer_of(stage, able, ["foreign"]).run, NODE)
    await wait_all_tasks_blocked()
    assert [job.id for job in able.started] == [foreign.id]


async def test_jobs_of_a_node_that_has_just_come_are_left_to_it(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What the others know of the fleet is from before it came, and it has brought to the front what was there."""
    slots, able = Slots(40), Slots(40)
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await stage.submit(type="nobody's")
    await trio.sleep(0.01)  # virtual: it has looked who else there is
    await stage.register(OTHER, types=("foreign",))
    nursery.start_soon(claimer_of(stage, able, ["foreign"]).run, OTHER)
    await wait_all_tasks_blocked()
    foreign = await stage.submit(20, type="foreign")
    await trio.sleep(1)  # virtual
    assert {job.id for job in able.started} == {job.id for job in foreign}


async def test_many_jobs_that_nobody_can_run_share_one_pause(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    async def park(entries: Sequence[Entry], *, until: int) -> None:
        pauses.extend([until - stage.store.now_us()] * len(entries))

    monkeypatch.setattr(stage.index, "park", park)
    await stage.submit(20, type="foreign")
    nursery.start_soon(claimer_of(stage, Slots(40)).run, NODE)
    await wait_all_tasks_blocked()
    assert pauses == [PAUSE_US] * 20


async def test_a_hint_that_is_early_by_the_stores_clock_goes_back_to_waiting(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slots = Slots(10)
    (job,) = await stage.insert(delay_us=2 * SECOND_US)
    await stage.index.push([job.entry()], now=job.run_at)  # somebody's clock was ahead
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(1.9)  # virtual
    assert slots.started == []
    assert stage.store.calls["claim"] == 1
    await trio.sleep(0.2)  # virtual
    assert [one.id for one in slots.started] == [job.id]


async def test_stale_hints_are_dropped(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    (job,) = await stage.submit()
    await stage.store.cancel(job.id)
    nursery.start_soon(claimer_of(stage, Slots(10)).run, NODE)
    await wait_all_tasks_blocked()
    assert await stage.indexed() == (0, 0)


async def test_with_the_index_away_it_claims_from_the_store(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slots = Slots(10)
    stage.index.failing["pop"] = IndexUnavailable("away")
    stage.index.failing["push"] = IndexUnavailable("away")
    never = trio.Event()
    stage.index.port.wait_available = never.wait
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(10)  # virtual
    assert stage.store.calls["claim_due"] <= 11
    before = trio.current_time()
    await stage.submit()  # rings for work, since it cannot index
    await wait_all_tasks_blocked()
    assert len(slots.started) == 1
    assert trio.current_time() == before
    await stage.insert()  # nobody rings
    await trio.sleep(1.1)  # virtual
    assert len(slots.started) == 2


async def test_an_entry_lost_behind_a_front_that_nobody_handles_is_found(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(3 * FRONT, type="foreign")
    slots = Slots(10)
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(120)  # virtual
    (job,) = await stage.insert()  # COMMIT, then kill -9 before the index has it
    await trio.sleep(30)  # virtual
    assert [one.id for one in slots.started] == [job.id]


async def test_an_outage_of_the_store_is_outlasted_and_what_was_popped_is_not_lost(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slots = Slots(10)
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    await trio.sleep(2)  # virtual
    (job,) = await stage.insert()
    stage.store.failing["*"] = StoreUnavailable("away")
    await stage.index.push([job.entry()], now=job.run_at)
    await trio.sleep(30)  # virtual
    assert stage.store.calls["claim"] == 1
    stage.store.failing.clear()
    await trio.sleep(5)  # virtual
    assert [one.id for one in slots.started] == [job.id]


async def test_a_node_without_a_row_claims_nothing(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.store.deregister(NODE)
    slots = Slots(5)
    nursery.start_soon(claimer_of(stage, slots).run, NODE)
    (job,) = await stage.submit()
    await trio.sleep(5)  # virtual
    assert slots.started == []
    assert (await stage.get(job)).version == 1


async def test_close_ends_it_whether_it_waits_for_slots_or_for_jobs(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for slots in (Slots(0), Slots(5)):
        claimer = claimer_of(stage, slots)
        with trio.fail_after(1):
            async with trio.open_nursery() as running:
                running.start_soon(claimer.run, NODE)
                await wait_all_tasks_blocked()
                claimer.close()


async def test_close_cuts_no_claim(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    slots = Slots(5)
    claimer = claimer_of(stage, slots)
    claim = stage.store.port.claim

    async def slow_claim(*args: object, **kwargs: object) -> list[Job]:
        claimed: list[Job] = await claim(*args, **kwargs)
        claimer.close()
        await trio.sleep(1)  # virtual: COMMIT is done, the answer is on its way
        return claimed

    stage.store.port.claim = slow_claim
    (job,) = await stage.submit()
    await stage.bell.ring(Ring("queue"))
    await claimer.run(NODE)
    assert [one.id for one in slots.started] == [job.id]
