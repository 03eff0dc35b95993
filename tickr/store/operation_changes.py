"""What a step of an operation does to jobs, computed from what a store has read. Pure; shared by all adapters.

In come the operation, the jobs of the step, locked, and the rows of the keys that they need again; out go changes,
keys and the operation as it is afterwards. Each job is looked at once more: what is not any more as the operation means
it is skipped, as is one whose unique key another job holds, or that is encrypted with a key that the operation does not
have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tickr.errors import CannotOpen, JobError
from tickr.events import Change
from tickr.jobs import Job
from tickr.operation_moves import Begin, Move, Moved, Step
from tickr.operations import Operation
from tickr.store import changes, deletions, keys
from tickr.store.keys import Key


class Stepped(NamedTuple):
    """What one commit writes: the operation, the changes of jobs, the rows of keys."""

    moved: Moved
    changes: list[Change]
    keys: list[Key]


def step(
    move: Step,
    operation: Operation,
    found: Mapping[str, Job],
    kept: Mapping[str, Key],
    held: Iterable[Job],
    now: int,
    linked: Collection[str] = (),
) -> Stepped:
    """Return what ``move`` does, whose turn it is.

    Args:
      found: the jobs of the step that are stored.
      kept: the rows of the keys that they need again (``needed``), by name. held: the jobs of these rows.
      linked: ids of those that other jobs have a link to; only asked for where jobs are deleted.
    """
    keeping, stored = dict(kept), {job.id: job for job in held} | dict(found)
    made: list[Change] = []
    done = 0
    written: dict[str, Key] = {}
    for job_id in move.ids:
        job = found.get(job_id)
        if job is None or not operation.takes(job, now):
            continue
        try:
            some, key = _changes(operation, job, keeping, stored, now, linked)
        except (JobError, CannotOpen):
            continue
        if some:
            done += 1
            made += some
            stored[job_id] = some[-1].after
        if key is not None:
            keeping[key.name] = written[key.name] = key
    moved = move.apply(operation, now, done, len(move.ids) - done)
    return Stepped(moved, made, list(written.values()))


def _changes(
    operation: Operation,
    job: Job,
    kept: Mapping[str, Key],
    stored: Mapping[str, Job],
    now: int,
    linked: Collection[str],
) -> tuple[list[Change], Key | None]:
    """Return what is done to one job. Raises: JobError, CannotOpen: nothing is."""
    if operation.action == "delete":
        return deletions.delete(job, None, linked, now, cancel=True, reason=operation.why), None
    if operation.action == "cancel":
        change = changes.cancel(job, None, now, operation.why)
        return [change] if change else [], None
    if operation.action == "edit":
        change = changes.edit(job, None, now, operation.edit)
        return [change] if change else [], None
    unique = keys.needs_key(job)
    key = kept.get(unique.name) if unique else None
    change, taken = keys.redrive(job, None, key, stored, now, operation.edit, operation.id)
    return [change], taken


def needed(operation: Operation, jobs: Iterable[Job]) -> list[str]:
    """Return the names of the keys that ``jobs`` have to have again, sorted: the order in which rows are locked."""
    if operation.action != "retry":
        return []
    return sorted({name for job in jobs for name in keys.wanted_again(job)})


def moved(move: Move, found: Operation | None, now: int, *, full: bool) -> Moved:
    """Return what a move that concerns no jobs does. Raises: what it raises."""
    assert not isinstance(move, Step)
    return move.apply(found, now, full=full) if isinstance(move, Begin) else move.apply(found, now)
