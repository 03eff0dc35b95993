"""The index in this process: heaps in memory. Nobody else sees it, nothing outlives it.

Comes in: entries of jobs that wait. Goes out: ids, best first. Every change is made between two checkpoints, so a
cancellation finds it done or not done.

State: a line for each queue (its ready entries) and one for the waiting ones, written by whoever calls.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from sys import intern
from typing import Generic, TypeVar

import trio

from tickr.index.contract import MAX_POP, Hint, Promotion, Sizes
from tickr.jobs import Entry

GARBAGE_ALLOWED = 64
"""Stale items that a heap may hold on top of as many as it has sound ones."""

Ready = tuple[int, int, str]  # priority, run_at, id
Waiting = tuple[int, str, str, int]  # run_at, queue, id, priority
Item = TypeVar("Item", Ready, Waiting)


class Line(Generic[Item]):
    """Items in their order, one for each id (``item[2]``); an item for an id that is there replaces the older one.

    What was replaced or discarded stays in ``heap`` as garbage until it comes up or outweighs the rest.
    """

    __slots__ = ("heap", "members")

    def __init__(self) -> None:
        self.heap: list[Item] = []
        self.members: dict[str, Item] = {}

    def add(self, item: Item) -> None:
        if self.members.get(item[2]) != item:
            self.members[item[2]] = item
            heapq.heappush(self.heap, item)
            self._clean()

    def discard(self, job_id: str) -> None:
        if self.members.pop(job_id, None) is not None:
            self._clean()

    def first(self) -> Item | None:
        heap, members = self.heap, self.members
        while heap and members.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def take(self) -> Item | None:
        item = self.first()
        if item is not None:
            heapq.heappop(self.heap)
            del self.members[item[2]]
        return item

    def _clean(self) -> None:
        if len(self.heap) > 2 * len(self.members) + GARBAGE_ALLOWED:
            self.heap = list(self.members.values())
            heapq.heapify(self.heap)


class HeapIndex:
    """An index of one process; about 300 bytes an entry. Never away. Opened by ``open_heap``."""

    name = "heap"
    shared = False

    def __init__(self) -> None:
        self._ready: dict[str, Line[Ready]] = {}  # only queues that have something
        self._waiting: Line[Waiting] = Line()
        self._poppers = trio.lowlevel.ParkingLot()
        self._epoch: str | None = None

    @property
    def available(self) -> bool:
        return True

    async def wait_available(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_unavailable(self) -> None:
        await trio.sleep_forever()

    async def push(self, entries: Sequence[Entry], *, now: int) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, priority, run_at in entries:
            if run_at <= now:
                self._add_ready(queue, (priority, run_at, job_id))
            else:
                self._waiting.add((run_at, intern(queue), job_id, priority))

    async def park(self, entries: Sequence[Entry], *, until: int) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, priority, _ in entries:
            there = self._waiting.members.get(job_id)
            if there is None or there[0] < until:
                self._waiting.add((until, intern(queue), job_id, priority))

    async def pop(self, queues: Sequence[str], limit: int) -> list[Hint]:
        if not queues or not 1 <= limit <= MAX_POP:
            raise ValueError(f"pop takes at least one queue and a limit of 1 to {MAX_POP}")
        await trio.lowlevel.checkpoint()
        while True:
            # No checkpoint between taking and returning: what was taken cannot be lost to a cancellation.
            for queue in queues:
                if queue in self._ready:
                    return self._take(queue, limit)
            await self._poppers.park()

    async def remove(self, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, _, _ in entries:
            self._waiting.discard(job_id)
            if line := self._ready.get(queue):
                line.discard(job_id)
                self._forget_if_empty(queue, line)

    async def missing(self, entries: Sequence[Entry]) -> list[Entry]:
        await trio.lowlevel.checkpoint()
        waiting = self._waiting.members
        return [entry for entry in entries if entry.id not in waiting and not self._is_ready(entry)]

    async def promote(self, now: int, limit: int) -> Promotion:
        await trio.lowlevel.checkpoint()
        moved = 0
        while (item := self._waiting.first()) is not None and item[0] <= now and moved < limit:
            run_at, queue, job_id, priority = item
            self._waiting.take()
            self._add_ready(queue, (priority, run_at, job_id))
            moved += 1
        return Promotion(moved, item[0] if item is not None else None)

    async def epoch(self) -> str | None:
        await trio.lowlevel.checkpoint()
        return self._epoch

    async def set_epoch(self, epoch: str, *, instead_of: str | None = None) -> bool:
        await trio.lowlevel.checkpoint()
        if instead_of not in (None, self._epoch):
            return False
        self._epoch = epoch
        return True

    async def sizes(self) -> Sizes:
        await trio.lowlevel.checkpoint()
        ready = sum(len(line.members) for line in self._ready.values())
        return Sizes(ready, len(self._waiting.members))

    def _add_ready(self, queue: str, item: Ready) -> None:
        line = self._ready.get(queue)
        if line is None:
            line = self._ready[queue] = Line()
        line.add(item)
        self._poppers.unpark_all()

    def _take(self, queue: str, limit: int) -> list[Hint]:
        line = self._ready[queue]
        hints: list[Hint] = []
        while len(hints) < limit and (item := line.take()) is not None:
            hints.append(Hint(item[2], item[1]))
        self._forget_if_empty(queue, line)
        return hints

    def _forget_if_empty(self, queue: str, line: Line[Ready]) -> None:
        if not line.members:
            del self._ready[queue]

    def _is_ready(self, entry: Entry) -> bool:
        line = self._ready.get(entry.queue)
        return line is not None and entry.id in line.members


@asynccontextmanager
async def open_heap() -> AsyncIterator[HeapIndex]:
    """Open an empty index."""
    yield HeapIndex()
