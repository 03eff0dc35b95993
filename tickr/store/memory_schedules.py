"""Schedules in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import trio

from tickr import events
from tickr.jobs import FINAL, Job
from tickr.schedule_moves import Move
from tickr.schedules import MAX_SCHEDULES, Schedule
from tickr.store import schedule_changes
from tickr.store.contract import Clock, DuePlace, DueSchedules, MovedSchedule
from tickr.tallies import Tally


class MemorySchedules:
    """``Schedules`` of the contract, on dicts by name."""

    _clock: Clock
    _jobs: dict[str, Job]
    _queues: set[str]

    def __init__(self) -> None:
        super().__init__()
        self._schedules: dict[str, Schedule] = {}

    def _put(self, job: Job) -> None:
        raise NotImplementedError

    def _tell(self, body: str, now: int, tally: Tally | None = None) -> None:
        raise NotImplementedError

    async def schedule(self, name: str) -> Schedule | None:
        await trio.lowlevel.checkpoint()
        return self._schedules.get(name)

    async def schedules(self, limit: int, after: str | None = None) -> list[Schedule]:
        await trio.lowlevel.checkpoint()
        names = (name for name in self._schedules if after is None or name > after)
        return [self._schedules[name] for name in heapq.nsmallest(limit, names)]

    async def due_schedules(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        places = [DuePlace(one.next_at, one.name) for one in self._schedules.values() if one.next_at is not None]
        due = (place for place in places if place.next_at <= now and (after is None or place > after))
        later = min((place.next_at for place in places if place.next_at > now), default=None)
        return DueSchedules(now, [self._schedules[place.name] for place in heapq.nsmallest(limit, due)], later)

    async def move_schedules(self, moves: Sequence[Move]) -> list[MovedSchedule]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        found = {move.name: self._schedules[move.name] for move in moves if move.name in self._schedules}
        stored = [self._jobs[id_] for id_ in schedule_changes.watched(moves, found) if id_ in self._jobs]
        busy = {job.id for job in stored if job.state not in FINAL}
        full = len(self._schedules) >= MAX_SCHEDULES
        made = schedule_changes.move_schedules(moves, found, now, busy=busy, full=full)
        self._schedules.update((one.name, one) for one in [*made.new, *made.changed])
        for name in made.gone:
            del self._schedules[name]
        self._queues.update(job.queue for job in made.jobs)
        for job in made.jobs:
            self._put(job)
        if made.told:
            self._tell(events.encode(made.told), now, made.counting.tally())
        return made.answers
