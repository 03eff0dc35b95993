"""What is asked of a store about jobs that are there, and are to be others or to be gone.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from typing import Protocol

from tickr.edits import Edit
from tickr.jobs import Job
from tickr.store.change_answers import Edited


class Editing(Protocol):
    """Jobs that somebody wants different."""

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Edited:
        """Change a job that has not ended; see ``editing.edited``.

        Of this and a claim at the same moment one is first, and the other sees what it has done.
        A queue not seen before is registered. With another payload the job loses its checkpoint.

        Args:
          version: if given, the job must be at it.
        Raises: JobNotFound, NotEditable, VersionMismatch, CannotOpen.
        """
        ...

    async def delete(
        self, job_id: str, *, version: int | None = None, cancel: bool = False, reason: str | None = None
    ) -> Job:
        """Delete a job that has ended, with all that is kept of it; see ``deletions.delete``.

        Args:
          version: if given, the job must be at it. cancel: one that waits is cancelled first, for ``reason``.
        Returns: the job as it was before.
        Raises: JobNotFound, NotDeletable, VersionMismatch.
        """
        ...
