"""Several flushes of one line in flight: answers keep their places, and one runner's end is the line's."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing

from tickr.batching import Batcher, TooLate
from tickr.errors import Overloaded


class Gated:
    """Flushes that end when they are told to, by their first item."""

    def __init__(self) -> None:
        self.gates: dict[int, trio.Event] = {}
        self.seen: list[list[int]] = []

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.seen.append(list(items))
        gate = self.gates[items[0]] = trio.Event()
        await gate.wait()
        return [10 * item for item in items]


async def test_as_many_flushes_are_in_flight_as_run_and_answers_keep_their_places() -> None:
    flush = Gated()
    batcher: Batcher[int, int] = Batcher(flush, max_items=2, max_bytes=100, max_waiting=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        nursery.start_soon(batcher.run)
        await trio.testing.wait_all_tasks_blocked()
        many = batcher.enter([1, 2, 3, 4, 5], [0] * 5)
        await trio.testing.wait_all_tasks_blocked()
        assert flush.seen == [[1, 2], [3, 4]]
        flush.gates[3].set()
        await trio.testing.wait_all_tasks_blocked()
        assert flush.seen[2:] == [[5]]
        flush.gates[5].set()
        await trio.testing.wait_all_tasks_blocked()
        assert not many.done.is_set()
        flush.gates[1].set()
        await many.done.wait()
        assert many.answers() == [10, 20, 30, 40, 50]
        both = [batcher.enter([one], [0]) for one in (6, 7)]
        await trio.testing.wait_all_tasks_blocked()
        assert flush.seen[3:] == [[6, 7]], "who wakes first takes all that is there"
        batcher.close()
        flush.gates[6].set()
    assert [ticket.answers() for ticket in both] == [[60], [70]]


async def test_who_waits_too_long_hears_which_of_several_flushes_has_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    flush = Gated()
    batcher: Batcher[int, int] = Batcher(flush, max_items=1, max_bytes=100, max_waiting=100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        nursery.start_soon(batcher.run)
        many = batcher.enter([1, 2, 3, 4], [0] * 4)
        await trio.testing.wait_all_tasks_blocked()
        flush.gates[2].set()
        first, second, third, fourth = await batcher.wait(many, within_s=1)
        assert (second, flush.seen) == (20, [[1], [2], [3]])
        assert [isinstance(one, TooLate) and one.in_flight for one in (first, third, fourth)] == [True, True, False]
        for number in (1, 3):
            flush.gates[number].set()
        batcher.close()


async def test_a_runner_that_is_cut_ends_the_line_and_what_the_other_has_in_hand_is_answered() -> None:
    flush = Gated()
    batcher: Batcher[int, int] = Batcher(flush, max_items=1, max_bytes=100, max_waiting=100)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as cut:
            cut.start_soon(batcher.run)
            tickets = [batcher.enter([1], [0])]
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(batcher.run)
            tickets += [batcher.enter([one], [0]) for one in (2, 3)]
            await trio.testing.wait_all_tasks_blocked()
            cut.cancel_scope.cancel()
        assert [isinstance(ticket.answers()[0], Overloaded) for ticket in (tickets[0], tickets[2])] == [True, True]
        assert not tickets[1].settled
        flush.gates[2].set()
    assert tickets[1].answers() == [20]


async def test_runner_and_askers_that_are_cut_together_end_quietly() -> None:
    for _ in range(20):  # who comes first is chance
        batcher: Batcher[int, int] = Batcher(Gated(), max_items=1, max_bytes=100, max_waiting=100)
        async with trio.open_nursery() as cut:
            cut.start_soon(batcher.run)
            for item in range(4):
                cut.start_soon(batcher.submit, item)
            await trio.testing.wait_all_tasks_blocked()
            cut.cancel_scope.cancel()
        assert len(batcher) == 0


async def test_who_leaves_a_line_that_has_ended_under_it_hears_of_its_own_end_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    flush = Gated()
    batcher: Batcher[int, int] = Batcher(flush, max_items=2, max_bytes=100, max_waiting=100)
    cut = trio.CancelScope()

    async def run_until_cut() -> None:
        with cut:
            await batcher.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_until_cut)
        before = batcher.enter([0], [0])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(batcher.run)
        split = batcher.enter([1, 2, 3], [0] * 3)
        await trio.testing.wait_all_tasks_blocked()
        assert flush.seen == [[0], [1, 2]]
        cut.cancel()
        await trio.testing.wait_all_tasks_blocked()
        answers = await batcher.wait(split, within_s=1)
        assert [type(answer) for answer in answers] == [TooLate, TooLate, Overloaded]
        assert [type(answer) for answer in before.answers()] == [Overloaded]
        flush.gates[1].set()
