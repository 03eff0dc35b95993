"""The statistics are added up from the log, each row once, by any number of nodes, and what is too old goes."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tickr.errors import StoreUnavailable
from tickr.scheduler import statistics
from tickr.scheduler.statistics import BATCH, BATCH_PAUSE_S, KEEP_S, PAUSE_S, PRUNE_BATCH, PRUNE_S, Statistics
from tickr.store.contract import Span, SumPlace, Tallied
from tickr.store.sums import LogRow, Sums, add_row
from tickr.tallies import Part, Step

EVER = 2**60


async def created(stage: Stage, step: Step = Step.DAY) -> int:
    found = await stage.store.port.sums(Span(step, 0, EVER), 1000)
    return sum(part["created"] for _, part in found)


async def test_what_is_committed_is_counted_in_a_few_seconds(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Statistics(stage.store).run)
    await wait_all_tasks_blocked()
    for number in range(1, 4):
        await stage.insert()
        assert await created(stage) == number - 1
        await trio.sleep(PAUSE_S + 0.1)  # virtual
        for step in Step:
            assert await created(stage, step) == number
        assert (await stage.store.port.tallied()).at == stage.wall_clock()


async def test_a_lot_is_added_in_batches(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for _ in range(BATCH + 10):
        await stage.insert()
    nursery.start_soon(Statistics(stage.store).run)
    await wait_all_tasks_blocked()
    assert await created(stage) == BATCH
    assert (await stage.store.port.tallied()).at == stage.wall_clock()  # when the last of them was written
    await trio.sleep(BATCH_PAUSE_S * 1.5)  # virtual
    assert await created(stage) == BATCH + 10


async def test_what_is_in_hand_is_bounded_and_stored_on_the_way(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_SUMS", 2 * len(Step))
    for number in range(5):
        await stage.insert(type=f"t{number}")
    nursery.start_soon(Statistics(stage.store).run)
    await wait_all_tasks_blocked()
    assert stage.store.calls["add_tallies"] == 3
    assert await created(stage) == 5
    assert (await stage.store.port.tallied()).at == stage.wall_clock()


async def test_others_have_their_turn_between_two_rows(
    stage: Stage, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, turns_at = 0, list[int]()

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    def added(sums: Sums, row: LogRow) -> None:
        turns_at.append(turns)
        add_row(sums, row)

    monkeypatch.setattr(statistics, "add_row", added)
    for _ in range(5):
        await stage.insert()
    nursery.start_soon(other)
    nursery.start_soon(Statistics(stage.store).run)
    with trio.fail_after(10):
        while len(turns_at) < 5:
            await trio.lowlevel.checkpoint()
    assert turns_at[0] < turns_at[2] < turns_at[4]  # of one round of the loop the order is by chance


async def test_an_idle_log_is_not_written_for(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    nursery.start_soon(Statistics(stage.store).run)
    await trio.sleep(PAUSE_S * 10 + 1)  # virtual
    assert stage.store.calls == {"number_events": 11, "untallied": 11, "prune_sums": len(Step)}


async def test_several_nodes_count_each_row_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for _ in range(3):
        nursery.start_soon(Statistics(stage.store).run)
    for _ in range(20):
        await stage.insert()
        await trio.sleep(0.7)  # virtual
    await trio.sleep(PAUSE_S * 1.5)  # virtual
    assert await created(stage) == 20
    assert stage.store.calls["add_tallies"] > 10


async def test_each_outage_is_told_once_and_outlived(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Statistics(stage.store).run)
    for number, method in enumerate(("*", "untallied", "add_tallies"), start=1):
        await stage.insert()
        with capture_logs() as logs:
            stage.store.failing[method] = StoreUnavailable("away")
            await trio.sleep(PAUSE_S * 3.5)  # virtual
            stage.store.failing.clear()
            await trio.sleep(PAUSE_S * 1.5)  # virtual
        assert await created(stage) == number
        assert [entry["event"] for entry in logs] == ["statistics.interrupted"]


async def test_rows_that_were_deleted_before_they_were_counted_are_told(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for _ in range(5):
        await stage.insert()
    await stage.store.port.prune_events(EVER, 3)
    with capture_logs() as logs:
        nursery.start_soon(Statistics(stage.store).run)
        await wait_all_tasks_blocked()
    assert [(entry["event"], entry["rows"]) for entry in logs] == [("statistics.rows_lost", 3)]
    assert await created(stage) == 2


async def test_each_step_is_kept_for_its_time(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store, now = stage.store.port, stage.wall_clock()
    ages = {step: [KEEP_S[step] + n * step.length_us // 1_000_000 for n in (-2, 2)] for step in Step}
    old = {
        SumPlace(step, step.begin(now - age * 1_000_000), "q", f"t{age}"): Part("q", f"t{age}")
        for step in Step
        for age in ages[step]
    }
    many = {
        SumPlace(Step.MINUTE, Step.MINUTE.begin(now - 10**15), "q", f"t{n}"): Part("q", f"t{n}") for n in range(200)
    }
    assert await store.add_tallies(old | many, after=0, upto=Tallied(0, 0))
    nursery.start_soon(Statistics(stage.store).run)
    await trio.sleep(PRUNE_S / 2)  # virtual
    left = {step: [part.type for _, part in await store.sums(Span(step, -EVER, EVER), 1000)] for step in Step}
    assert left == {step: [f"t{ages[step][0]}"] for step in Step}
    assert PRUNE_BATCH > 200
