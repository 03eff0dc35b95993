"""What is asked of a store from outside: jobs come in, are looked at, cancelled and started over.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from tickr.edits import NO_EDIT, Edit
from tickr.jobs import Attempt, Job, NewJob
from tickr.keys import Unique
from tickr.store.answers import LOOK_AT, Filter, Page, Place, Start


class Submissions(Protocol):
    """Jobs as those who submit them ask for them."""

    async def insert(
        self, new: Sequence[NewJob], *, whole: bool = False, start: Start | None = None
    ) -> list[tuple[Job, bool]]:
        """Store new jobs and the event of each. The job is durable when this returns.

        Args:
          new: 1..MAX_BATCH jobs; queues not seen before are registered in the same transaction.
          whole: all or none: nothing is stored if one of the ids belongs to a job with another content, or if one of
            them is refused for its keys.
          start: which of them begin to run at once, as if claimed; those that are not due, or have expired, do not, and
            none does if the node has no row. Whoever asks for it runs those that come back RUNNING with ``created``.
        Returns: for each, in order, ``(job, created)``. An id that is stored already, or comes twice in ``new``, is the
          same job: it is left as it is and returned with ``created=False``, whatever else the new one says. To a job
          with a ``wish`` the answer is a ``Keyed``; those of one batch are dealt with one after the other. A job that
          depends on others is BLOCKED until they have ended, or begins at its end; they may come in the same batch, at
          any place. To one that depends on what is not there the answer is a ``Refused``.
        Raises: DuplicateJob, UniqueConflict, KeyReused, DependencyMissing, DependencyCycle: only with ``whole``.
        Cancellation: see the module; the caller may ask again with the same ids and gets the same jobs. What was to
          start is as after a claim that was cut.
        """
        ...

    async def cancel(self, job_id: str, *, version: int | None = None, reason: str | None = None) -> Job:
        """Cancel a job that waits, or note on one that runs that its worker shall stop it.

        Args:
          version: if given, the job must be at it; this is looked at before anything else.
          reason: for the job's error, now or when its worker has stopped it. Of several wishes the first counts.
        Returns: the job after the change: CANCELLED, or still RUNNING with ``cancel_requested``. A job that is
          CANCELLED already is returned as it is.
        Raises: JobNotFound, IllegalTransition (succeeded or failed), VersionMismatch.
        """
        ...

    async def redrive(self, job_id: str, *, version: int | None = None, edit: Edit = NO_EDIT) -> Job:
        """Make a final job ready again, at once, with a fresh budget of attempts; see ``jobs.redriven``.

        ``edit``: what is to be different; a queue not seen before is registered.
        One whose unique key is held until it is final has to have the key again. One that depends on jobs which have
        not ended is BLOCKED until they have; those that have ended count as they are.
        Raises: JobNotFound, IllegalTransition (not final), NotEditable (for one node), VersionMismatch, UniqueConflict.
        """
        ...

    async def holder(self, unique: Unique) -> Job | None:
        """Return the job that holds the key of ``unique``, as a submission would find it; None if it is free."""
        ...

    async def get(self, job_id: str) -> Job | None: ...

    async def get_many(self, ids: Collection[str]) -> list[Job]:
        """Return those of ``ids``, 0..MAX_BATCH, that are stored, in no certain order."""
        ...

    async def attempts(self, job_id: str) -> list[Attempt]:
        """Return every attempt by ``fence``, oldest first, the one on the job itself last.

        Raises: JobNotFound.
        """
        ...

    async def list_jobs(
        self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = LOOK_AT
    ) -> Page:
        """Return up to ``limit`` jobs that pass ``which``, newest first by ``(created_at, id)``.

        Args:
          before: ``Page.after`` of the page before; only older jobs follow.
          look_at: a page ends when about so many jobs have been looked at, >= 1, found or not, so that what it costs
            does not depend on how many are stored. Where payloads are searched, also when so many of these have been
            looked into as ``search.py`` says.
        """
        ...
