"""One subscriber's way through the log: replay from its place to the tail, then live, without a seam.

It attends the tail first, so that the tail reads on; then it reads the log itself, page by page, at its own pace, until
its place is the tail's. At that very step, with no checkpoint in between, it joins the live listeners: no event can be
missed or come twice, and nothing has to be buffered while it replays (docs/decisions/0011).

State: ``_place`` is written here only; the inbox is filled by the tail and emptied here.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tickr.errors import CursorExpired, FeedError, StoreUnavailable, TooSlow
from tickr.feed import cursor, delivery
from tickr.feed.cursor import Place
from tickr.feed.delivery import MAX_BYTES, MAX_EVENTS, Delivery, Row, Told, selected
from tickr.feed.selection import Selection
from tickr.feed.tail import PAGE_BYTES, PAGE_ROWS, Tail
from tickr.store.contract import Store

BOOKMARK_S = 8.0
"""A subscriber hears something at least this often, in seconds, so that its cursor does not age with a quiet filter."""
MAX_PENDING = 500
MAX_PENDING_BYTES = 768 * 1024
"""What may wait for a subscriber when a page comes, in deliveries and in bytes of events; beyond it, it is let go."""
RETRY_S = 0.5
"""Pause between tries to replay while the store is away, in seconds."""


class Reader:
    """Reads the log from a place on, a page at a time: from what the tail keeps, or from the store.

    Args:
      turns: held while the store is read, so that many who come back at once leave it to the others, too.
    """

    def __init__(self, store: Store, tail: Tail, turns: trio.Semaphore, history: str, place: Place) -> None:
        self._store = store
        self._tail = tail
        self._turns = turns
        self.history = history
        self.place = place
        self._head: int | None = None

    async def head(self) -> int:
        """Return the number of the last row when this reader began, or soon after. Raises: StoreUnavailable."""
        if self._head is None:
            async with self._turns:
                self._head = await self._store.number_events()
        return self._head

    async def read(self, selection: Selection, limit: int = MAX_EVENTS) -> list[Told]:
        """Return events after ``place`` that ``selection`` takes, a delivery's worth at most, and move ``place`` on.

        To be called only where the log goes on after ``place``. There may be none: then it was moved past others.
        Raises: CursorExpired: what comes next is no longer kept. StoreUnavailable.
        Cancellation: either the events are returned, or ``place`` is as it was.
        """
        rows = self._tail.kept_after(self.place.seq) if self.history == self._tail.history else []
        if rows:
            await trio.lowlevel.checkpoint()
        else:
            rows = await self._from_store()
        if not rows or rows[0][0] != self.place.seq + 1:
            raise CursorExpired
        found, self.place = selected(rows, self.place, selection, limit)
        return found

    async def _from_store(self) -> list[Row]:
        async with self._turns:
            found = await self._store.event_rows(self.place.seq, PAGE_ROWS, PAGE_BYTES)
        return [delivery.row(self.history, seq, body) for seq, body in found]


class Subscription:
    """Made by ``Feed.subscribe``; ``receive`` must be called by one task at a time.

    Attributes:
      selection: which events it gets.
    """

    in_frames = True

    def __init__(self, selection: Selection, tail: Tail) -> None:
        self.selection = selection
        self._tail = tail
        self._reader: Reader | None = None  # until it has caught up
        self._place = Place(0)
        self._offer, self._inbox = trio.open_memory_channel[Delivery](MAX_PENDING)
        self._pending_bytes = 0
        self._ended: FeedError | None = None
        self._cursor = ""

    def begin(self, reader: Reader) -> None:
        self._reader = reader
        self._cursor = cursor.write(reader.history, reader.place)

    @property
    def cursor(self) -> str:
        """Resumes after everything received so far."""
        return self._cursor

    @property
    def behind(self) -> tuple[int, int]:
        """How many deliveries wait for it here, and with how many bytes of events."""
        return self._inbox.statistics().current_buffer_used, self._pending_bytes

    # -- for the subscriber ---------------------------------------------------------------------------------------

    async def receive(self) -> Delivery:
        """Return what comes next: replayed events, once ``caught_up``, then live ones; a bookmark when nothing comes.

        Takes at most ``BOOKMARK_S`` seconds.
        Raises:
          TooSlow: too much was waiting. What was delivered before is whole; the rest comes after ``cursor``.
          CursorExpired: the log cannot be followed from here on.
        Cancellation: nothing is lost; the next call returns what this one would have.
        """
        made: Delivery | None = None
        with trio.move_on_after(BOOKMARK_S):
            made = await (self._next_live() if self._reader is None else self._replay(self._reader))
        made = made or Delivery("bookmark", self._current())
        self._cursor = made.cursor
        self._tail.sent += len(made.events)
        return made

    def _current(self) -> str:
        """Return the cursor after what was received and what did not concern this subscriber."""
        if self._reader is not None:
            return cursor.write(self._reader.history, self._reader.place)
        return self._tail.cursor if not self._pending_bytes and self._ended is None else self._cursor

    async def _replay(self, reader: Reader) -> Delivery:
        while True:
            if self._ended:
                raise self._ended
            try:
                head = await reader.head()  # before the tail is looked at, which moves on meanwhile
                if reader.place.taken or reader.place.seq < max(self._tail.seq, head):
                    if found := await reader.read(self.selection):
                        return Delivery("events", cursor.write(reader.history, reader.place), tuple(found))
                    continue
            except StoreUnavailable:
                await trio.sleep(RETRY_S)
                continue
            if self._ended:
                continue
            if reader.place.seq == self._tail.seq:
                self._tail.join(self)
                self._reader = None
                return Delivery("caught_up", self._tail.cursor)
            await self._tail.wait_moved()  # we have read from the store what it has not read yet

    async def _next_live(self) -> Delivery:
        if self._ended:
            raise self._ended
        try:
            first = await self._inbox.receive()
        except trio.EndOfChannel:
            assert self._ended is not None, "the inbox is closed by end() only"
            raise self._ended from None
        return self._with_more(self._taken(first))

    def _with_more(self, first: Delivery) -> Delivery:
        """Add what else is waiting, as long as it makes one delivery: what is pending goes out as one frame."""
        some, size, count = [first], first.size_bytes, len(first.events)
        while size < MAX_BYTES and count < MAX_EVENTS and self._inbox.statistics().current_buffer_used:
            one = self._taken(self._inbox.receive_nowait())
            some.append(one)
            size += one.size_bytes
            count += len(one.events)
        if len(some) == 1:
            return first
        return Delivery("events", some[-1].cursor, tuple(told for one in some for told in one.events))

    def _taken(self, one: Delivery) -> Delivery:
        self._pending_bytes -= one.size_bytes
        return one

    # -- for the tail ---------------------------------------------------------------------------------------------

    def offer(self, page: Sequence[Delivery]) -> bool:
        """See ``Listener``. What counts is how far behind it is already: one huge commit makes nobody slow."""
        if self._ended:
            return False
        waiting = self._inbox.statistics().current_buffer_used
        if self._pending_bytes > MAX_PENDING_BYTES or waiting + len(page) > MAX_PENDING:
            self._tail.too_slow += 1
            self.end(TooSlow(self._cursor))
            return False
        for one in page:
            self._offer.send_nowait(one)
            self._pending_bytes += one.size_bytes
        return True

    def end(self, reason: FeedError) -> None:
        """See ``Listener``. What is still in the inbox is not delivered any more."""
        self._ended = reason
        self._offer.close()
