"""What is asked of a store by retention: to delete jobs that have ended, a small batch at a time.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from typing import Protocol

from tickr.jobs import State
from tickr.store.answers import Pruned, ScanPosition
from tickr.store.retention_answers import Edge, Removed


class Retention(Protocol):
    """Jobs that are not kept any longer go with their attempts. That is no change of state: it makes no event."""

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        """Delete jobs that ended as ``state`` before the instant ``before`` (microseconds UTC), with their attempts.

        Looks at up to ``limit`` (1..MAX_BATCH) jobs from ``position`` on, and deletes those of them that are old
        enough; start with None. A job that has an age of its own stays (``remove_due``), and one of which another has
        yet to hear (``links.Link``). A job that somebody else is at (a redrive, another pruner) is passed over: nobody
        waits for this, and this waits for nobody.
        Deleting is no change of state: it makes no event.
        Cancellation: none of them is deleted, or all.
        """
        ...

    async def last_beyond(self, state: State, count: int) -> Edge | None:
        """Return the last job of ``state`` but ``count`` (>= 0), by when its last attempt was due; None if it has none.

        Reads ``count`` entries of an index and a few for each queue and priority, however many jobs there are. Beyond
        ``MAX_RANGES_COUNTED`` of these it counts too few, so that too many are kept and never too few.
        """
        ...

    async def prune_beyond(self, state: State, edge: Edge, limit: int, position: ScanPosition | None = None) -> Pruned:
        """Delete jobs that ended as ``state`` and whose last attempt was due when that of ``edge`` was, or before.

        Pages, and what stays, as for ``prune_jobs``; so does what has an age of its own.
        Cancellation: none of them is deleted, or all.
        """
        ...

    async def remove_due(self, limit: int, place: tuple[int, str] | None = None) -> Removed:
        """Delete jobs that ended as long ago as they themselves say that they are kept (``Extras.keep_us``).

        Looks at up to ``limit`` (1..MAX_BATCH) of those whose time has come, the first first, from ``place`` on; start
        with None. What stays and what is passed over is as for ``prune_jobs``.
        Cancellation: none of them is deleted, or all.
        """
        ...
