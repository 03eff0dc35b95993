"""Natural batching: what arrives while a flush is in flight goes with the next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from tickr.batching import Batcher, TooLate
from tickr.errors import Overloaded


class Flushes:
    """Records batches; each flush waits until it is let go."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = trio.Semaphore(0)

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.seen.append(list(items))
        await self.gate.acquire()
        return [10 * item for item in items]

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.release()


def batcher_of(
    flush: Flushes, *, max_items: int = 100, max_bytes: int = 1_000, max_waiting: int = 100
) -> Batcher[int, int]:
    return Batcher(flush, max_items=max_items, max_bytes=max_bytes, max_waiting=max_waiting)


async def test_an_idle_item_goes_alone_and_those_behind_it_go_together() -> None:
    flush, answers = Flushes(), dict[int, int]()
    batcher = batcher_of(flush)

    async def ask(item: int) -> None:
        answers[item] = await batcher.submit(item)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        nursery.start_soon(ask, 1)
        await trio.testing.wait_all_tasks_blocked()
        for item in (2, 3, 4):
            nursery.start_soon(ask, item)
            await trio.testing.wait_all_tasks_blocked()
        flush.let_go(2)
        await trio.testing.wait_all_tasks_blocked()
        batcher.close()
    assert flush.seen == [[1], [2, 3, 4]]
    assert answers == {1: 10, 2: 20, 3: 30, 4: 40}


async def test_a_batch_is_bounded_in_items_and_bytes() -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_items=3, max_bytes=100)
    for item, size in [(1, 10), (2, 10), (3, 10), (4, 60), (5, 60), (6, 500), (7, 1)]:
        batcher.put_nowait(item, size)
    batcher.close()
    flush.let_go(10)
    await batcher.run()
    assert flush.seen == [[1, 2, 3], [4], [5], [6], [7]]


async def test_a_failed_flush_fails_its_batch_and_not_the_next() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        await trio.lowlevel.checkpoint()
        if calls == 1:
            raise OSError("gone")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=1, max_bytes=10, max_waiting=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        with pytest.raises(OSError, match="gone"):
            await batcher.submit(1)
        assert await batcher.submit(2) == 2
        batcher.close()


async def test_an_error_that_nobody_would_hear_of_ends_the_line() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        raise OSError("gone")

    batcher: Batcher[int, int] = Batcher(flush, max_items=1, max_bytes=10, max_waiting=10)
    batcher.put_nowait(1)
    behind = batcher.put_nowait(2)
    with pytest.raises(OSError, match="gone"):
        await batcher.run()
    assert batcher.closed
    assert behind.answer is not None
    with pytest.raises(Overloaded):
        behind.answer.unwrap()


async def test_a_full_line_refuses_and_takes_nothing() -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_waiting=2)
    batcher.put_nowait(1)
    batcher.put_nowait(2)
    with pytest.raises(Overloaded):
        batcher.put_nowait(3)
    batcher.close()
    flush.let_go(5)
    await batcher.run()
    assert flush.seen == [[1, 2]]


async def test_a_closed_line_refuses_but_flushes_what_it_has() -> None:
    flush = Flushes()
    batcher = batcher_of(flush)
    ticket = batcher.put_nowait(1)
    batcher.close()
    with pytest.raises(Overloaded):
        await batcher.submit(2)
    flush.let_go()
    await batcher.run()
    assert ticket.answer is not None
    assert ticket.answer.unwrap() == 10


async def test_an_asker_that_leaves_takes_its_waiting_item_along() -> None:
    flush = Flushes()
    batcher = batcher_of(flush)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        nursery.start_soon(batcher.submit, 1)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as impatient:
            async with trio.open_nursery() as asking:
                asking.start_soon(batcher.submit, 2)
                await trio.testing.wait_all_tasks_blocked()
                impatient.cancel()
        flush.let_go(2)
        await trio.testing.wait_all_tasks_blocked()
        batcher.close()
    assert flush.seen == [[1]]


async def test_a_cancelled_runner_leaves_nobody_waiting() -> None:
    flush = Flushes()
    batcher = batcher_of(flush)
    async with trio.open_nursery() as asking:
        async with trio.open_nursery() as running:
            running.start_soon(batcher.run)
            tickets = [batcher.put_nowait(1)]
            await trio.testing.wait_all_tasks_blocked()
            tickets.append(batcher.put_nowait(2))
            running.cancel_scope.cancel()
        for ticket in tickets:
            assert ticket.answer is not None
            with pytest.raises(Overloaded):
                ticket.answer.unwrap()
        asking.cancel_scope.cancel()


async def test_who_waits_too_long_is_told_whether_the_flush_has_begun(autojump_clock: trio.testing.MockClock) -> None:
    flush, late = Flushes(), dict[int, bool]()
    batcher = batcher_of(flush)

    async def ask(item: int) -> None:
        with pytest.raises(TooLate) as told:
            await batcher.submit(item, within_s=2)
        late[item] = told.value.in_flight
        assert trio.current_time() - began == pytest.approx(2)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        async with trio.open_nursery() as asking:
            asking.start_soon(ask, 1)
            await trio.testing.wait_all_tasks_blocked()
            asking.start_soon(ask, 2)
        assert late == {1: True, 2: False}
        flush.let_go(2)
        batcher.close()
    assert flush.seen == [[1]]
