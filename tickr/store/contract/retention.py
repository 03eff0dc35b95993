"""What is asked of a store by retention: to delete jobs that have ended, a small batch at a time.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from typing import Protocol

from tickr.jobs import State
from tickr.store.answers import Pruned, Removed, ScanPosition


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

    async def remove_due(self, limit: int, place: tuple[int, str] | None = None) -> Removed:
        """Delete jobs that ended as long ago as they themselves say that they are kept (``Extras.keep_us``).

        Looks at up to ``limit`` (1..MAX_BATCH) of those whose time has come, the first first, from ``place`` on; start
        with None. What stays and what is passed over is as for ``prune_jobs``.
        Cancellation: none of them is deleted, or all.
        """
        ...
