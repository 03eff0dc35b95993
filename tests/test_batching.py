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
    assert behind.done.is_set()
    assert isinstance(behind.answers()[0], Overloaded)


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
    assert ticket.answers() == [10]


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
            assert ticket.done.is_set()
            assert isinstance(ticket.answers()[0], Overloaded)
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


# -- many items as one entry ------------------------------------------------------------------------------------------


async def test_entries_are_cut_and_joined_into_full_batches() -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_items=4, max_bytes=100)
    many = batcher.enter([1, 2, 3, 4, 5, 6], [10] * 6)
    alone = batcher.put_nowait(7, 10)
    large = batcher.enter([8, 9, 10], [60, 60, 500])
    assert len(batcher) == 10
    batcher.close()
    flush.let_go(10)
    await batcher.run()
    assert flush.seen == [[1, 2, 3, 4], [5, 6, 7, 8], [9], [10]]
    assert many.answers() == [10, 20, 30, 40, 50, 60]
    assert (alone.answers(), large.answers()) == ([70], [80, 90, 100])
    assert all(ticket.done.is_set() for ticket in (many, alone, large))
    assert len(batcher) == 0


async def test_an_entry_is_answered_once_its_last_item_is() -> None:
    flush, answers = Flushes(), list[int | Exception]()
    batcher = batcher_of(flush, max_items=2)

    async def ask() -> None:
        answers.extend(await batcher.submit_many([1, 2, 3], [0] * 3))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        flush.let_go()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        flush.let_go()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [10, 20, 30]
        batcher.close()


async def test_a_failed_flush_fails_its_part_of_an_entry_alone() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        if 3 in items:
            raise OSError("gone")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=2, max_bytes=10, max_waiting=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        answers = await batcher.submit_many([1, 2, 3, 4, 5], [0] * 5)
        assert (answers[:2], answers[4]) == ([1, 2], 5)
        assert all(isinstance(answer, OSError) for answer in answers[2:4])
        batcher.close()


async def test_answers_that_are_too_few_are_nobodys_answers() -> None:
    async def flush(items: Sequence[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [1]

    batcher: Batcher[int, int] = Batcher(flush, max_items=9, max_bytes=10, max_waiting=10)
    ticket = batcher.enter([1, 2], [0, 0])
    with pytest.raises(ValueError, match="1 answers to 2 items"):
        await batcher.run()
    assert [type(answer) for answer in ticket.answers()] == [Overloaded, Overloaded]


async def test_what_the_line_has_no_room_for_is_refused_item_by_item() -> None:
    flush, answers = Flushes(), list[int | Exception]()
    batcher = batcher_of(flush, max_waiting=4)
    batcher.put_nowait(1)

    async def ask() -> None:
        answers.extend(await batcher.submit_many([2, 3, 4, 5, 6], [0] * 5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            batcher.enter([7], [0])
        with pytest.raises(Overloaded):
            await batcher.submit_many([7, 8], [0, 0])
        nursery.start_soon(batcher.run)
        flush.let_go(5)
        batcher.close()
    assert flush.seen == [[1, 2, 3, 4]]
    assert answers[:3] == [20, 30, 40]
    assert [type(answer) for answer in answers[3:]] == [Overloaded, Overloaded]


async def test_an_entry_goes_whole_into_the_line_or_not_at_all() -> None:
    batcher = batcher_of(Flushes(), max_waiting=2)
    with pytest.raises(Overloaded):
        batcher.enter([1, 2, 3], [0] * 3)
    assert len(batcher) == 0
    assert await batcher.wait(batcher.enter([], [])) == []


async def test_who_waits_too_long_keeps_what_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_items=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        flush.let_go()
        answers = await batcher.submit_many([1, 2, 3, 4, 5, 6], [0] * 6, within_s=2)
        assert answers[:2] == [10, 20]
        late = [answer.in_flight for answer in answers[2:] if isinstance(answer, TooLate)]
        assert late == [True, True, False, False]
        assert len(batcher) == 0
        flush.let_go()
        batcher.close()
    assert flush.seen == [[1, 2], [3, 4]]


async def test_an_asker_that_leaves_takes_the_rest_of_an_entry_along() -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_items=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        async with trio.open_nursery() as asking:
            asking.start_soon(batcher.submit_many, [1, 2, 3], [0] * 3)
            await trio.testing.wait_all_tasks_blocked()
            asking.cancel_scope.cancel()
        flush.let_go(2)
        await trio.testing.wait_all_tasks_blocked()
        batcher.close()
    assert flush.seen == [[1, 2]]


async def test_who_waits_for_room_goes_on_when_there_is_some_or_never_will_be() -> None:
    flush, went_on = Flushes(), list[int]()
    batcher = batcher_of(flush, max_items=2, max_waiting=4)
    batcher.enter([1, 2, 3, 4], [0] * 4)

    async def wait(count: int) -> None:
        await batcher.wait_room(count)
        went_on.append(count)

    async with trio.open_nursery() as nursery:
        for count in (0, 2, 3, 9):
            nursery.start_soon(wait, count)
        await trio.testing.wait_all_tasks_blocked()
        assert went_on == [0]
        nursery.start_soon(batcher.run)
        await trio.testing.wait_all_tasks_blocked()
        assert went_on == [0, 2]
        flush.let_go()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(went_on) == [0, 2, 3, 9]  # an empty line is all the room that there is
        flush.let_go()
        batcher.enter([5, 6, 7], [0] * 3)
        nursery.start_soon(wait, 4)
        await trio.testing.wait_all_tasks_blocked()
        batcher.close()
        await trio.testing.wait_all_tasks_blocked()
        assert went_on[-1] == 4
        flush.let_go(9)


async def test_an_entry_stays_in_the_line_when_its_asker_leaves() -> None:
    flush = Flushes()
    batcher = batcher_of(flush, max_items=2)
    ticket = batcher.enter([1, 2, 3], [0] * 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        async with trio.open_nursery() as asking:
            asking.start_soon(batcher.wait, ticket)
            await trio.testing.wait_all_tasks_blocked()
            asking.cancel_scope.cancel()
        flush.let_go(2)
        batcher.close()
    assert flush.seen == [[1, 2], [3]]
    assert ticket.answers() == [10, 20, 30]
