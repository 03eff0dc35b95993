"""Dispatch: gives due jobs to the polls of remote workers that wait for them at this process.

Polls for the same types and queues stand in one line, the first first. A line is served when something may have come
for it: an event of one of its types (a watch on the feed), an instant at which something becomes due, something that
was set on a queue or freed in one; and once a second in case that was lost. Then the first has jobs claimed for it,
straight from the store, under the same gates as every claim; when the store has nothing for the first it has nothing
for the others. So a thousand polls that wait cost a claim when something happens, and not a thousand.

What was claimed for a poll that has gone meanwhile is handed back. What was claimed and never reached its worker, as a
connection broke or this process died, is listed to it with its next call (``leases.py``).

State: the lines, written here only, in trio's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
import trio

from tickr.bell import Bell
from tickr.errors import FeedError, IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.feed.feed import Feed
from tickr.feed.selection import Selection
from tickr.index.contract import Index
from tickr.jobs import Failure, Job
from tickr.queues import MAX_LIMIT
from tickr.remote.dues import Dues
from tickr.remote.settle import Settler
from tickr.store.contract import Store

NET_S = 1.0
"""Longest wait between looks for polls that wait, in seconds."""
LINGER_S = 30.0
"""How long a line without polls keeps its watch: most workers come back within that. In seconds."""
MAX_LINES = 2_000
"""With more than these, lines without polls are given up at once."""
RETRY_S = 0.5
"""Pause before another watch when the store was away, in seconds."""
FORGET_S = 1.0
"""How long the index may take to forget what was claimed, in seconds."""
CLAIM_S = 8.0
"""How long a poll waits for the first look, and for a claim that is on its way when its time is over, in seconds."""
BRINGS_WORK = frozenset({"created", "retrying", "released", "redriven", "unblocked", "changed"})
GONE = Failure("lost_claim", "It was claimed for a worker that had gone before it could be told.")

log = structlog.get_logger("tickr.remote")


class Wish(NamedTuple):
    """What a poll waits for.

    Attributes:
      lease: for whom to claim.
      queues: None: any.
      most: how many jobs, >= 1.
      suspects: how many of them may be jobs that one more lost node would end.
    """

    lease: str
    types: frozenset[str]
    queues: frozenset[str] | None
    most: int
    suspects: int


class _Place:
    """A poll in its line."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.jobs: list[Job] = []
        self.service: trio.Event | None = None  # while a claim is on its way for it; set when that is over
        self.leaves = False
        self.looked = trio.Event()  # there was a look since it came
        self.ended = trio.Event()

    def end(self) -> None:
        """Have it answered now, or when the claim that is on its way for it is over."""
        self.leaves = True
        if self.service is None:
            self.looked.set()
            self.ended.set()


class _Line:
    """The polls for the same types and queues, in their order."""

    def __init__(self, wish: Wish) -> None:
        self.types = wish.types
        self.queues = wish.queues
        self.places: dict[_Place, None] = {}
        self.wants_look = False
        self.watching = trio.CancelScope()


class Dispatcher:
    """One for a process. ``run`` must be running.

    Args:
      stopping: set when the node is on its way down: nobody waits any more.
    """

    def __init__(
        self, store: Store, index: Index, bell: Bell, feed: Feed, settler: Settler, *, stopping: trio.Event
    ) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._feed = feed
        self._settler = settler
        self._stopping = stopping
        self._dues = Dues(store, index)
        self._lines: dict[tuple[frozenset[str], frozenset[str] | None], _Line] = {}
        self._wanted = trio.Event()
        self._occupied = trio.Event()
        self._tasks: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve those who wait until cancelled. Cancellation: what is claimed just then is listed to its worker."""
        async with trio.open_nursery() as self._tasks:
            self._tasks.start_soon(self._listen)
            self._tasks.start_soon(self._follow_clock)
            self._tasks.start_soon(self._end_all_at_stop)
            await self._serve()

    async def wait(self, wish: Wish, until: float) -> list[Job]:
        """Return jobs that were claimed as wished, at the latest ``until`` (trio's clock), then perhaps none.

        A wait of the same lease that began before ends with none. Cancellation: what was claimed is handed back.
        """
        self.end(wish.lease)
        if self._stopping.is_set():
            return []
        place, line = _Place(wish), self._line(wish)
        line.places[place] = None
        line.watching.deadline = float("inf")
        self._occupied.set()
        self._look(line)
        told = False
        try:
            with trio.move_on_after(CLAIM_S):
                await place.looked.wait()  # however short its time is
            with trio.move_on_at(until):
                await place.ended.wait()
            if place.service is not None:
                with trio.move_on_after(CLAIM_S):
                    await place.service.wait()
            told = True
            return place.jobs
        finally:
            line.places.pop(place, None)
            if not line.places:
                line.watching.deadline = trio.current_time() + (LINGER_S if len(self._lines) <= MAX_LINES else 0)
            if not told and place.jobs:
                self.give_back(place.jobs)

    def end(self, lease: str) -> None:
        """Have the polls of ``lease`` that wait here answered now."""
        for place in self._places_of(lease):
            place.end()

    async def leave(self, lease: str) -> None:
        """Likewise; return when nothing is being claimed for it here any more."""
        places = self._places_of(lease)
        self.end(lease)
        with trio.move_on_after(CLAIM_S):
            for service in [place.service for place in places if place.service is not None]:
                await service.wait()

    def _places_of(self, lease: str) -> list[_Place]:
        return [place for line in self._lines.values() for place in line.places if place.wish.lease == lease]

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Hand back jobs that were claimed for somebody who is gone, in the background."""
        if self._tasks is not None:
            self._tasks.start_soon(self._hand_back, jobs)

    async def _hand_back(self, jobs: Sequence[Job]) -> None:
        with suppress(StoreUnavailable):  # then their worker, if it comes back, or the end of its lease settles it
            await self._settler.hand_back(jobs, GONE)

    # -- who waits ----------------------------------------------------------------------------------------------------

    def _line(self, wish: Wish) -> _Line:
        key = wish.types, wish.queues
        if key not in self._lines:
            assert self._tasks is not None, "the dispatcher does not run"
            self._lines[key] = _Line(wish)
            self._tasks.start_soon(self._watch, key)
        return self._lines[key]

    async def _watch(self, key: tuple[frozenset[str], frozenset[str] | None]) -> None:
        """Look whenever something may have come for a line, until nobody has stood in it for a while."""
        line = self._lines[key]
        while True:
            with line.watching:
                await self._follow(line)
            if not line.places:
                del self._lines[key]
                return
            line.watching = trio.CancelScope()  # somebody came in the last moment

    async def _follow(self, line: _Line) -> None:
        selection = Selection(types=line.types, queues=line.queues or frozenset(), events=BRINGS_WORK)
        while True:
            with suppress(StoreUnavailable, FeedError):
                async with self._feed.watch(selection) as watch:
                    while not watch.lost:
                        self._look(line)
                        await watch.wait()
            await trio.sleep(RETRY_S)

    async def _end_all_at_stop(self) -> None:
        await self._stopping.wait()
        for line in self._lines.values():
            for place in [*line.places]:
                place.end()

    # -- when to look -------------------------------------------------------------------------------------------------

    def _look(self, line: _Line) -> None:
        if line.places:
            line.wants_look = True
            self._wanted.set()

    def _look_everywhere(self) -> None:
        for line in self._lines.values():
            self._look(line)

    async def _listen(self) -> None:
        async with self._bell.listen("due", "work", "queue", "free") as rings:
            async for ring in rings:
                if ring.at is not None:
                    self._dues.add(ring.at)
                if ring.at is None or ring.kind == "queue":
                    self._look_everywhere()

    async def _follow_clock(self) -> None:
        while True:
            await self._occupied.wait()
            await self._dues.wait(NET_S)
            self._look_everywhere()
            if not any(line.places for line in self._lines.values()):
                self._occupied = trio.Event()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            for line in [line for line in self._lines.values() if line.wants_look]:
                line.wants_look = False
                there = [*line.places]
                with suppress(StoreUnavailable):  # what is claimed all the same is listed to its worker
                    await self._serve_line(line)
                for place in there:
                    place.looked.set()

    async def _serve_line(self, line: _Line) -> None:
        for place in [*line.places]:
            if place not in line.places:
                continue
            jobs = await self._claim_for(place)
            if jobs and place not in line.places:
                self.give_back(jobs)
            elif jobs:
                place.jobs = jobs
                del line.places[place]
                place.looked.set()
                place.ended.set()
            elif place.wish.suspects:  # there is nothing, then, for the others either
                return

    async def _claim_for(self, place: _Place) -> list[Job]:
        place.service = trio.Event()
        try:
            return await self._claim(place.wish)
        finally:
            place.service.set()
            place.service = None
            place.looked.set()
            if place.leaves:
                place.ended.set()

    async def _claim(self, wish: Wish) -> list[Job]:
        rooms = None if wish.queues is None else dict.fromkeys(wish.queues, MAX_LIMIT)
        jobs = await self._store.claim_due(
            wish.most,
            node=wish.lease,
            types=wish.types,
            suspects=wish.suspects,
            queues=rooms,
            keys=self._settler.vault.ids,
        )
        await reach("claim.after_commit")
        if jobs:
            log.info("lease.claimed", node=wish.lease, jobs=len(jobs))
            # Where no worker of ours pops them, they would stay in the index for ever.
            with trio.move_on_after(FORGET_S), suppress(IndexUnavailable):
                await self._index.remove([job.entry() for job in jobs])
        return jobs
