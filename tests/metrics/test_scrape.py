"""A scrape of one of several processes: the sum over those that live, and what the dead have counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from tests.api.site import Nobody, context_on
from tests.scraped import Scrape
from tickr.bell import LocalBell
from tickr.index.heap import HeapIndex
from tickr.lease import Lease
from tickr.metrics.board import Board, Seat, board_file
from tickr.metrics.jobs import Tallied
from tickr.metrics.own import Parts
from tickr.metrics.scrape import TELL_S, Metrics, load
from tickr.store.memory import MemoryStore


@pytest.fixture
def board() -> Iterator[Board]:
    with board_file(2) as file:
        yield Board(file, 2)


class Process:
    """One of two processes, as far as metrics go."""

    def __init__(self, board: Board, place: int) -> None:
        store, index = MemoryStore(), HeapIndex()
        context = context_on(store, index, LocalBell())
        self.requests = context.requests
        lease = Lease(store, Nobody.about, lease_s=15)
        seen = (store, index, lease, context.intake, context.feed, context.requests)
        self.metrics = Metrics(Parts(*seen, None, None, Tallied(), context.stopping.is_set), Seat(board, place))

    def answer(self, times: int) -> None:
        for _ in range(times):
            self.requests.note("/jobs", "POST", 201, 0.01)

    async def scrape(self) -> Scrape:
        return Scrape((await self.metrics.scrape("")).text.decode())


def answered(found: Scrape) -> tuple[float, float]:
    """Return how many requests were answered, and how many processes live."""
    return found.sum("tickr_http_requests_total", route="/jobs"), found["tickr_node_processes"]


async def test_each_tells_of_both_and_of_one_that_was_killed(board: Board, nursery: trio.Nursery) -> None:
    one, other = Process(board, 0), Process(board, 1)
    for process in (one, other):
        nursery.start_soon(process.metrics.run)
    one.answer(3)
    other.answer(4)
    assert answered(await other.scrape())[0] >= 4
    assert answered(await one.scrape()) == (7, 2), "what the other has said a moment ago, and its own as it is"
    one.answer(1)
    assert answered(await one.scrape()) == (8, 2)
    assert answered(await other.scrape()) == (8, 2), "what one of them has told, the other knows"
    nursery.cancel_scope.cancel()


async def test_a_dead_one_counts_and_lives_no_more_and_its_successor_goes_on(board: Board) -> None:
    async with trio.open_nursery() as nursery:
        one, dead = Process(board, 0), Process(board, 1)
        async with trio.open_nursery() as life:
            for process, lives_in in ((one, nursery), (dead, life)):
                lives_in.start_soon(process.metrics.run)
            dead.answer(5)
            assert answered(await dead.scrape())[0] == 5
            life.cancel_scope.cancel()
        assert answered(await one.scrape()) == (5, 2), "nobody has noticed yet"
        board.bury(1)
        assert answered(await one.scrape()) == (5, 1)
        successor = Process(board, 1)
        nursery.start_soon(successor.metrics.run)
        successor.answer(2)
        assert answered(await successor.scrape()) == (7, 2)
        assert answered(await one.scrape()) == (7, 2)
        nursery.cancel_scope.cancel()


async def test_figures_reach_the_others_though_nobody_scrapes_here(board: Board, autojump_clock: object) -> None:
    load()  # which takes real time, while the clock goes on without it
    async with trio.open_nursery() as nursery:
        one, other = Process(board, 0), Process(board, 1)
        nursery.start_soon(one.metrics.run)
        await trio.testing.wait_all_tasks_blocked()
        one.answer(6)
        await trio.sleep(2 * TELL_S)  # virtual
        nursery.start_soon(other.metrics.run)
        assert answered(await other.scrape()) == (6, 2)
        nursery.cancel_scope.cancel()
