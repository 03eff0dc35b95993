"""What a step of an operation does to jobs, computed from what a store has read. Pure; shared by all adapters.

In come the operation, the jobs of the step, locked, and the rows of the keys that they need again; out go changes,
keys and the operation as it is afterwards. Each job is looked at once more: what is not any more as the operation means
it is skipped, as is one whose unique key another job holds, or that is encrypted with a key that the operation does not
have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tickr.errors import CannotOpen, JobError
from tickr.events import Change
from tickr.jobs import Job
from tickr.operation_moves import Begin, Move, Moved, Step
from tickr.operations import Operation
from tickr.store import changes, keys
from tickr.store.keys import Key


class Stepped(NamedTuple):
    """What one commit writes: the operation, the changes of jobs, the rows of keys."""

    moved: Moved
    changes: list[Change]
    keys: list[Key]


def step(
    move: Step, operation: Operation, found: Mapping[str, Job], kept: Mapping[str, Key], held: Iterable[Job], now: int
) -> Stepped:
    """Return what ``move`` does, whose turn it is.

    Args:
      found: the jobs of the step that are stored.
      kept: the rows of the keys that they need again (``needed``), by name. held: the jobs of these rows.
    """
    keeping, stored = dict(kept), {job.id: job for job in held} | dict(found)
    made: list[Change] = []
    written: dict[str, Key] = {}
    for job_id in move.ids:
        job = found.get(job_id)
        if job is None or not operation.takes(job, now):
            continue
        try:
            change, key = _change(operation, job, keeping, stored, now)
        except (JobError, CannotOpen):
            continue
        if change is not None:
            made.append(change)
            stored[job_id] = change.after
        if key is not None:
            keeping[key.name] = written[key.name] = key
    moved = move.apply(operation, now, len(made), len(move.ids) - len(made))
    return Stepped(moved, made, list(written.values()))


def _change(
    operation: Operation, job: Job, kept: Mapping[str, Key], stored: Mapping[str, Job], now: int
) -> tuple[Change | None, Key | None]:
    if operation.action == "cancel":
        return changes.cancel(job, None, now, operation.why), None
    if operation.action == "edit":
        return changes.edit(job, None, now, operation.edit), None
    unique = keys.needs_key(job)
    key = kept.get(unique.name) if unique else None
    return keys.redrive(job, None, key, stored, now, operation.edit, operation.id)


def needed(operation: Operation, jobs: Iterable[Job]) -> list[str]:
    """Return the names of the keys that ``jobs`` have to have again, sorted: the order in which rows are locked."""
    if operation.action != "retry":
        return []
    return sorted({unique.name for job in jobs if (unique := keys.needs_key(job)) is not None})


def moved(move: Move, found: Operation | None, now: int, *, full: bool) -> Moved:
    """Return what a move that concerns no jobs does. Raises: what it raises."""
    assert not isinstance(move, Step)
    return move.apply(found, now, full=full) if isinstance(move, Begin) else move.apply(found, now)
