"""Operations are gone on with step by step, as fast as they may be; and of many schedulers each step is made by one.

All in virtual time: the store's clock is trio's.
"""

from __future__ import annotations

from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.ports import Observed
from tests.stages.conftest import Stage
from tests.store.backends import new_id, put_final
from tickr.bell import Ring
from tickr.edits import Edit
from tickr.errors import StoreError, StoreUnavailable
from tickr.filters import EVERYTHING, Filter
from tickr.jobs import Job, State
from tickr.operation_moves import Begin, Stop
from tickr.operations import KEPT_US, Operation, filtered
from tickr.scheduler.operations import ASIDE_S, AWAY_S, LONGEST_SLEEP_S, PRUNE_S, Operations
from tickr.store import search


async def failed(stage: Stage, count: int, **fields: Any) -> list[Job]:
    return [await put_final(stage.store.port, State.FAILED, **fields) for _ in range(count)]


async def add(stage: Stage, action: Any = "retry", which: Filter = EVERYTHING, **fields: Any) -> Operation:
    """Begin an operation and tell nobody."""
    wish = Operation(id=new_id(), action=action, which=filtered(action, which), **fields)
    after = (await stage.store.move_operation(Begin(wish))).after
    assert isinstance(after, Operation)
    return after


async def look(stage: Stage, operation: Operation) -> Operation:
    found = await stage.store.operation(operation.id)
    assert isinstance(found, Operation)
    return found


async def states(stage: Stage) -> list[State]:
    now = stage.wall_clock()
    return [job.state_at(now) for job in (await stage.store.list_jobs(EVERYTHING, limit=1000)).jobs]


def begin(stage: Stage, nursery: trio.Nursery, nodes: int = 1) -> None:
    for _ in range(nodes):
        nursery.start_soon(Operations(stage.store, stage.index, stage.announcer, stage.bell).run)


async def test_all_that_match_run_again_and_the_index_knows(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await failed(stage, 7, type="a")
    await failed(stage, 2, type="b")
    begun = await add(stage, which=Filter(types=("a",)), edit=Edit(queue="slow"))
    begin(stage, nursery)
    await trio.sleep(1)  # virtual
    ended = await look(stage, begun)
    assert (ended.state, ended.done, ended.skipped) == ("done", 7, 0)
    assert sorted(await states(stage)) == [*["failed"] * 2, *["ready"] * 7]
    assert await stage.indexed() == (7, 0)
    assert await stage.index.pop(["slow"], 10) != []


async def test_it_goes_no_faster_than_it_may(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    await failed(stage, 30)
    begun, began = await add(stage, rate=2.0), trio.current_time()
    begin(stage, nursery, nodes=3)
    done = []
    for _ in range(5):
        await trio.sleep_until(began + 2 * len(done) + 1.2)  # virtual
        done.append((await look(stage, begun)).done)
    assert done == [3, 7, 11, 15, 19]


@pytest.mark.parametrize("nodes", [1, 2, 5])
async def test_of_many_schedulers_each_step_is_made_by_one(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, nodes: int
) -> None:
    jobs = await failed(stage, 120)
    begun = await add(stage, rate=40.0)
    begin(stage, nursery, nodes)
    await trio.sleep(10)  # virtual
    ended = await look(stage, begun)
    assert (ended.state, ended.done, ended.skipped) == ("done", 120, 0)
    assert {(await stage.get(job)).version for job in jobs} == {jobs[0].version + 1}


async def test_by_payload_several_nodes_go_through_all_and_touch_those_alone(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_INTO", 20)
    mine = {job.id for _ in range(3) for job in (await _mixed(stage))}
    operation = await add(stage, which=Filter(payload=(("customer", "7"),)), rate=40.0)
    begin(stage, nursery, nodes=3)
    await trio.sleep(30)  # virtual
    ended = await look(stage, operation)
    assert (ended.state, ended.done, ended.skipped) == ("done", len(mine), 0)
    again = {job.id for job in (await stage.store.list_jobs(Filter(states=(State.READY,)), limit=1000)).jobs}
    assert again == mine


async def _mixed(stage: Stage) -> list[Job]:
    """Store failed jobs of which a few are of customer 7. Returns: those."""
    found = await failed(stage, 2, payload='{"customer":7}')
    await failed(stage, 50, payload='{"customer":70}')
    return found


async def test_what_waits_is_cancelled_what_runs_is_told_and_the_index_forgets(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(3)
    (running,) = await stage.submit()
    running = await stage.run_elsewhere(running)
    async with stage.bell.listen("cancel") as rings:
        begun = await add(stage, "cancel", reason="no more")
        begin(stage, nursery)
        await trio.sleep(1)  # virtual
        assert rings.receive_nowait() == Ring("cancel", job=running.id, fence=running.fence)
    assert (await look(stage, begun)).done == 4
    assert sorted(await states(stage)) == ["cancelled", "cancelled", "cancelled", "running"]
    assert await stage.indexed() == (1, 0), "the entry of the one that runs, which nobody has popped"
    assert (await stage.get(running)).cancel_requested


async def test_a_ring_begins_at_once_and_a_lost_one_costs_the_longest_sleep(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    for told, at_most in ((True, 0.1), (False, LONGEST_SLEEP_S)):
        await wait_all_tasks_blocked()
        await failed(stage, 1)
        begun, began = await add(stage), stage.wall_clock()
        if told:
            await stage.bell.ring(Ring("operation"))
        await trio.sleep(2 * LONGEST_SLEEP_S)  # virtual
        finished_at = (await look(stage, begun)).finished_at
        assert finished_at is not None
        assert (finished_at - began) / 1e6 <= at_most


async def test_one_that_is_stopped_goes_no_further(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await failed(stage, 20)
    begun = await add(stage, rate=1.0)
    begin(stage, nursery)
    await trio.sleep(3.5)  # virtual
    await stage.store.move_operation(Stop(begun.id))
    await trio.sleep(60)  # virtual
    assert (await look(stage, begun)).done == 4
    assert (await states(stage)).count(State.READY) == 4


async def test_jobs_that_are_named_are_gone_through_by_their_ids(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs = await failed(stage, 9)
    named = tuple(sorted([job.id for job in jobs[::2]] + [new_id()]))
    begun = await add(stage, ids=named, rate=4.0)
    begin(stage, nursery)
    await trio.sleep(10)  # virtual
    ended = await look(stage, begun)
    assert (ended.state, ended.done, ended.skipped) == ("done", 5, 1)
    again = {job.id for job in jobs if (await stage.get(job)).state is State.READY}
    assert again == {job.id for job in jobs[::2]}


async def test_while_the_store_is_away_it_waits_and_goes_on(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await failed(stage, 8)
    begun = await add(stage, rate=8.0)
    begin(stage, nursery)
    await trio.sleep(0.6)  # virtual
    stage.store.failing["due_operations"] = StoreUnavailable("away")
    with structlog.testing.capture_logs() as logs:
        await trio.sleep(5)  # virtual
        assert [line["event"] for line in logs].count("operation.interrupted") == 1
        assert (await look(stage, begun)).state == "running"
        stage.store.failing.clear()
        await trio.sleep(AWAY_S + 2)  # virtual
    assert (await look(stage, begun)).done == 8


async def test_a_step_that_is_too_much_for_the_store_keeps_no_other_waiting(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await failed(stage, 2, type="a")
    bad, good = await add(stage, which=Filter(types=("b",))), await add(stage, which=Filter(types=("a",)))
    stage.store = refusing(stage.store, bad.id, StoreUnavailable("too long"))
    begin(stage, nursery)
    await trio.sleep(3)  # virtual
    assert ((await look(stage, bad)).state, (await look(stage, good)).state) == ("running", "done")


async def test_one_that_cannot_be_gone_on_with_keeps_no_other_waiting(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await failed(stage, 2, type="a")
    bad, good = await add(stage, which=Filter(types=("b",))), await add(stage, which=Filter(types=("a",)))
    stage.store = refusing(stage.store, bad.id)
    with structlog.testing.capture_logs() as logs:
        begin(stage, nursery)
        await trio.sleep(ASIDE_S / 2)  # virtual
    assert [line["operation"] for line in logs if line["event"] == "operation.set_aside"] == [bad.id]
    assert ((await look(stage, bad)).state, (await look(stage, good)).state) == ("running", "done")


def refusing(store: Observed, operation_id: str, error: StoreError | None = None) -> Observed:
    """Have the store refuse every step of one operation."""
    move = store.port.move_operation

    async def refuse(one: Any) -> Any:
        if one.id == operation_id:
            await trio.lowlevel.checkpoint()
            raise error or StoreError("no")
        return await move(one)

    store.port.move_operation = refuse
    return store


async def test_old_ones_are_forgotten(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    old = await add(stage)
    await stage.store.move_operation(Stop(old.id))
    begin(stage, nursery)
    await trio.sleep(PRUNE_S + 10)  # virtual
    assert await look(stage, old)
    stage.step_us = KEPT_US
    await trio.sleep(PRUNE_S + 10)  # virtual
    assert await stage.store.operation(old.id) is None
