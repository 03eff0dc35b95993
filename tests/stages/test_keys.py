"""Keys on their way through a node: a line of their own, direct starts, the index, and how long they are kept."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tests.stages.test_direct import Node
from tests.store.keyed import requested, unique_job, unique_of
from tickr import intake
from tickr.errors import IndexUnavailable, KeyReused, Overloaded, StoreUnavailable, UniqueConflict
from tickr.intake import Intake
from tickr.jobs import NewJob, State
from tickr.scheduler.retention import KEYS_BATCH, KEYS_BATCH_PAUSE_S, KEYS_PAUSE_S, KeyRetention
from tickr.store.contract import Keyed


def plain(**fields: Any) -> NewJob:
    return NewJob(**{"id": str(uuid.uuid4()), "type": "noop", **fields})


unique = partial(unique_job, type="noop")


@asynccontextmanager
async def taking(stage: Stage) -> AsyncIterator[Intake]:
    line = Intake(stage.store, stage.bell, stage.announcer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        yield line
        line.close()


def hold_up(stage: Stage, which: Callable[[list[NewJob]], bool]) -> trio.Event:
    """Have the store wait with what ``which`` says until the event is set."""
    insert, gate = stage.store.port.insert, trio.Event()

    async def slow(new: list[NewJob], **how: Any) -> Any:
        if which(new):
            await gate.wait()
        return await insert(new, **how)

    stage.store.port.insert = slow
    return gate


def has_keys(new: list[NewJob]) -> bool:
    return any(one.wish for one in new)


# -- the line ---------------------------------------------------------------------------------------------------------


async def test_plain_jobs_wait_for_no_key(stage: Stage, autojump_clock: MockClock) -> None:
    gate = hold_up(stage, has_keys)
    async with taking(stage) as line, trio.open_nursery() as nursery:
        nursery.start_soon(line.submit, unique("k"))
        await wait_all_tasks_blocked()
        with trio.fail_after(1):
            _, created = await line.submit(plain())
            assert created
            assert len(await line.submit_many([plain(), plain()])) == 2
        gate.set()
    assert await stage.store.holder(unique_of("k")) is not None


async def test_of_many_each_goes_its_way_and_is_answered_at_its_place(stage: Stage, autojump_clock: MockClock) -> None:
    async with taking(stage) as line:
        new = [plain(), unique("k"), plain(), unique("k"), requested("r"), unique("k", on_conflict="reject"), plain()]
        answers = await line.submit_many(new)
    assert [isinstance(answer, Keyed) for answer in answers] == [False, True, False, True, True, False, False]
    assert [answer[0].id for answer in answers if isinstance(answer, tuple)] == [
        new[0].id, new[1].id, new[2].id, new[1].id, new[4].id, new[6].id,
    ]  # fmt: skip
    assert isinstance(answers[5], UniqueConflict)


async def test_a_store_that_is_late_with_one_part_is_late_with_that_alone(
    stage: Stage, autojump_clock: MockClock
) -> None:
    gate = hold_up(stage, has_keys)
    async with taking(stage) as line:
        stored, late = await line.submit_many([plain(), unique("k")], within_s=2)
        assert isinstance(stored, tuple)
        assert isinstance(late, StoreUnavailable)
        assert late.outcome_unknown
        gate.set()


async def test_a_line_that_is_full_refuses_its_own(
    stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 2)
    gate = hold_up(stage, has_keys)
    async with taking(stage) as line, trio.open_nursery() as nursery:
        nursery.start_soon(line.submit, unique("k0"))
        await wait_all_tasks_blocked()
        nursery.start_soon(line.submit_many, [unique("k1"), unique("k2")])
        await wait_all_tasks_blocked()
        refused, stored = await line.submit_many([unique("k3"), plain()])
        assert isinstance(refused, Overloaded)
        assert isinstance(stored, tuple)
        with pytest.raises(Overloaded):
            await line.submit(unique("k3"))
        gate.set()


async def test_what_came_first_counts_first(stage: Stage, autojump_clock: MockClock) -> None:
    gate = hold_up(stage, has_keys)
    new = [unique("k", on_conflict="replace") for _ in range(30)]
    async with taking(stage) as line, trio.open_nursery() as nursery:
        for one in new:
            nursery.start_soon(line.submit, one)
            await wait_all_tasks_blocked()
        gate.set()
    holder = await stage.store.holder(unique_of("k"))
    assert holder is not None
    assert holder.id == new[-1].id


async def test_what_is_refused_is_raised(stage: Stage, autojump_clock: MockClock) -> None:
    async with taking(stage) as line:
        await line.submit(requested("r", "one"))
        with pytest.raises(KeyReused):
            await line.submit(requested("r", "another"))
        await line.submit(unique("k"))
        with pytest.raises(UniqueConflict):
            await line.submit(unique("k", on_conflict="reject"))
        with pytest.raises(UniqueConflict):
            await line.submit_many([plain(), unique("k", on_conflict="reject")], atomic=True)
        answers = await line.submit_many([requested("r", "another"), requested("r", "one")])
        assert isinstance(answers[0], KeyReused)
        assert isinstance(answers[1], Keyed)
        assert answers[1].replayed


async def test_what_was_taken_is_stored_when_the_line_closes(stage: Stage, autojump_clock: MockClock) -> None:
    gate = hold_up(stage, has_keys)
    async with trio.open_nursery() as nursery:
        line = Intake(stage.store, stage.bell, stage.announcer)
        nursery.start_soon(line.run)
        for number in range(3):
            nursery.start_soon(line.submit, unique(f"k{number}"))
        await wait_all_tasks_blocked()
        line.close()
        gate.set()
    assert [await stage.store.holder(unique_of(f"k{number}")) is None for number in range(3)] == [False] * 3


# -- index and starts -------------------------------------------------------------------------------------------------


async def test_the_index_forgets_what_was_replaced(stage: Stage, autojump_clock: MockClock) -> None:
    async with taking(stage) as line:
        await line.submit(unique("k", delay_us=10_000_000))
        await line.submit(unique("now"))
        assert await stage.indexed() == (1, 1)
        with capture_logs() as logs:
            await line.submit(unique("k", on_conflict="replace", delay_us=10_000_000))
            await line.submit_many([unique("now", on_conflict="replace"), unique("now", on_conflict="replace")])
        assert await stage.indexed() == (1, 1)
    assert [one["event"] for one in logs].count("job.cancelled") == 3


async def test_an_index_that_is_away_is_no_obstacle(stage: Stage, autojump_clock: MockClock) -> None:
    async with taking(stage) as line:
        await line.submit(unique("k"))
        stage.index.failing["*"] = IndexUnavailable("away")
        _, created = await line.submit(unique("k", on_conflict="replace"))
        assert created


async def test_one_with_a_key_may_start_at_once_and_is_told_as_it_was_created(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    new = unique("k")
    answer = await node.intake.submit(new)
    assert isinstance(answer, Keyed)
    assert (answer[0].state, answer[0].version, answer[1]) == (State.READY, 1, True)
    running = await stage.get(answer[0])
    assert running.state is State.RUNNING
    held = await node.intake.submit(unique("k"))
    assert held[0] == running, "the holder is told as it is"
    named = requested("r", type="noop")
    first = await node.intake.submit(named)
    again = await node.intake.submit(requested("r", type="noop"))
    assert (again[0], again[1]) == (first[0], False)
    await wait_all_tasks_blocked()
    assert node.order == [new.id, named.id]
    node.gate.set()


# -- how long they are kept -------------------------------------------------------------------------------------------


async def test_old_keys_go_in_batches_with_a_pause_between(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for start in range(0, 2 * KEYS_BATCH, 500):
        await stage.store.insert([requested(f"k{start + number}", keep_s=60) for number in range(500)])
    await stage.store.insert([requested("younger", keep_s=300)])
    await trio.sleep(61)  # virtual
    nursery.start_soon(KeyRetention(stage.store).run)
    await wait_all_tasks_blocked()
    assert stage.store.calls["prune_keys"] == 1
    await trio.sleep(KEYS_BATCH_PAUSE_S)  # virtual
    await wait_all_tasks_blocked()
    assert stage.store.calls["prune_keys"] == 2
    await trio.sleep(KEYS_BATCH_PAUSE_S)  # virtual
    await wait_all_tasks_blocked()
    assert stage.store.calls["prune_keys"] == 3
    assert len(stage.store.port._keys._rows) == 1
    await trio.sleep(KEYS_PAUSE_S - 1)  # virtual: there is no hurry
    assert stage.store.calls["prune_keys"] == 3
    await trio.sleep(300)  # virtual
    assert stage.store.port._keys._rows == {}


async def test_it_goes_on_when_the_store_is_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.store.insert([requested("k", keep_s=1)])
    stage.store.failing["prune_keys"] = StoreUnavailable("away")
    with capture_logs() as logs:
        nursery.start_soon(KeyRetention(stage.store).run)
        await trio.sleep(5 * KEYS_PAUSE_S)  # virtual
        assert [one["event"] for one in logs] == ["retention.interrupted"]
        stage.store.failing.clear()
        await trio.sleep(KEYS_PAUSE_S + 1)  # virtual
    assert stage.store.port._keys._rows == {}
