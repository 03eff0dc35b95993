"""The one reader of a process: when it reads, what it keeps, and what a crowd costs. Virtual time."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.feed.conftest import Log, caught_up, names, receive
from tickr.errors import CursorExpired
from tickr.feed import tail as tails
from tickr.feed.cursor import Place, read
from tickr.feed.selection import EVERYTHING, Selection


async def test_nobody_listens_nothing_is_read(log: Log, autojump_clock: MockClock) -> None:
    await log.write()
    await trio.sleep(60)  # virtual
    assert log.store.calls["event_rows"] == 0
    async with log.listening() as listener:
        await caught_up(listener)
    await trio.sleep(2)  # virtual
    reads = log.store.calls["event_rows"]
    assert reads
    await trio.sleep(60)  # virtual
    assert log.store.calls["event_rows"] == reads


async def test_after_a_sleep_it_begins_where_the_log_ends_then(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(3):
        async with log.listening() as listener:
            await caught_up(listener)
            await log.write(2)
            assert await receive(listener, 2) == log.told[-1]
        await log.write(3)
        await trio.sleep(5)  # virtual
        await log.write(1)


async def test_leaving_and_coming_at_once_keeps_it_reading(log: Log, autojump_clock: MockClock) -> None:
    cursor = "earliest"
    got: list[str] = []
    for _ in range(20):
        await log.write(2)
        async with log.listening(cursor) as listener:
            got += await receive(listener, 1)
            cursor = listener.cursor
    assert got == log.all_told


async def test_a_crowd_shares_reads_and_texts(log: Log, autojump_clock: MockClock) -> None:
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(log.feed.subscribe(EVERYTHING)) for _ in range(50)]
        for listener in crowd:
            await caught_up(listener)
        reads = log.store.calls["event_rows"]
        await log.write(5)
        got = [await listener.receive() for listener in crowd]
        assert log.store.calls["event_rows"] == reads + 1
        assert len({id(delivery) for delivery in got}) == 1
        assert got[0].frame is got[-1].frame
        assert got[0].sse is got[-1].sse


async def test_followers_of_other_jobs_cost_an_event_nothing(log: Log, autojump_clock: MockClock) -> None:
    asked = 0

    class Counting(Selection):
        def takes(self, event: object) -> bool:
            nonlocal asked
            asked += 1
            return super().takes(event)  # type: ignore[arg-type]

    jobs = await log.write(200)
    async with AsyncExitStack() as stack:
        for job in jobs:
            followed = Counting(jobs=frozenset({job.id}))
            await caught_up(await stack.enter_async_context(log.feed.subscribe(followed)))
        asked = 0
        await log.store.cancel(jobs[7].id)
        await wait_all_tasks_blocked()
        assert asked == 1


async def test_who_comes_back_soon_is_served_from_memory(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as stays:
        await caught_up(stays)
        async with log.listening() as goes:
            await caught_up(goes)
        for _ in range(5):
            await log.write(2)
        await receive(stays, 10)
        await wait_all_tasks_blocked()
        calls = log.store.calls + Counter({"number_events": 1})  # whether it has really caught up
        async with log.listening(goes.cursor) as back:
            assert await caught_up(back) == log.all_told
        assert log.store.calls == calls


async def test_what_is_kept_is_bounded(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        start = listener.cursor
        for _ in range(tails.KEPT_ROWS + 10):
            await log.write()
            await receive(listener, 1)
        tail = log.feed._tail
        assert len(tail._kept) == tails.KEPT_ROWS
        assert not tail.keeps(read(start)[1])
        assert tail.keeps(Place(tail.seq))
        assert tail.keeps(Place(tail.seq - tails.KEPT_ROWS))
        for _ in range(10):
            await log.write(1000, labels='{"a":"' + "x" * 900 + '"}')
        await wait_all_tasks_blocked()
        assert tail._kept_bytes <= tails.KEPT_BYTES
        async with log.listening(start) as back:
            assert len(await caught_up(back)) == tails.KEPT_ROWS + 10 + 10_000


async def test_deliveries_are_of_bearable_size(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as live:
        await caught_up(live)
        await log.write(1000, labels='{"a":"' + "x" * 2000 + '"}')
        async with log.listening("earliest") as late:
            for listener in (live, late):
                got: list[str] = []
                while len(got) < 1000:
                    delivery = await listener.receive()
                    got += names(delivery)
                    assert len(delivery.frame) < 600 * 1024
                assert got == log.all_told


async def test_who_is_ahead_of_the_tail_waits_for_it(log: Log, autojump_clock: MockClock) -> None:
    """Rows read from the store before the tail has come to them must not come again from the tail."""
    async with log.listening() as first:
        await caught_up(first)
        await wait_all_tasks_blocked()
        log.deafen()
        await log.write(3)
        async with log.listening("earliest") as second:
            assert await receive(second, 3) == log.all_told
            await log.write(2)
            assert await caught_up(second) == log.told[-1]
            await log.write(1)
            assert await receive(second, 1) == log.told[-1]
            assert await receive(first, 6) == log.all_told


async def test_rows_that_all_went_before_they_were_read_are_missed_aloud(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as live:
        await caught_up(live)
        await wait_all_tasks_blocked()
        log.deafen()
        await log.write(3)
        await log.store.prune_events(log.wall_clock() + 1, 10)
        async with log.listening(await log.feed.cursor()) as newcomer:
            for listener in (live, newcomer):
                with pytest.raises(CursorExpired):
                    await receive(listener, 1)
