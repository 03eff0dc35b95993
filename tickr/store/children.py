"""What comes of the jobs that a handler submits, computed from what a store has read. Pure; shared by all adapters.

In come the attempt that submits them, its job as it is stored and locked, with its links, and those of the children
that are stored already; out go changes, links and places. A child that is submitted again, as a handler does that is
run again, is the same job. When its parent has been started over since, it is as well, unless it has succeeded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tickr.errors import AttemptOver, SpecRejected
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.links import MAX_CHILDREN, MAX_GENERATIONS, Kind, Link, Nursery
from tickr.store import changes, keys, links
from tickr.store.sequences import Sequences


class Place(NamedTuple):
    """Which child of a job is the how many-th, from 0."""

    parent: str
    place: int
    child: str


class Spawned(NamedTuple):
    """What one commit does for new children.

    Attributes:
      answers: the children in order, as they are now.
      changes: of them, and the first time of their parent, which has a nursery from then on.
      links: to be written.
      places: of those that are new.
    """

    answers: list[Job]
    changes: list[Change]
    links: list[Link]
    places: list[Place]


def needed(parent: str, new: Iterable[NewJob]) -> set[str]:
    """Return the ids of all jobs that ``spawn`` has to know of."""
    new = list(new)
    return {parent} | {one.id for one in new} | links.needed(new)


def spawn(
    attempt: Job, new: Sequence[NewJob], stored: Mapping[str, Job], held: Collection[Link], born: int, now: int
) -> Spawned:
    """Return what comes of ``new``, which the handler of ``attempt`` submits.

    Args:
      attempt: the job as it was claimed.
      stored: those of ``needed(attempt.id, new)`` that there are; the parent is locked.
      held: the links of the parent to its children.
      born: how many children it has.
    Raises: AttemptOver, DuplicateJob, DependencyCycle, SpecRejected: nothing is stored.
    """
    parent = stored.get(attempt.id)
    if parent is None or parent.state is not State.RUNNING or changes.begun(parent) != changes.begun(attempt):
        raise AttemptOver(attempt.id, f"The attempt of job {attempt.id} that submits this is over.")
    if parent.cancel_requested:
        raise AttemptOver(attempt.id, f"Job {attempt.id} is to stop, and has no more children.")
    _check(parent, new, stored, born)
    admitted = keys.insert([_as_stored(one, stored.get(one.id)) for one in new], stored, {}, now, whole=True)
    made = Spawned([], list(admitted.changes), list(admitted.links), [])
    linked = {link.on for link in held}
    for job, created in admitted.answers:
        child = job
        if created:
            made.places.append(Place(parent.id, born + len(made.places), job.id))
        elif job.id not in linked and job.state in FINAL and job.state is not State.SUCCEEDED:
            child = _started_over(job, stored, now, made)
        made.answers.append(child)
        if job.id not in linked:
            linked.add(job.id)
            made.links.append(Link(job.id, parent.id, links.child_kind(child.state if child.state in FINAL else None)))
    if parent.extras.nursery is None:
        extras = msgspec.structs.replace(parent.extras, nursery=Nursery())
        made.changes.append(Change(parent, msgspec.structs.replace(parent, extras=extras)))
        made.links.append(Link(parent.id, parent.id, Kind.NURSERY))
    return made


def _as_stored(new: NewJob, job: Job | None) -> NewJob:
    """Return ``new`` with all of the child ``job`` that is not for a handler to say twice in the same words.

    It is the same child while type, payload and dependencies are. The rest may have been changed by somebody while the
    child waited or as it was started over, or by other defaults of its type; so may the payload by the former.
    """
    if job is None or job.extras.parent != new.extras.parent or job.type != new.type:
        return new
    is_mended = job.extras.mended or any("payload" in redrive.changed for redrive in job.extras.redrives)
    extras = msgspec.structs.replace(new.extras, unique=job.extras.unique, max_crashes=job.extras.max_crashes)
    return msgspec.structs.replace(
        new,
        **{name: getattr(job, name) for name in (*_OF_THE_CHILD, *(("payload",) if is_mended else ()))},
        extras=extras,
    )


_OF_THE_CHILD = ("queue", "priority", "max_attempts", "timeout_us", "backoff", "labels", "limit_key")


def _check(parent: Job, new: Iterable[NewJob], stored: Mapping[str, Job], born: int) -> None:
    new = list(new)
    if born + sum(one.id not in stored for one in new) > MAX_CHILDREN:
        raise SpecRejected("", f"A job may have {MAX_CHILDREN} children; let some of them have children themselves.")
    if max((one.extras.generation for one in new), default=0) > MAX_GENERATIONS:
        raise SpecRejected("", f"A family has {MAX_GENERATIONS} generations at most below its first job.")
    siblings = {one.id for one in new} | {job.id for job in stored.values() if job.extras.parent == parent.id}
    if others := links.needed(new) - siblings:
        problem = f"A child can only wait for other children of its parent, and {min(others)} is none."
        raise SpecRejected("/depends_on", problem)


def _started_over(job: Job, stored: Mapping[str, Job], now: int, made: Spawned) -> Job:
    """Start ``job`` over, which failed in its parent's former life; return it as it is then."""
    states = {id_: stored[id_].state for id_ in links.awaits(job) if id_ in stored}
    (change,), opened = links.redrive([changes.redrive(job, None, now)], states, Sequences({}, {}, (), now))
    made.changes.append(change)
    made.links.extend(opened)
    return change.after
