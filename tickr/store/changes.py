"""What a store method changes, computed from the records it has read. Pure; shared by all adapters.

In come jobs as they are stored (locked, or in a transaction that is checked by ``version`` and ``fence`` when it
writes) and the store's ``now``; out go ``Change``s. ``tickr/jobs.py`` says what a move does to a job, this says which
moves a method makes. An adapter then writes what ``written`` makes of them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tickr import events, jobs
from tickr.errors import DuplicateJob, IllegalTransition, VersionMismatch
from tickr.events import Change
from tickr.jobs import WAITING, Attempt, Failure, Job, NewJob, Note, Outcome, Progress, State
from tickr.store.contract import Start

LEASE_LOST = Failure("lease_lost", "The node that ran it was lost.")


def insert(
    new: Sequence[NewJob], stored: Mapping[str, Job], now: int, *, whole: bool = False, start: Start | None = None
) -> tuple[list[tuple[Job, bool]], list[Change]]:
    """Return the answers in order, and for each job that is really new a change, or two where it starts at once.

    Args:
      stored: those of the new ids that exist already.
      start: see ``Store.insert``; its node has a row.
    Raises: DuplicateJob: ``whole``, and one of the ids belongs to a job with another content.
    """
    known, answers, changes = dict(stored), [], []
    for one in new:
        job, is_new = known.get(one.id), False
        if job is None:
            job, is_new = jobs.created(one, now), True
            changes.append(Change(None, job))
            if start is not None and job.id in start.ids and job.run_at <= now:
                changes.append(Change(job, jobs.started(job, start.node, now)))
            job = known[job.id] = changes[-1].after
        elif whole and not same_content(job, one):
            raise DuplicateJob(one.id)
        answers.append((job, is_new))
    return answers, changes


def inserted(changes: Iterable[Change]) -> tuple[list[Job], list[Change]]:
    """Return the jobs that one commit with ``changes`` adds, as they are in the end, and the moves of all others."""
    added: dict[str, Job] = {}
    moves: list[Change] = []
    for change in changes:
        if change.before is None or change.after.id in added:
            added[change.after.id] = change.after
        else:
            moves.append(change)
    return [*added.values()], moves


def same_content(job: Job, new: NewJob) -> bool:
    """Whether ``new`` is ``job`` submitted again.

    Instants do not count: a client that repeats a submission with "delay" means the same job.
    """
    return (
        job.type == new.type
        and job.queue == new.queue
        and job.priority == new.priority
        and job.payload == new.payload
        and job.max_attempts == new.max_attempts
        and job.timeout_us == new.timeout_us
        and job.backoff == new.backoff
        and job.labels == new.labels
    )


def claim(
    found: Iterable[Job], *, node: str, types: Collection[str], now: int, suspects: int | None = None
) -> list[Change]:
    """Start those of ``found`` that may be started, in the order in which they should run; see ``Store.claim``."""
    able = [job for job in found if job.state in WAITING and job.run_at <= now and job.type in types]
    able.sort(key=lambda job: (job.priority, job.run_at, job.id))
    if suspects is not None:
        too_many = {job.id for job in [job for job in able if job.suspect][suspects:]}
        able = [job for job in able if job.id not in too_many]
    return [Change(job, jobs.started(job, node, now)) for job in able]


def finish(outcomes: Sequence[Outcome], stored: Mapping[str, Job], now: int) -> list[Change | None]:
    """Return the change of each outcome, in order; None where that attempt is over already."""
    changes: list[Change | None] = []
    for outcome in outcomes:
        job = stored.get(outcome.job.id)
        if job is None or job.state is not State.RUNNING or job.fence != outcome.job.fence:
            changes.append(None)
        else:
            after = outcome.apply(job, now)
            changes.append(Change(job, after, outcome.failure if after.state is State.READY else None))
    return changes


def cancel(job: Job, version: int | None, now: int) -> Change | None:
    """Return the change that a wish to cancel makes, or None when there is nothing to do.

    A request to a running job is a change without a move: same state, same version, no event.
    Raises: IllegalTransition, VersionMismatch.
    """
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    if job.state is State.CANCELLED or job.cancel_requested:
        return None
    if job.state is State.RUNNING:
        return Change(job, msgspec.structs.replace(job, cancel_requested=True))
    if job.state in (State.SUCCEEDED, State.FAILED):
        raise IllegalTransition(job.id, job.state, "cancelled")
    return Change(job, jobs.cancelled(job, jobs.CANCELLED_ON_REQUEST, now))


def redrive(job: Job, version: int | None, now: int) -> Change:
    """Raises: IllegalTransition, VersionMismatch."""
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    return Change(job, jobs.redriven(job, now))


def reap(lost: Iterable[Job], now: int) -> list[Change]:
    """Take back jobs whose node has no live row."""
    return [Change(job, after, _lost(after)) for job in lost for after in (jobs.crashed(job, now),)]


def _lost(after: Job) -> Failure | None:
    return LEASE_LOST if after.state is State.READY else None


def kept(notes: Iterable[Note], running: Mapping[str, int]) -> list[Note]:
    """Return those of ``notes`` whose attempt still runs. ``running``: the fence of each running job, by id."""
    return [note for note in notes if running.get(note.job.id) == note.job.fence]


def progress(notes: Iterable[Note]) -> dict[str, Progress]:
    """Return what the jobs of ``notes`` show after them, by id: the last of each; a line of a log shows nothing."""
    return {note.job.id: note.progress for note in notes if note.progress is not None}


class Written(NamedTuple):
    """What goes into the tables besides the jobs: attempt rows, and one row of events, ``told`` of them in ``body``.

    ``body`` is None when nothing moved: then there is no row.
    """

    attempts: list[tuple[str, Attempt]]
    told: int
    body: str | None


def written(changes: Iterable[Change], now: int) -> Written:
    """Return the rows that one commit with ``changes`` adds."""
    attempts, told = [], []
    for change in changes:
        before, after = change.before, change.after
        if before is not None and before.version == after.version:
            continue
        told.append(change.event(now))
        if (attempt := change.attempt(now)) is not None:
            attempts.append((after.id, attempt))
    return Written(attempts, len(told), events.encode(told) if told else None)
