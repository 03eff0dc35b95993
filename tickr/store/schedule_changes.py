"""What moves of schedules change, computed from the records that a store has read. Pure; shared by all adapters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tickr import jobs, schedule_moves
from tickr.events import AnyEvent, Change
from tickr.jobs import Job
from tickr.schedule_moves import Move, Put, Seen
from tickr.schedules import Schedule
from tickr.store.contract import MovedSchedule
from tickr.tallies import Counting


class ScheduleChanges(NamedTuple):
    """What one commit with moves of schedules writes.

    Attributes:
      answers: for each move, in order.
      new, changed, gone: schedules to insert, to write over, and the names of those to delete.
      jobs: to insert.
      told: the events of all of them.
      counting: counts the jobs.
    """

    answers: list[MovedSchedule]
    new: list[Schedule]
    changed: list[Schedule]
    gone: list[str]
    jobs: list[Job]
    told: list[AnyEvent]
    counting: Counting


def watched(moves: Iterable[Move], found: Mapping[str, Schedule]) -> list[str]:
    """Return the ids of the jobs that ``moves`` hang on: those of them that are not final are ``busy``."""
    ids = (schedule_moves.watched(move, found.get(move.name)) for move in moves)
    return [id_ for id_ in ids if id_ is not None]


def may_add(moves: Iterable[Move], found: Mapping[str, Schedule]) -> bool:
    """Whether one of ``moves`` would add a schedule: then it has to be known whether there are too many."""
    return any(isinstance(move, Put) and move.name not in found for move in moves)


def move_schedules(
    moves: Sequence[Move], found: Mapping[str, Schedule], now: int, *, busy: Collection[str], full: bool
) -> ScheduleChanges:
    """Do ``moves`` to the schedules ``found``. Raises: what they raise."""
    made = ScheduleChanges([], [], [], [], [], [], Counting(now))
    for move in moves:
        seen = Seen(found.get(move.name), now, schedule_moves.watched(move, found.get(move.name)) in busy, full)
        before, after, new_jobs, told = move.apply(seen)
        created = [Change(None, jobs.created(new, now)) for new in new_jobs]
        made.answers.append(MovedSchedule(before, after, [change.after for change in created]))
        made.jobs.extend(change.after for change in created)
        told_of_jobs = [change.event(now) for change in created]
        for event in told_of_jobs:
            made.counting.add(event, None)
        made.told.extend([*told_of_jobs, *told])
        if after is None:
            made.gone.extend([move.name] if before else [])
        elif before is None:
            made.new.append(after)
        elif after != before:
            made.changed.append(after)
    return made
