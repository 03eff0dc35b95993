"""The tail of the log: the one reader of a process, and the fan-out of what it reads to everyone who listens live.

Woken by the bell (and once a second without it) it reads the rows that are new, and puts what each subscriber wants
into its inbox, without waiting for anybody. It reads only while somebody is there (``attending``). Subscribers with
equal selections share the deliveries; those that follow single jobs are found by the job, so thousands of them cost an
event nothing. The newest rows are kept for a while for those who come back after a short break.

State: all of it is written here only, in trio's thread, between two checkpoints: whoever sees ``seq`` sees a log whose
rows up to it are in every live inbox and none beyond.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import Protocol

import msgspec
import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.errors import CursorExpired, FeedError, StoreError, StoreUnavailable
from tickr.failpoints import reach
from tickr.feed import cursor, delivery
from tickr.feed.cursor import Place
from tickr.feed.delivery import Delivery, Row, Told, deliveries
from tickr.feed.selection import Selection
from tickr.store.contract import FeedState, Store

PAGE_ROWS = 500
PAGE_BYTES = 512 * 1024
"""How much of the log is read at once, in rows and in bytes as stored; a single row may be longer."""
POLL_S = 1.0
"""How long a ring of the bell may be lost for, in seconds."""
RETRY_S = 0.5
"""Pause between tries while the store is away, in seconds."""
ASKED_WITHIN_S = 1.9
"""How long what a client waits for at its beginning may take, in seconds: a store that is down is a 503 within 2 s."""
LOOK_AT_HISTORY_S = 10.0
"""How often it is asked whether the log is still the same one, in seconds."""
KEPT_ROWS = 2_000
KEPT_BYTES = 4 * 1024 * 1024
"""How much of what was read last is kept for those who come back, in rows and in bytes as stored."""

log = structlog.get_logger("tickr.feed")


@contextmanager
def in_time() -> Iterator[None]:
    """Raises: StoreUnavailable: the block was not left in time."""
    with trio.move_on_after(ASKED_WITHIN_S) as scope:
        yield
    if scope.cancelled_caught:
        raise StoreUnavailable(f"The store did not answer within {ASKED_WITHIN_S} s.")


class Listener(Protocol):
    """A live subscriber; ``Subscription`` is the one there is."""

    selection: Selection
    in_frames: bool
    """Whether it passes on what it gets: then no delivery is too long for a frame."""

    def offer(self, page: Sequence[Delivery]) -> bool:
        """Take what a page has for it, without waiting; False when there is no more room: it gets nothing further."""
        ...

    def end(self, reason: FeedError) -> None:
        """Nothing more will come."""
        ...


class _Group:
    """Live listeners with the same selection, and what they get of the page at hand."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.listeners: set[Listener] = set()
        self.taken: list[Told] = []


class Tail:
    """One for a process. ``run`` must be running for anything to come.

    Attributes:
      history: which log it is; "" while nobody attends.
      seq: number of the last row that was told to live listeners; means something only to those who attend.
      sent: how many events subscriptions have received, each counted for each. too_slow: how many were let go for being
        behind. Written by the subscriptions.
    """

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self.history = ""
        self.seq = 0
        self.sent = self.too_slow = 0
        self._attending: set[Listener] = set()
        self._awake = trio.Event()
        self._waking = trio.Lock()
        self._moved = trio.Event()
        self._groups: dict[Selection, _Group] = {}
        self._by_job: dict[str, set[_Group]] = {}
        self._of_all_jobs: set[_Group] = set()
        self._kept: deque[tuple[Row, int]] = deque()
        self._kept_bytes = 0

    # -- for subscriptions ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def attending(self, listener: Listener) -> AsyncIterator[None]:
        """Keep the tail reading; ``seq`` and ``history`` are good inside. Raises: StoreUnavailable.

        The listener is told of nothing yet but the end (``join``).
        """
        with in_time():  # those who wait for somebody else's question included
            async with self._waking:
                if not self._awake.is_set():
                    await self._wake()
                self._attending.add(listener)
        try:
            yield
        finally:
            self._attending.discard(listener)
            self._leave(listener)

    def join(self, listener: Listener) -> None:
        """Tell ``listener`` every row after ``seq`` from now on."""
        group = self._groups.get(listener.selection)
        if group is None:
            group = self._groups[listener.selection] = _Group(listener.selection)
            for home in self._homes(group):
                home.add(group)
        group.listeners.add(listener)

    async def wait_moved(self) -> None:
        """Return once ``seq`` has been raised."""
        await self._moved.wait()

    def kept_after(self, seq: int) -> list[Row]:
        """Return the rows after number ``seq``, about a page of them; an empty list if they are no longer here."""
        first = self._kept[0][0][0] if self._kept else self.seq + 1
        if not first - 1 <= seq < self.seq:
            return []
        rows: list[Row] = []
        size = 0
        for row, length in islice(self._kept, seq + 1 - first, None):
            rows.append(row)
            size += length
            if len(rows) == PAGE_ROWS or size >= PAGE_BYTES:
                break
        return rows

    def keeps(self, place: Place) -> bool:
        """Whether all that follows ``place`` is still here, so that it is certainly a good one."""
        return place == (self.seq, 0) or bool(self.kept_after(place.seq))

    @property
    def attendance(self) -> Collection[Listener]:
        """Those who listen, live or on their way to it."""
        return self._attending

    @property
    def cursor(self) -> str:
        """Resumes after everything that live listeners have been told."""
        return cursor.write(self.history, Place(self.seq))

    # -- reading --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read whenever somebody attends, until cancelled."""
        async with self._bell.listen("feed") as rings:
            while True:
                await self._awake.wait()
                await self._follow(rings)
                self._sleep()

    async def _wake(self) -> None:
        """Begin at the end of the log."""
        state = await self._store.feed_state()
        head = await self._store.number_events()
        self.history, self.seq = state.history, head
        self._awake.set()

    def _sleep(self) -> None:
        """Forget where we are: nobody looks after it from now on."""
        self._awake = trio.Event()
        self.history = ""
        self._kept.clear()
        self._kept_bytes = 0

    async def _follow(self, rings: trio.MemoryReceiveChannel[Ring]) -> None:
        """Read and tell until nobody attends any more; there is no checkpoint between that and the return."""
        look_at = trio.current_time() + LOOK_AT_HISTORY_S
        away = False
        while self._attending:
            try:
                if away or trio.current_time() >= look_at:
                    look_at = trio.current_time() + LOOK_AT_HISTORY_S
                    await self._look_at_history()
                    if not self._attending:
                        return
                found = await self._store.event_rows(self.seq, PAGE_ROWS, PAGE_BYTES)
                await reach("feed.before_tell")
                more = self._tell(found)
            except StoreError as error:
                if not away:
                    log.warning("feed.waiting_for_store", error=str(error))
                away = True
                await trio.sleep(RETRY_S)
                continue
            except msgspec.DecodeError as error:
                log.error("feed.not_understood", after=self.seq, problem=str(error))
                self._end_everybody(FeedError("The next events were written by a Tickr that this one is too old for."))
                return
            away = False
            if more:
                await trio.lowlevel.checkpoint()
            elif self._attending:
                await _rung(rings)

    async def _look_at_history(self) -> None:
        """Notice a log that was restored or reset under us, or whose rows were all pruned before we read them."""
        state = await self._store.feed_state()
        if state.history == self.history and not await self._is_same_log(state):
            await self._store.new_history(state.history)
            state = await self._store.feed_state()
        if state.history != self.history:
            log.warning("feed.another_history", was=self.history, now=state.history)
            self._end_everybody(CursorExpired())
        elif state.oldest > self.seq + 1:
            self._rows_lost(state.oldest)

    async def _is_same_log(self, state: FeedState) -> bool:
        """Whether the row that was told last is there still, and still the same: a log may lose its end and grow again.

        So it is after a fail-over to a replica that was behind.
        """
        if state.head < self.seq:
            return False
        if not self._kept:
            return True
        (seq, told), _ = self._kept[-1]
        found = await self._store.event_rows(seq - 1, 1, 1)
        if not found or found[0][0] != seq:
            return True  # pruned
        _, now = delivery.row(self.history, *found[0])
        return [one.event.id for one in now] == [one.event.id for one in told]

    def _rows_lost(self, oldest: int) -> None:
        """Rows were pruned before they were read: we were away for longer than they are kept."""
        log.warning("feed.rows_lost", after=self.seq, oldest=oldest)
        self._end_everybody(CursorExpired())

    def _end_everybody(self, why: FeedError) -> None:
        """The log cannot be followed from where we are: all have to look for themselves where it goes on."""
        for listener in list(self._attending):
            listener.end(why)
            self._leave(listener)
        self._attending.clear()

    def _tell(self, found: list[tuple[int, str]]) -> bool:
        """Tell the live listeners what was read. Returns whether there may be more to read already."""
        if not found:
            return False
        if found[0][0] != self.seq + 1:
            self._rows_lost(found[0][0])
            return False
        rows = [delivery.row(self.history, seq, body) for seq, body in found]
        self._keep(rows, found)
        self.seq = found[-1][0]
        self._fan_out(told for _, row in rows for told in row)
        self._moved.set()
        self._moved = trio.Event()
        return len(found) == PAGE_ROWS or sum(len(body) for _, body in found) >= PAGE_BYTES

    def _keep(self, rows: Iterable[Row], found: Iterable[tuple[int, str]]) -> None:
        for row, (_, body) in zip(rows, found, strict=True):
            self._kept.append((row, len(body)))
            self._kept_bytes += len(body)
        while len(self._kept) > KEPT_ROWS or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popleft()[1]

    # -- fan-out --------------------------------------------------------------------------------------------------

    def _fan_out(self, page: Iterable[Told]) -> None:
        touched: dict[_Group, None] = {}
        for told in page:
            for group in (*self._of_all_jobs, *self._by_job.get(told.event.job, ())):
                if group.selection.takes(told.event):
                    group.taken.append(told)
                    touched[group] = None
        for group in touched:
            taken, group.taken = group.taken, []
            framed = list(deliveries(taken, self.cursor)) if any(one.in_frames for one in group.listeners) else []
            whole = [Delivery("events", self.cursor, taken)]
            for listener in [one for one in group.listeners if not one.offer(framed if one.in_frames else whole)]:
                self._leave(listener)

    def _leave(self, listener: Listener) -> None:
        group = self._groups.get(listener.selection)
        if group is None:
            return
        group.listeners.discard(listener)
        if not group.listeners:
            del self._groups[listener.selection]
            for home in self._homes(group):
                home.discard(group)
            for job in group.selection.jobs:
                if not self._by_job[job]:
                    del self._by_job[job]

    def _homes(self, group: _Group) -> list[set[_Group]]:
        jobs = group.selection.jobs
        return [self._by_job.setdefault(job, set()) for job in jobs] if jobs else [self._of_all_jobs]


async def _rung(rings: trio.MemoryReceiveChannel[Ring]) -> None:
    """Return when the bell has rung for the feed, or after ``POLL_S``; takes everything that was rung."""
    with trio.move_on_after(POLL_S):
        await rings.receive()
    with contextlib.suppress(trio.WouldBlock):
        while True:
            rings.receive_nowait()
