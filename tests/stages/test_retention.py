"""Retention numbers what nobody reads, deletes what is too old, a batch at a time, and outlives outages."""

from __future__ import annotations

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tests.store.tokened import an_entry
from tickr.errors import StoreUnavailable
from tickr.scheduler.retention import (
    BATCH,
    BATCH_PAUSE_S,
    LOOK_S,
    PRUNE_S,
    TRAIL_BATCH,
    TRAIL_PAUSE_S,
    Retention,
    TrailRetention,
)
from tickr.store.contract import Tallied

HOUR_S = 3600


async def kept(stage: Stage) -> tuple[int, int]:
    """Return the numbers of the oldest row that is kept and of the last."""
    state = await stage.store.feed_state()
    return state.oldest, state.head


async def insert(stage: Stage) -> None:
    """Have another row in the log, which the statistics have already."""
    await stage.insert()
    store = stage.store.port
    after, rows = await store.untallied(BATCH)
    assert await store.add_tallies({}, after=after, upto=Tallied(rows[-1].seq, 0))


async def test_rows_go_when_they_are_too_old_and_not_before(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Retention(stage.store, events_keep_s=HOUR_S).run)
    await insert(stage)
    await trio.sleep(HOUR_S / 2)  # virtual
    await insert(stage)
    await trio.sleep(HOUR_S / 2)  # virtual
    assert await kept(stage) == (1, 2)
    await trio.sleep(PRUNE_S + LOOK_S)  # virtual
    assert await kept(stage) == (2, 2)
    await trio.sleep(HOUR_S)  # virtual
    assert await kept(stage) == (3, 2)
    await insert(stage)
    assert await kept(stage) == (3, 3)


async def test_a_lot_goes_in_batches_with_a_pause_between(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rows = 2 * BATCH + 10
    for _ in range(rows):
        await insert(stage)
    await trio.sleep(HOUR_S + 1)  # virtual
    nursery.start_soon(Retention(stage.store, events_keep_s=HOUR_S).run)
    await wait_all_tasks_blocked()
    for gone in (BATCH, 2 * BATCH):
        assert await kept(stage) == (gone + 1, rows)
        await trio.sleep(BATCH_PAUSE_S * 0.9)  # virtual
        assert await kept(stage) == (gone + 1, rows)
        await trio.sleep(BATCH_PAUSE_S * 0.1)  # virtual
        await wait_all_tasks_blocked()
    assert await kept(stage) == (rows + 1, rows)
    await trio.sleep(BATCH_PAUSE_S * 2)  # virtual
    looks = stage.store.calls["prune_events"]
    await trio.sleep(PRUNE_S - LOOK_S)  # virtual: it is all gone, and there is no hurry
    assert stage.store.calls["prune_events"] == looks


async def test_what_is_kept_for_a_second_is_gone_within_a_few(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Retention(stage.store, events_keep_s=1).run)
    for row in range(1, 5):
        await insert(stage)
        await trio.sleep(LOOK_S + 1)  # virtual
        assert await kept(stage) == (row + 1, row)


async def test_rows_get_their_numbers_though_nobody_reads(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Retention(stage.store, events_keep_s=HOUR_S).run)
    await trio.sleep(LOOK_S * 10 + 1)  # virtual
    assert stage.store.calls["number_events"] == 11
    assert set(stage.store.calls) == {"number_events", "tallied", "prune_events"}


async def test_each_outage_is_told_once_and_outlived(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Retention(stage.store, events_keep_s=HOUR_S).run)
    for outage, method in enumerate(("*", "prune_events"), start=1):
        await insert(stage)
        with capture_logs() as logs:
            stage.store.failing[method] = StoreUnavailable("away")
            await trio.sleep(HOUR_S + PRUNE_S + 1)  # virtual
            stage.store.failing.clear()
            await trio.sleep(LOOK_S + 0.5)  # virtual
        assert await kept(stage) == (outage + 1, outage)
        assert [entry["event"] for entry in logs] == ["retention.interrupted"]


async def test_two_nodes_do_it_at_once(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for _ in range(2):
        nursery.start_soon(Retention(stage.store, events_keep_s=60).run)
    for _ in range(20):
        await insert(stage)
        await trio.sleep(10)  # virtual
    oldest, head = await kept(stage)
    assert head == 20
    assert 20 - (60 + PRUNE_S + LOOK_S) / 10 <= oldest <= 20 - 60 / 10 + 1


async def test_what_the_statistics_do_not_have_stays(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Retention(stage.store, events_keep_s=60).run)
    await insert(stage)
    await stage.insert()
    await trio.sleep(HOUR_S)  # virtual
    assert await kept(stage) == (2, 2)
    await insert(stage)
    await trio.sleep(HOUR_S)  # virtual
    assert await kept(stage) == (4, 3)


async def test_entries_of_the_trail_go_when_they_are_too_old(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def write() -> None:
        await stage.store.port.write_trail([an_entry(at=stage.store.now_us())], [])

    for _ in range(TRAIL_BATCH + 3):
        await write()
    await trio.sleep(HOUR_S / 2)  # virtual
    await write()
    nursery.start_soon(TrailRetention(stage.store, keep_s=HOUR_S).run)
    await trio.sleep(HOUR_S / 2 - 1)  # virtual
    assert len(await stage.store.port.trail(1000)) == TRAIL_BATCH + 4
    await trio.sleep(TRAIL_PAUSE_S + 2)  # virtual
    assert len(await stage.store.port.trail(1000)) == 1
    await trio.sleep(HOUR_S)  # virtual
    assert await stage.store.port.trail(1000) == []
