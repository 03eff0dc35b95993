"""What deleting a job for good comes to, computed from what a store has read. Pure; shared by all adapters.

In comes the job, locked, and whether others need it; out go changes: its end, if it waited, and that it is gone. All of
its rows go with it. A key that it holds is free then, as nobody finds who holds it; what an Idempotency-Key has made of
a request is told as before, and never made again.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tickr import jobs
from tickr.errors import NotDeletable, VersionMismatch
from tickr.events import Change
from tickr.jobs import FINAL, Job, State
from tickr.reasons import on_request


def delete(
    job: Job, version: int | None, needed: Collection[str], now: int, *, cancel: bool, reason: str | None = None
) -> list[Change]:
    """Return the changes that end ``job``, if it waits, and delete it; the last one is ``deleted``.

    Args:
      needed: ids of jobs that are at the end of a link: others wait for them, or are parents that have not ended; and
        of those that keep the place of their sequence, as one before them has not ended.
      cancel: whether one that waits is cancelled, for ``reason``, and deleted; otherwise it is refused.
    Raises: NotDeletable, VersionMismatch.
    """
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    _check(job, needed, cancel)
    made = [] if job.state in FINAL else [Change(job, jobs.cancelled(job, on_request(reason), now))]
    last = made[-1].after if made else job
    return [*made, Change(last, msgspec.structs.replace(last, version=last.version + 1), deleted=True)]


def _check(job: Job, needed: Collection[str], cancel: bool) -> None:
    if job.state is State.RUNNING:
        told = f"Job {job.id} is running. Cancel it, and delete it when it has ended."
    elif job.state not in FINAL and job.extras.nursery is not None:
        told = f"Job {job.id} has children. Cancel it, and delete it when it has ended, as they will have."
    elif job.state not in FINAL and not cancel:
        told = f"Job {job.id} has not ended. Cancel it first, or together with deleting it."
    elif job.id in needed and job.extras.sequence is not None:
        told = f"Job {job.id} keeps its place in a sequence; it may go when those next to it there have ended."
    elif job.id in needed:
        told = f"Job {job.id} is needed still: a job waits for it, or is its parent and has not ended."
    else:
        return
    raise NotDeletable(job.id, told)


def deleted(made: Collection[Change]) -> list[str]:
    """Return the ids of the jobs that are gone after ``made``."""
    return [change.after.id for change in made if change.deleted]
