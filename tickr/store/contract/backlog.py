"""What is asked of a store for the age of the backlog over time: how long the oldest due job of each queue had waited.

Part of ``Store``; see ``store/contract`` for what holds for every method, and ``store/backlog.py`` for what is kept.
"""

from __future__ import annotations

from typing import Protocol

from tickr.store.backlog import AgePlace
from tickr.store.sums import Span
from tickr.tallies import Step


class Backlog(Protocol):
    """Ages of the oldest due jobs, by minute, hour and day."""

    async def look_at_backlog(self, every_us: int) -> bool:
        """See how long the oldest due job of each queue has waited by now, and keep the greatest age of each step.

        The cost is that of an entry of the index for each queue, state and priority, however much waits.

        Args:
          every_us: nothing is done if somebody looked less than so many microseconds ago. A last look in the future, as
            after a step of the clock, does not count.
        Returns: whether it was done.
        """
        ...

    async def backlog(self, which: Span, limit: int, after: AgePlace | None = None) -> list[tuple[AgePlace, int]]:
        """Return ages, in microseconds, ordered by ``(at, queue)``; at most ``limit``, 1..MAX_BATCH, behind ``after``.

        With ``which.queues``, those of ``backlog.REST`` are among them; types are not looked at.
        """
        ...

    async def prune_backlog(self, step: Step, before: int, limit: int) -> int:
        """Delete the oldest ages of steps that began before ``before`` (microseconds UTC), at most ``limit``.

        Returns: how many were deleted.
        """
        ...
