"""The feed of one process: where the API, and nobody else, begins to listen.

Comes in: a selection and a place. Goes out: a ``Subscription`` that stays, or a ``Page`` for clients that ask again.
The log itself is the store's (``Store.event_rows``), written with every change; here it is only read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

from tickr.bell import Bell
from tickr.errors import CursorExpired
from tickr.feed import cursor
from tickr.feed.cursor import Place
from tickr.feed.delivery import Told
from tickr.feed.ends import Ends
from tickr.feed.selection import Selection
from tickr.feed.subscription import Reader, Subscription
from tickr.feed.tail import Tail, in_time
from tickr.feed.watch import Watch, of_job
from tickr.store.contract import FeedState, Store

EARLIEST = "earliest"
"""In place of a cursor: from the oldest event that is kept."""
REPLAYS = 4
"""How many replays may read from the store at the same time; a page each, then it is the next one's turn."""
PAGE_BYTES = 1024 * 1024
"""A page ends once its events are so long together, in bytes; the last of them may go a little beyond."""
PAGE_WITHIN_S = 0.03
"""A page with too few events to fill it ends once so much time was spent on looking for more, in seconds."""


class Page(NamedTuple):
    """``events`` up to ``cursor``; there were no more at that moment if ``caught_up``."""

    events: list[Told]
    cursor: str
    caught_up: bool


class FeedUse(NamedTuple):
    """Attributes:
    subscribers: how many subscriptions are open.
    most_behind: how many deliveries wait for the one that is most behind; pending_bytes: of all together.
    sent, too_slow: see ``Tail``.
    """

    subscribers: int
    most_behind: int
    pending_bytes: int
    sent: int
    too_slow: int


class Feed:
    """One for a process. ``run`` must be running for subscriptions to get anything."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._tail = Tail(store, bell)
        self._turns = trio.Semaphore(REPLAYS)

    async def run(self) -> None:
        """Follow the log for those who subscribe, until cancelled."""
        await self._tail.run()

    def use(self) -> FeedUse:
        """Return who listens, and how far they have come."""
        behind = [one.behind for one in self._tail.attendance if isinstance(one, Subscription)]
        most, size = max((count for count, _ in behind), default=0), sum(size for _, size in behind)
        return FeedUse(len(behind), most, size, self._tail.sent, self._tail.too_slow)

    async def cursor(self) -> str:
        """Return a cursor after which everything comes that is not committed yet, and perhaps a little more.

        Whoever reads it before a list of jobs misses nothing after that list. Raises: StoreUnavailable.
        """
        state = await self._store.feed_state()
        return cursor.write(state.history, Place(state.head))

    @asynccontextmanager
    async def subscribe(self, selection: Selection, *, after: str | None = None) -> AsyncIterator[Subscription]:
        """Open a subscription to the events that ``selection`` takes.

        Args:
          after: a cursor, ``earliest``, or None: from what is committed after this call began.
        Raises: CursorInvalid, CursorExpired, StoreUnavailable.
        """
        if after not in (None, EARLIEST):
            cursor.read(after)  # what is none is told before the store is asked
        subscription = Subscription(selection, self._tail)
        async with self._tail.attending(subscription):
            with in_time():
                reader = await self._reader(after)
            subscription.begin(reader)
            yield subscription

    @asynccontextmanager
    async def watch(self, what: str | Selection) -> AsyncIterator[Watch]:
        """Open a watch on one job, or on a selection; it hears of what is committed after the block has begun.

        It costs no reading of its own, so very many of them are cheap. Raises: StoreUnavailable.
        """
        watch = Watch(of_job(what) if isinstance(what, str) else what)
        async with self._tail.attending(watch):
            self._tail.join(watch)
            yield watch

    @asynccontextmanager
    async def ends(self, jobs: frozenset[str] = frozenset()) -> AsyncIterator[Ends]:
        """Gather which jobs end, of ``jobs`` or of all, from when the block has begun. Raises: StoreUnavailable."""
        ends = Ends(jobs)
        async with self._tail.attending(ends):
            self._tail.join(ends)
            yield ends

    async def page(self, selection: Selection, *, after: str | None, limit: int) -> Page:
        """Return the next ``limit`` events at most; see ``subscribe``. It may hold fewer though more are to come."""
        with in_time():
            reader = await self._reader(after)
            head = Place(await reader.head())
        found: list[Told] = []
        size = 0
        enough_at = trio.current_time() + PAGE_WITHIN_S
        while reader.place < head and len(found) < limit and size < PAGE_BYTES and trio.current_time() < enough_at:
            some = await reader.read(selection, limit - len(found))
            found += some
            size += sum(len(told.body) for told in some)
        return Page(found, cursor.write(reader.history, reader.place), reader.place >= head)

    async def _reader(self, after: str | None) -> Reader:
        history, place = await self._place(after)
        return Reader(self._store, self._tail, self._turns, history, place)

    async def _place(self, after: str | None) -> tuple[str, Place]:
        """Return the history and the place to begin at. Raises: CursorInvalid, CursorExpired, StoreUnavailable."""
        if after is None or after == EARLIEST:
            state = await self._store.feed_state()
            if after is None:
                return state.history, Place(await self._store.number_events())
            return state.history, Place(state.oldest - 1)
        history, place = cursor.read(after)
        if history == self._tail.history and self._tail.keeps(place):
            return history, place
        if not _is_kept(history, place, await self._store.feed_state()):
            raise CursorExpired
        return history, place


def _is_kept(history: str, place: Place, state: FeedState) -> bool:
    """Whether everything after the cursor can still be told; what is ahead of the log is of another one."""
    return history == state.history and state.oldest - 1 <= place.seq <= state.head
