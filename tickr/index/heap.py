"""The index in this process: heaps in memory. Nobody else sees it, nothing outlives it.

Comes in: entries of jobs that wait. Goes out: ids, best first. Every change is made between two checkpoints, so a
cancellation finds it done or not done.

State: a line for each queue (its ready entries), one for each lane, and one for the waiting ones, written by whoever
calls. A lane's *turn*, an item under the name ``|key``, stands in its queue's line, or among what waits if it is held.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from sys import intern
from typing import Generic, TypeVar

import trio

from tickr.index.contract import MAX_POP, NO_BOUNDS, Hint, Lane, Promotion, Sizes, is_late
from tickr.jobs import Entry

GARBAGE_ALLOWED = 64
"""Stale items that a heap may hold on top of as many as it has sound ones."""

TURNED_AT_ONCE = 1_000
"""Entries of a queue that are moved between two checkpoints when its order changes."""

Ready = tuple[int, int, str]  # priority, run_at (or -run_at, where the newest is first), id
Waiting = tuple[int, str, str, int, str]  # run_at, queue, id, priority, limit key, or "": None has no order
Item = TypeVar("Item", Ready, Waiting)


class Line(Generic[Item]):
    """Items in their order, one for each id (``item[2]``); an item for an id that is there replaces the older one.

    What was replaced or discarded stays in ``heap`` as garbage until it comes up or outweighs the rest.
    ``last``: how far a line of ready entries reaches, by priority.
    """

    __slots__ = ("heap", "last", "members")

    def __init__(self) -> None:
        self.heap: list[Item] = []
        self.members: dict[str, Item] = {}
        self.last: dict[int, int] = {}

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
        self._lanes: dict[Lane, Line[Ready]] = {}  # only lanes that have something
        self._waiting: Line[Waiting] = Line()
        self._poppers = trio.lowlevel.ParkingLot()
        self._epoch: str | None = None
        self._newest: frozenset[str] = frozenset()
        self._turning: set[str] = set()  # queues whose order has changed, and not all of their entries yet

    @property
    def available(self) -> bool:
        return True

    async def wait_available(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_unavailable(self) -> None:
        await trio.sleep_forever()

    async def push(self, entries: Sequence[Entry], *, now: int) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, priority, run_at, key in entries:
            if run_at <= now:
                self._enter(queue, key, (priority, self._place(queue, run_at), job_id))
            else:
                self._waiting.add((run_at, intern(queue), job_id, priority, key or ""))

    async def park(self, entries: Sequence[Entry], *, until: int) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, priority, _, key in entries:
            there = self._waiting.members.get(job_id)
            if there is None or there[0] < until:
                self._waiting.add((until, intern(queue), job_id, priority, key or ""))

    async def pop(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        most: Mapping[str, int] = NO_BOUNDS,
        per_key: Mapping[str, int] = NO_BOUNDS,
    ) -> list[Hint]:
        if not queues or not 1 <= limit <= MAX_POP:
            raise ValueError(f"pop takes at least one queue and a limit of 1 to {MAX_POP}")
        await trio.lowlevel.checkpoint()
        while True:
            # No checkpoint between taking and returning: what was taken cannot be lost to a cancellation.
            for queue in queues:
                while queue in self._ready:  # turns of lanes that are empty by now may be all there is in front
                    bound = min(limit, most.get(queue, limit))
                    if hints := self._take(queue, bound, per_key.get(queue, bound)):
                        return hints
            await self._poppers.park()

    async def has_ready(self, queues: Sequence[str]) -> bool:
        await trio.lowlevel.checkpoint()
        return any(queue in self._ready for queue in queues)

    async def hold(self, lanes: Sequence[Lane], *, until: int) -> None:
        await trio.lowlevel.checkpoint()
        for lane in lanes:
            if line := self._ready.get(lane.queue):
                line.discard(_turn(lane))
                self._forget_if_empty(lane.queue, line)
            if lane in self._lanes:
                self._waiting.add((until, lane.queue, _held(lane), 0, lane.limit_key))

    async def free(self, lanes: Sequence[Lane]) -> None:
        await trio.lowlevel.checkpoint()
        for lane in lanes:
            if _held(lane) in self._waiting.members:
                self._waiting.discard(_held(lane))
                self._line_up(lane)

    async def remove(self, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint()
        for job_id, queue, _, _, key in entries:
            self._waiting.discard(job_id)
            if key is not None:
                if line := self._lanes.get(lane := Lane(queue, key)):
                    line.discard(job_id)
                    if not line.members:
                        del self._lanes[lane]
            elif line := self._ready.get(queue):
                line.discard(job_id)
                self._forget_if_empty(queue, line)

    async def missing(self, entries: Sequence[Entry], *, now: int | None = None) -> list[Entry]:
        await trio.lowlevel.checkpoint()
        waiting = self._waiting.members

        def waits(entry: Entry) -> bool:
            there = waiting.get(entry.id)
            return there is not None and not is_late(entry, there[0], now)

        return [entry for entry in entries if not waits(entry) and not self._is_ready(entry)]

    async def promote(self, now: int, limit: int) -> Promotion:
        await trio.lowlevel.checkpoint()
        moved = 0
        while (item := self._waiting.first()) is not None and item[0] <= now and moved < limit:
            run_at, queue, job_id, priority, key = item
            self._waiting.take()
            if key and job_id == _held(lane := Lane(queue, key)):
                self._line_up(lane)
            else:
                self._enter(queue, key or None, (priority, self._place(queue, run_at), job_id))
            moved += 1
        return Promotion(moved, item[0] if item is not None else None)

    async def order(self, newest: Collection[str]) -> None:
        await trio.lowlevel.checkpoint()
        self._turning |= self._newest ^ set(newest)
        self._newest = frozenset(newest)
        for queue in [*self._turning]:
            lanes = [line for lane, line in [*self._lanes.items()] if lane.queue == queue]
            for line in [*lanes, *([self._ready[queue]] if queue in self._ready else [])]:
                await self._turn(queue, line)
            self._turning.discard(queue)

    async def _turn(self, queue: str, line: Line[Ready]) -> None:
        """Move what stands in a line of ``queue`` for the other order, those that came last first."""
        line.last.clear()
        for at, name in enumerate(reversed([*line.members])):
            if at % TURNED_AT_ONCE == TURNED_AT_ONCE - 1:
                await trio.lowlevel.checkpoint()
            if (item := line.members.get(name)) is not None:
                lane = self._lanes.get(Lane(queue, name[1:])) if name.startswith("|") else None
                priority, place, _ = (lane and lane.first()) or item
                _put(line, (priority, self._place(queue, abs(place)), name))

    def _place(self, queue: str, run_at: int) -> int:
        """Return the second part of what a ready entry is ordered by."""
        return -max(run_at, 0) if queue in self._newest else max(run_at, 0)

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
        lines = [*self._ready.values(), *self._lanes.values()]
        turns = sum(_turn(lane) in self._line_of(lane.queue) for lane in self._lanes)
        held = sum(_held(lane) in self._waiting.members for lane in self._lanes)
        return Sizes(sum(len(line.members) for line in lines) - turns, len(self._waiting.members) - held)

    def _enter(self, queue: str, key: str | None, item: Ready) -> None:
        """Make an entry ready. Its lane's turn stays where it is, unless it is more urgent than all before it.

        Or newer, where the newest is first.
        """
        if key is None:
            self._add_ready(queue, item)
            return
        lane = Lane(queue, key)
        if (line := self._lanes.get(lane)) is None:
            line = self._lanes[lane] = Line()
        line.add(item)
        stands = self._line_of(queue).get(_turn(lane))
        if _held(lane) in self._waiting.members:
            return
        if stands is None or stands[0] > item[0] or (item[1] < 0 and stands[:2] > item[:2]):
            self._add_ready(queue, (item[0], item[1], _turn(lane)))

    def _add_ready(self, queue: str, item: Ready) -> None:
        line = self._ready.get(queue)
        if line is None:
            line = self._ready[queue] = Line()
        _put(line, item)
        self._poppers.unpark_all()

    def _line_up(self, lane: Lane) -> None:
        """Put a lane's turn at the end of what is as urgent as its first entry."""
        if (line := self._lanes.get(lane)) and (first := line.first()):
            priority, place, _ = first
            stands_in = self._ready.get(lane.queue)
            last = stands_in.last.get(priority, place - 1) if stands_in else place - 1
            self._add_ready(lane.queue, (priority, max(place, last + 1), _turn(lane)))

    def _take(self, queue: str, limit: int, per_key: int) -> list[Hint]:
        line = self._ready[queue]
        hints: list[Hint] = []
        turns: list[Lane] = []
        while len(hints) + len(turns) < limit and (item := line.take()) is not None:
            if item[2].startswith("|"):
                turns.append(Lane(queue, item[2][1:]))
            else:
                hints.append(Hint(item[2], abs(item[1]), queue))
        self._forget_if_empty(queue, line)
        for at, lane in enumerate(turns):
            hints += self._take_from(lane, min(per_key, (limit - len(hints)) // (len(turns) - at)))
        return hints

    def _take_from(self, lane: Lane, count: int) -> list[Hint]:
        line = self._lanes.get(lane)
        hints: list[Hint] = []
        while line is not None and len(hints) < count and (item := line.take()) is not None:
            hints.append(Hint(item[2], abs(item[1]), lane.queue))
        if line is not None and not line.members:
            del self._lanes[lane]
        self._line_up(lane)
        return hints

    def _line_of(self, queue: str) -> Mapping[str, Ready]:
        """Return what stands in a queue's line, by name."""
        line = self._ready.get(queue)
        return {} if line is None else line.members

    def _forget_if_empty(self, queue: str, line: Line[Ready]) -> None:
        if not line.members:
            del self._ready[queue]

    def _is_ready(self, entry: Entry) -> bool:
        if entry.limit_key is None:
            return entry.id in self._line_of(entry.queue)
        lane = Lane(entry.queue, entry.limit_key)
        line = self._lanes.get(lane)
        stands = _turn(lane) in self._line_of(entry.queue) or _held(lane) in self._waiting.members
        return stands and line is not None and entry.id in line.members


def _put(line: Line[Ready], item: Ready) -> None:
    """Add a ready entry, and see how far the line reaches then."""
    line.add(item)
    line.last[item[0]] = max(item[1], line.last.get(item[0], item[1]))


def _turn(lane: Lane) -> str:
    """Return the name of a lane's turn in its queue's line; no id begins like it."""
    return f"|{lane.limit_key}"


def _held(lane: Lane) -> str:
    """Return the name of its turn among what waits."""
    return f"|{lane.queue}\n{lane.limit_key}"


@asynccontextmanager
async def open_heap() -> AsyncIterator[HeapIndex]:
    """Open an empty index."""
    yield HeapIndex()
