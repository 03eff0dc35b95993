"""The log of events in memory: one row for each commit, numbered as it is written, pruned from the front."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import trio

from tickr.store.contract import FeedState, StoreUse
from tickr.store.event_log import fresh_history, page
from tickr.store.sums import LogRow
from tickr.tallies import Tally, encode


class _Row(NamedTuple):
    created_at: int
    body: str
    tally: Tally | None


class EventLog:
    """State: ``_rows`` holds what is kept, and before it ``_pruned`` rows were; so the row with number n is at
    ``n - 1 - _pruned``. Nothing here waits.
    """

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._pruned = 0
        self._history = fresh_history()

    def append(self, created_at: int, body: str, tally: Tally | None = None) -> None:
        self._rows.append(_Row(created_at, body, tally))

    def rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        """See ``Store.event_rows``."""
        first = max(after - self._pruned, 0)
        numbered = enumerate(self._rows[first : first + limit], start=self._pruned + first + 1)
        return page(((seq, row.body) for seq, row in numbered), max_bytes)

    def tallies(self, after: int, limit: int) -> list[LogRow]:
        """See ``Store.untallied``."""
        first = max(after - self._pruned, 0)
        some = enumerate(self._rows[first : first + limit], start=self._pruned + first + 1)
        return [LogRow(seq, row.created_at, encode(row.tally)) for seq, row in some]

    def state(self) -> FeedState:
        return FeedState(self._history, self._pruned + 1, self._pruned + len(self._rows))

    def prune(self, before: int, limit: int, upto: int | None = None) -> int:
        """See ``Store.prune_events``."""
        limit = limit if upto is None else max(min(limit, upto - self._pruned), 0)
        old = sum(1 for _ in itertools.takewhile(lambda row: row.created_at < before, self._rows[:limit]))
        del self._rows[:old]
        self._pruned += old
        return old

    def new_history(self, old: str) -> str:
        """See ``Store.new_history``."""
        if self._history == old:
            self._history = fresh_history()
        return self._history


class MemoryFeed:
    """The part of ``MemoryStore`` that has to do with its log."""

    _log: EventLog
    _on_events: Callable[[], None]
    _on_tally: Callable[[Tally], None]

    def on_events(self, call: Callable[[], None]) -> None:
        self._on_events = call

    def use(self) -> StoreUse:
        return StoreUse()

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        self._on_tally = call

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        await trio.lowlevel.checkpoint()
        return self._log.rows(after, limit, max_bytes)

    async def number_events(self) -> int:
        await trio.lowlevel.checkpoint()
        return self._log.state().head

    async def feed_state(self) -> FeedState:
        await trio.lowlevel.checkpoint()
        return self._log.state()

    async def prune_events(self, before: int, limit: int, *, upto: int | None = None) -> int:
        await trio.lowlevel.checkpoint()
        return self._log.prune(before, limit, upto)

    async def new_history(self, old: str) -> str:
        await trio.lowlevel.checkpoint()
        return self._log.new_history(old)
