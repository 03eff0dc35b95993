"""What is asked of a store about checkpoints: what attempts keep for the attempts after them.

Part of ``Store``; see ``store/contract`` for what holds for every method. A job has one checkpoint at most, the last;
it stays over retries, lost nodes and hand-backs. It counts for nothing once its job is final, and is gone when the job
is started over (``Store.redrive``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickr.jobs import Job
from tickr.reports import Checkpoint


class Checkpoints(Protocol):
    """Checkpoints of running jobs."""

    async def keep_checkpoints(self, kept: Sequence[Checkpoint]) -> int:
        """Keep what running attempts say that they have got to; each in the place of what its job had. Makes no event.

        Args:
          kept: 1..MAX_BATCH, in the order in which they were said; of several of one job the last counts.
        Returns: of how many jobs one was kept. The others are of attempts that do not run any more (the fence tells):
          nothing is changed for them.
        """
        ...

    async def checkpoint(self, job: Job) -> str | None:
        """Return the checkpoint of ``job``, which runs, as the JSON text that was kept; None if it has none."""
        ...

    async def prune_checkpoints(self, limit: int) -> int:
        """Delete checkpoints of jobs that are final or gone, looking at up to ``limit`` (1..MAX_BATCH).

        And up to so many ends that handlers have written (``store/ended.py``), of attempts that are over.
        Those that somebody else is at are passed over, and no job is locked.
        Returns: how many were looked at; fewer than ``limit``: that was all, for now.
        """
        ...
