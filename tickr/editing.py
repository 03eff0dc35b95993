"""Changes to a job that has not ended: what of it may be different from now on, and when. Pure.

A job that waits may have all of an ``Edit`` changed. Of one that runs only the time-out can be: its handler has the
rest already. One that has ended is started over with changes instead (``jobs.redriven``). It is no move: the state
stays, but the version is raised, so that whoever looked at the job before it, or claims it at the same moment, notices.
"""

from __future__ import annotations

import msgspec

from tickr.edits import Edit
from tickr.errors import NotEditable
from tickr.jobs import FINAL, Job, State
from tickr.names import node_of_queue


def edited(job: Job, edit: Edit, now: int) -> tuple[Job, tuple[str, ...]]:
    """Return ``job`` changed by ``edit`` at ``now``, and the names of the fields that are others now.

    Where nothing is different, that is the job as it was. One that is due already stays where it is in the line when it
    is to be due now or earlier.
    Raises: NotEditable; CannotOpen: the payload is not there under the job's key.
    """
    _check(job, edit)
    given, fields = edit.given_to(job, now)
    if max(job.run_at, fields.get("run_at", job.run_at)) <= now:
        fields["run_at"] = job.run_at
    names = edit.different(job, fields, now)
    if not names:
        return job, ()
    run_at, expires_at = fields.get("run_at", job.run_at), edit.expiry(job.extras.expires_at, now)
    if expires_at is not None and expires_at <= run_at and {"run_at", "expires_at"}.intersection(names):
        raise NotEditable(job.id, f"Job {job.id} would expire before it is due; change expires_at as well.")
    extras = msgspec.structs.replace(given.extras, expires_at=expires_at)
    return msgspec.structs.replace(given, version=job.version + 1, extras=extras, **fields), names


def _check(job: Job, edit: Edit) -> None:
    if job.state in FINAL:
        told = f"Job {job.id} has ended: it is {job.state}. To run it again with changes, retry it with them."
    elif job.closing is not None:
        told = f"Job {job.id} has done its part, and ends when its children have."
    elif job.state is State.RUNNING and edit != Edit(timeout_us=edit.timeout_us):
        told = f"Job {job.id} is running: now only its timeout can be changed. Cancel it, and retry it with changes."
    else:
        return stays_on_its_node(job, edit)
    raise NotEditable(job.id, told)


def stays_on_its_node(job: Job, edit: Edit) -> None:
    """Raises: NotEditable: ``edit`` would give a job that is for one node to another."""
    if node_of_queue(job.queue) is not None and edit.queue is not None:
        told = f"Job {job.id} is of a broadcast: it is for one node, and its queue cannot be changed."
        raise NotEditable(job.id, told)
