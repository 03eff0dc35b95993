"""What is asked of a store for the index: everything that waits, in its order; and what has waited for too long.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tickr.jobs import Entry, Job
from tickr.store.answers import Expired, ScanPosition


class Waiting(Protocol):
    """What waits, for the index, the audit, and who ends what has expired."""

    async def queue_names(self) -> list[str]:
        """Return the names of all queues that were used, and not taken away since, or have jobs that wait; sorted.

        What was taken away as somebody submitted to it is named anew by this: until then no claim may come to it.
        """
        ...

    async def due(self, limit: int) -> list[Entry]:
        """Return the waiting jobs that are due, those that should run first in front: per queue by (priority, run_at).

        In a queue that goes newest first, the latest ``run_at`` first. At most ``limit`` of each queue. A read without
        locks.
        """
        ...

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        """Return one page of everything that waits, due or not, and the place after it; None at the end.

        Start with None. Jobs that change while the scan runs may be seen or not.
        """
        ...

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        """Return those of ``ids`` that wait (READY or RETRYING, due or not)."""
        ...

    async def ahead(self, job: Job, *, count_to: int) -> int:
        """Return how many due jobs of the queue of ``job`` come before it by (priority, run_at, id).

        In one that goes newest first, those that are due later come before it, but those of a later instant than now.
        ``count_to``: counting ends there, >= 1.
        """
        ...

    async def epoch(self, proposal: str) -> str:
        """Return the identity of the index that belongs to this store, keeping ``proposal`` if there is none yet."""
        ...

    async def end_expired(self, limit: int) -> Expired:
        """Cancel up to ``limit`` jobs that wait although their ``expires_at`` has come, those first that expired first.

        Whether they wait for their time, for a worker or for other jobs; one that runs is not touched. Several nodes
        may ask at once: each job is ended once, and none waits for another's locks.

        Args:
          limit: 1..MAX_BATCH.
        """
        ...
