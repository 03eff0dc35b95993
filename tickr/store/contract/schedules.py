"""What is asked of a store about schedules: they are looked at, moved, and found when a tick of theirs is due.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickr.schedule_moves import Move
from tickr.schedules import Schedule
from tickr.store.answers import DuePlace, DueSchedules, MovedSchedule


class Schedules(Protocol):
    """Schedules, by name, and by what is due next."""

    async def schedule(self, name: str) -> Schedule | None: ...

    async def schedules(self, limit: int, after: str | None = None) -> list[Schedule]:
        """Return up to ``limit`` (1..MAX_BATCH) schedules by name, those after the name ``after`` if it is given."""
        ...

    async def due_schedules(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        """Return up to ``limit`` (1..MAX_BATCH) schedules whose next tick is due, by ``(next_at, name)``.

        Args:
          after: where the page before ended; only what follows it comes.
        """
        ...

    async def move_schedules(self, moves: Sequence[Move]) -> list[MovedSchedule]:
        """Do to schedules what ``moves`` make of them, with their new jobs and all events, in one transaction.

        Args:
          moves: 1..MAX_BATCH, each of another schedule; together they make at most MAX_BATCH jobs.
        Returns: for each, in order, the schedule before and after it, and the jobs it made. The same on both sides, and
          no jobs, where there was nothing to do, as for a ``Fire`` that somebody else was ahead of.
        Raises: what the moves raise, and then nothing is changed. Only a ``Fire`` raises nothing.
        Cancellation: see the module. Asked again, a ``Fire`` that stands does nothing, and a ``Run`` makes no second
          job of the same id.
        """
        ...
