"""What is asked of a store about what jobs log: lines are kept with their job, as long as it, the newest of each.

Part of ``Store``; see ``store/contract`` for what holds for every method. They are deleted with the job
(``Store.prune_jobs``), and stay when it is started over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickr.job_log import LogPart, LogPlace
from tickr.reports import Lines


class JobLog(Protocol):
    """The lines of jobs."""

    async def keep_log(self, said: Sequence[Lines], *, bound: int) -> int:
        """Keep lines that running attempts have logged. Makes no event. The same part again changes nothing.

        Args:
          said: 1..MAX_BATCH.
          bound: lines of a job to keep, >= 1; where a part says so (``Lines.trim``), older ones of its job are deleted
            (``job_log.outgrown``).
        Returns: how many parts were kept. The others are of attempts that do not run any more (the fence tells).
        """
        ...

    async def job_log(
        self, job_id: str, limit: int, *, after: LogPlace | None = None, attempt: int | None = None
    ) -> list[LogPart]:
        """Return up to ``limit`` (1..MAX_BATCH) parts, oldest first; of a job that is not there, none.

        Args:
          after: only parts with lines behind that place; the first may hold it, too.
          attempt: only those of the attempts with this number.
        """
        ...
