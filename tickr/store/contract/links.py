"""What is asked of a store about links: jobs that wait for others hear of their ends, and handlers have children.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from tickr.jobs import Job, NewJob
from tickr.links import MAX_CHILDREN, Link
from tickr.store.link_answers import LinkPage, LinkPlace, Settled


class Links(Protocol):
    """The waits that are not over. A job without links is never looked at."""

    async def settle_links(self, ended: Collection[str], after: str | None = None) -> Settled:
        """Do for the jobs that wait for those of ``ended`` what is to be done now that these have ended.

        A job is unblocked when nothing is left that it waits for, or ended as it wished (``links.OnFailure``). One of
        ``ended`` that waited itself waits no more; one that is a parent and waits for its children goes on, ends, or
        stays. Ids of jobs that have not ended, or that nobody waits for, are no fault. Several nodes may do it at once:
        each job is settled once.

        Args:
          ended: 1..MAX_BATCH ids.
          after: ``Settled.after`` of the call before; only jobs behind it are looked at.
        """
        ...

    async def open_links(self, limit: int, after: LinkPlace | None = None) -> LinkPage:
        """Look at up to ``limit`` (1..MAX_BATCH) waits that are not over, for those of which a job has ended already.

        A read without locks. With ``after``: those behind that place.
        """
        ...

    async def waits_of(self, waiter: str) -> list[Link]:
        """Return by which links (``links.WAITS``) a job waits for others just now, in order. A read without locks."""
        ...

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        """Store jobs that the handler of ``attempt`` submits, all or none, as children of its job.

        Those that it has submitted before, in this attempt or another, are the same jobs. If they ended without success
        and their parent has been started over since, they are started over as well.

        Args:
          attempt: as it was claimed.
          new: 1..MAX_BATCH jobs with a ``parent`` and ids that follow from it; none has a wish.
        Returns: the children as they are now, in order.
        Raises: AttemptOver, DuplicateJob, DependencyCycle, SpecRejected, StoreUnavailable.
        """
        ...

    async def children(self, parents: Collection[str], limit: int = MAX_CHILDREN) -> list[Job]:
        """Return the first ``limit`` children of ``parents`` (1..MAX_BATCH ids), by parent, in order of their birth."""
        ...
