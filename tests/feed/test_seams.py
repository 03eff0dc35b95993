"""Moments at which a feed could lose its place: what ends, moves or comes back while somebody waits. Virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.feed.conftest import Log, caught_up, receive
from tickr.errors import CursorExpired, FeedError, StoreError, StoreUnavailable
from tickr.feed.feed import EARLIEST
from tickr.feed.selection import EVERYTHING


def held_up(log: Log, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the answers of ``number_events`` take their time on the way back."""
    real = log.memory.number_events

    async def slow() -> int:
        head = await real()
        await trio.sleep(seconds)
        return head

    monkeypatch.setattr(log.memory, "number_events", slow)


async def test_an_event_told_while_the_end_is_asked_for_comes_at_once(
    log: Log, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    async with log.listening() as other:
        await caught_up(other)
        async with log.listening() as listener:
            held_up(log, monkeypatch, 0.02)

            async def write() -> None:
                await trio.sleep(0.01)  # virtual
                await log.write()

            nursery.start_soon(write)
            with trio.fail_after(0.1):
                await receive(listener, 1)


async def test_who_is_ended_while_it_replays_does_not_join(
    log: Log, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with log.listening() as other:
        await caught_up(other)
        await trio.sleep(9.5)  # virtual
        async with log.listening() as listener:
            held_up(log, monkeypatch, 3)
            await log.store.new_history(other.cursor.partition(".")[0])
            with pytest.raises(CursorExpired):
                await listener.receive()
            monkeypatch.undo()
            async with log.listening() as afresh:
                await caught_up(afresh)
                await log.write()
                assert await receive(afresh, 1) == log.told[-1]


async def test_events_of_a_newer_tickr_are_told_as_they_are(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        log.memory._log.append(1, '[["paused",1,"x",1,"t","q",5,"paused","running",1,1,1,null,null,null,null,0,0]]')
        assert await receive(listener, 1) == ["x.1"]


async def test_a_row_that_nobody_can_read_ends_listeners_and_nothing_else(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        log.memory._log.append(1, '[["what"]]')
        with pytest.raises(FeedError, match="too old"):
            await receive(listener, 1)
    async with log.listening() as listener:  # past it
        await caught_up(listener)
        await log.write()
        assert await receive(listener, 1) == log.told[-1]


async def test_a_store_that_refuses_is_an_outage_and_no_more(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        log.store.failing["event_rows"] = StoreError("read-only")
        await log.write()
        assert (await listener.receive()).kind == "bookmark"
        log.store.failing.clear()
        assert await receive(listener, 1) == log.told[-1]


async def test_however_many_come_while_the_store_hangs_all_are_told_in_time(
    log: Log, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: Any) -> Any:
        await trio.sleep(1.8)  # virtual
        raise StoreUnavailable("frozen")

    for method in ("feed_state", "number_events"):
        monkeypatch.setattr(log.memory, method, hang)

    async def come() -> None:
        with trio.fail_after(2.1), pytest.raises(StoreUnavailable):
            async with log.listening():
                pass

    async def look() -> None:
        with trio.fail_after(2.1), pytest.raises(StoreUnavailable):
            await log.feed.page(EVERYTHING, after=EARLIEST, limit=10)

    async with trio.open_nursery() as crowd:
        for _ in range(25):
            crowd.start_soon(come)
            crowd.start_soon(look)


@pytest.mark.parametrize("lost", [1, 5])
async def test_a_log_that_lost_its_end_and_grew_again_is_another_one(
    log: Log, autojump_clock: MockClock, lost: int
) -> None:
    """As after a fail-over to a replica that was behind."""
    async with log.listening() as listener:
        await caught_up(listener)
        for _ in range(10):
            await log.write()
            await receive(listener, 1)
        log.store.failing["*"] = StoreUnavailable("failing over")
        await trio.sleep(2.5)  # virtual; long enough to be noticed
        del log.memory._log._rows[-lost:]
        log.store.failing.clear()
        for _ in range(12):
            await log.write()
        with trio.fail_after(2), pytest.raises(CursorExpired):
            await receive(listener, 1)


async def test_an_outage_alone_ends_nothing(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        for _ in range(3):
            await log.write(2)
            await receive(listener, 2)
            log.store.failing["*"] = StoreUnavailable("away for a moment")
            await trio.sleep(2)  # virtual
            log.store.failing.clear()
        await log.write()
        assert await receive(listener, 1) == log.told[-1]
