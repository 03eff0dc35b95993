"""What is asked of a store for the feed and by the operator: the log of events, what is too old, how it is.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tickr.store.answers import Check, FeedState
from tickr.store.use import StoreUse
from tickr.tallies import Tally


class Log(Protocol):
    """The log of events, and upkeep."""

    def on_events(self, call: Callable[[], None]) -> None:
        """Have ``call`` called after each COMMIT of this store's that wrote events, or may have if that is unknown.

        In trio's thread; it must be quick and not raise. It is called although the caller of the method was cancelled
        meanwhile. Only the last ``call`` given counts.
        """
        ...

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        """Have ``call`` called after each COMMIT of this store's that moved jobs, with what it did.

        As ``on_events`` is, but only once the COMMIT is known to have taken place: one whose outcome stays unknown is
        not told here. A very long transaction has several tallies.
        """
        ...

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        """Return rows of events as ``(seq, body)``, those after ``seq`` number ``after``, in order.

        One row is one commit; ``events.decode`` takes its body apart. ``seq`` is 1, 2, 3 … without a gap and, for
        every job, in the order of its versions. A row once seen never changes its number, and no row appears later
        with a number below one already seen. A store that cannot number at insert does it here (design section 8),
        so every row that was committed before the call is seen.

        Args:
          limit: at most so many rows, 1..MAX_BATCH.
          max_bytes: the page ends earlier, with the row that makes it so long, >= 1; counted as ``len(body)``, so that
            whoever gets a page can tell one that ended early.
        Returns: the first row is ``after + 1``, unless that is no longer kept.
        """
        ...

    async def number_events(self) -> int:
        """Give every row that is committed its number, and return the last one (``FeedState.head``)."""
        ...

    async def feed_state(self) -> FeedState:
        """Return where the log stands. A cheap read: rows that have no number yet do not count."""
        ...

    async def prune_events(self, before: int, limit: int, *, upto: int | None = None) -> int:
        """Delete the oldest rows, as long as they were written before the instant ``before`` (microseconds UTC).

        At most ``limit`` rows, fewer if they hold very many events (``event_log.MAX_PRUNED``), and always from the
        front, so that what is left has no gap. Rows without a number stay, and so do those after the number ``upto``.
        Returns: how many rows were deleted; 0 when there is nothing (more) to delete, or others are at it.
        """
        ...

    async def new_history(self, old: str) -> str:
        """Begin another history if ``old`` is still the current one: every cursor handed out so far is void.

        Returns: the history from now on.
        """
        ...

    # -- for the operator -----------------------------------------------------------------------------------------

    async def prune_keys(self, limit: int) -> int:
        """Delete keys that stand for nothing any more, looking at up to ``limit`` (1..MAX_BATCH) that it is time for.

        Keys that somebody else is at are passed over, and no job is locked. What a key says does not change by it: one
        that is deleted here was free before.
        Returns: how many were looked at; fewer than ``limit``: that was all, for now.
        """
        ...

    def use(self) -> StoreUse:
        """Return how the connections of this process are in use. No I/O."""
        ...

    async def diagnose(self) -> list[Check]:
        """Look at what the store runs on: reachability, version, schema, durability settings, clock."""
        ...
