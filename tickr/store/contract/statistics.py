"""What is asked of a store for the statistics: sums of what was done, up to where they go, and marks beside them.

Part of ``Store``; see ``store/contract`` for what holds for every method. How a tally gets into the log: ``on_tally``,
``store/changes.py``.
"""

from __future__ import annotations

from typing import Literal, Protocol

from tickr.store.sums import Mark, Span, SumPlace, Sums, Tallied, Untallied
from tickr.tallies import Part, Step


class Statistics(Protocol):
    """Sums, by minute, hour and day."""

    async def untallied(self, limit: int) -> Untallied:
        """Return the first rows of the log that are not in the sums, at most ``limit``, 1..MAX_BATCH.

        Rows without a number do not count (``number_events``).
        """
        ...

    async def add_tallies(self, more: Sums, *, after: int, upto: Tallied) -> bool:
        """Add ``more``, what rows ``after`` (without it) to ``upto.seq`` come to, to the sums.

        Returns: False, with nothing changed, if the sums do not go up to ``after`` just now: somebody else was first.
          So each row is counted once, however often it is tried and by however many.
        """
        ...

    async def tallied(self) -> Tallied:
        """Return how far the sums go. With nothing left to add, that is up to now."""
        ...

    async def sums(self, which: Span, limit: int, after: SumPlace | None = None) -> list[tuple[SumPlace, Part]]:
        """Return sums ordered by ``(at, queue, type)``, at most ``limit``, 1..MAX_BATCH; those behind ``after``."""
        ...

    async def weights(self, which: Span) -> list[tuple[int, int]]:
        """Return of each step of which there are sums when it began, and how many events they count, in order.

        Sums are only ever added to: as long as these numbers are the same, so are the sums.
        """
        ...

    async def busiest(self, which: Span, by: Literal["queue", "type"], limit: int) -> list[str]:
        """Return the queues, or the types, of which ``which`` counts the most events, at most ``limit``, in order."""
        ...

    async def prune_sums(self, step: Step, before: int, limit: int) -> int:
        """Delete the oldest sums of steps that began before ``before`` (microseconds UTC), at most ``limit``.

        Returns: how many were deleted.
        """
        ...

    # -- marks ----------------------------------------------------------------------------------------------------

    async def make_mark(self, mark: Mark) -> tuple[Mark, bool]:
        """Keep ``mark``. Of more than ``sums.MAX_MARKS`` the oldest (by ``at``) go.

        Returns: the mark, and True; or, with nothing changed, the one that there is under its id, and False.
        """
        ...

    async def marks(self, since: int, until: int, limit: int) -> list[Mark]:
        """Return the marks from ``since`` on and before ``until`` (microseconds UTC), the last ``limit``, in order."""
        ...

    async def drop_mark(self, mark_id: str) -> bool:
        """Delete a mark. Returns: whether there was one."""
        ...
