"""Early: ids that the index gave a moment before their jobs are due; they are claimed at that instant.

So the way from promotion to here, through Redis, is over when a delayed job may start. A slot is kept
for each id meanwhile. See docs/decisions/0023-early-hints.md.

State: what is held, and until when (trio's clock, which no step of a wall clock moves), is written here only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Protocol

import trio

from tickr.index.contract import EARLY_US, Hint

AT_ONCE = 2
"""So many claims at once: who is due in the middle of one waits for no other; with more of them they would be small."""

Claim = Callable[[Sequence[Hint]], Awaitable[None]]


class Reservable(Protocol):
    """Slots that can be kept; ``Pool`` in ``worker/pool.py``."""

    def reserve(self, count: int) -> None:
        """Keep so many free slots."""
        ...

    def release(self, count: int) -> None:
        """Give back so many of those kept."""
        ...


class Early:
    """Holds early ids of one claim loop until they are due, for ``EARLY_US`` at most, and for a free claim."""

    def __init__(self, slots: Reservable) -> None:
        self._slots = slots
        self._held: list[tuple[float, Hint]] = []
        self._earlier = trio.Event()

    def hold(self, hints: Sequence[Hint], *, now: int) -> None:
        """Keep ``hints`` and slots for them until they are due. ``now``: microseconds UTC by the store's clock."""
        since = trio.current_time()
        for hint in hints:
            heappush(self._held, (since + min(hint.run_at - now, EARLY_US) / 1e6, hint))
        self._slots.reserve(len(hints))
        self._earlier.set()

    @asynccontextmanager
    async def claiming(self, claim: Claim) -> AsyncIterator[None]:
        """Call ``claim`` with hints at their instant during the block, and keep their slots for them until it returns.

        Of several calls under way at the end of the block all end first.
        """
        async with trio.open_nursery() as claims, trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, claim, claims)
            yield
            nursery.cancel_scope.cancel()

    async def _follow(self, claim: Claim, claims: trio.Nursery) -> None:
        places = trio.Semaphore(AT_ONCE)

        async def claim_some(hints: Sequence[Hint]) -> None:
            try:
                await claim(hints)
            finally:
                self._slots.release(len(hints))
                places.release()

        while True:
            await places.acquire()
            await self._wait_due()
            claims.start_soon(claim_some, self._take_due())

    def give_up(self) -> list[str]:
        """Return the ids of what is held, and hold nothing."""
        ids = [hint.id for _, hint in self._held]
        self._held.clear()
        self._slots.release(len(ids))
        return ids

    def count(self, queue: str) -> int:
        """Return how many of a queue are held."""
        return sum(hint.queue == queue for _, hint in self._held)

    async def _wait_due(self) -> None:
        while not self._held or self._held[0][0] > trio.current_time():
            self._earlier = trio.Event()
            with trio.move_on_at(self._held[0][0] if self._held else float("inf")):
                await self._earlier.wait()

    def _take_due(self) -> list[Hint]:
        now, hints = trio.current_time(), list[Hint]()
        while self._held and self._held[0][0] <= now:
            hints.append(heappop(self._held)[1])
        return hints
