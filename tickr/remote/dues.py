"""Dues: when something that waits may become due, for polls that wait for jobs.

What is due at once is told by the feed. What becomes due by the clock is told by nobody: the index knows the next
instant, and rings of the bell tell of new ones. The look itself is the dispatcher's.

State: the instants that lie ahead, a bounded number of them, written and read here only.
"""

from __future__ import annotations

import heapq
from contextlib import suppress

import trio

from tickr.errors import IndexUnavailable
from tickr.index.contract import EARLY_US, Index
from tickr.store.contract import Store

MOST = 1_000
"""Instants that are remembered; what is beyond is found by the slow look."""
AGAIN_US = 20_000
"""The store's clock decides what is due, and may be a little behind: so much later there is a second look."""
BATCH = 1_000


class Dues:
    """The instants of one process at which to look."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index
        self._instants: list[int] = []
        self._nap = trio.CancelScope()

    def add(self, at: int) -> None:
        """Look at ``at``, microseconds UTC, too."""
        if len(self._instants) < MOST and at not in self._instants:
            heapq.heappush(self._instants, at)
            self._nap.deadline = min(self._nap.deadline, self._deadline(at))

    async def wait(self, longest_s: float) -> None:
        """Return when something may have become due, or after ``longest_s`` seconds."""
        # What others have promoted is ready up to so much before its instant, and not told as the next any more.
        with suppress(IndexUnavailable):
            moved, next_due_at = await self._index.promote(self._store.now_us() + EARLY_US, BATCH)
            if moved:
                self._note(self._store.now_us() + EARLY_US)
            if next_due_at is not None:
                self._note(next_due_at)
        with trio.CancelScope(deadline=trio.current_time() + longest_s) as self._nap:
            if self._instants:
                self._nap.deadline = min(self._nap.deadline, self._deadline(self._instants[0]))
            await trio.sleep_forever()
        now = self._store.now_us()
        while self._instants and self._instants[0] <= now:
            heapq.heappop(self._instants)

    def _note(self, at: int) -> None:
        for one in (at, at + AGAIN_US):
            self.add(one)

    def _deadline(self, at: int) -> float:
        return trio.current_time() + max(0.0, (at - self._store.now_us()) / 1e6)
