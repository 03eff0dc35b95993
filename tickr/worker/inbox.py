"""Inbox: claimed jobs on their way to the worker tasks that are free.

A memory channel would wake a task for each job. To wake one costs more than to run a short job, and a task that is
awake runs the next job as well; so only a few are woken, and each of those, when it finds more than one job, wakes two
others. Handlers that wait are all started within some turns of the loop; handlers that do not, by the tasks awake.

State: written here only, in trio's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import trio

from tickr.worker.attempt import RunningJob

WOKEN = 2
"""How many tasks are woken for jobs that have come, and by each woken task that leaves some: they double each turn."""


class Inbox:
    """A line of jobs with any number of takers. Bounded by whoever puts in: see ``Pool.room``."""

    def __init__(self) -> None:
        self._waiting: deque[RunningJob] = deque()
        self._takers = trio.lowlevel.ParkingLot()
        self.closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, jobs: Iterable[RunningJob]) -> None:
        """Put ``jobs`` in, in their order."""
        self._waiting.extend(jobs)
        self._takers.unpark(count=WOKEN)

    def take_nowait(self) -> RunningJob | None:
        """Return the first job, or None. For a taker that is awake."""
        return self._waiting.popleft() if self._waiting else None

    async def take(self) -> RunningJob | None:
        """Wait for a job and return it; None when there will be no more.

        Cancellation: nothing was taken.
        """
        while not self._waiting:
            if self.closed:
                return None
            await self._takers.park()
        taken = self._waiting.popleft()
        if self._waiting:
            self._takers.unpark(count=WOKEN)
        return taken

    def take_older(self, than: float) -> list[RunningJob]:
        """Take out what was put in before ``than``, trio's time in seconds."""
        taken = []
        while self._waiting and self._waiting[0].began_at < than:
            taken.append(self._waiting.popleft())
        return taken

    def close(self) -> None:
        """Put nothing in any more; takers get what is there, and then None."""
        self.closed = True
        self._takers.unpark_all()
