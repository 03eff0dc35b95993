"""Deleting jobs that have ended from this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

import trio

from tickr.jobs import Job, State
from tickr.store.contract import STATE_CODES, Clock, Edge, Pruned, Removed, ScanPosition
from tickr.store.memory_links import MemoryLinks
from tickr.store.written import Removal, Written


class MemoryRetention(MemoryLinks):
    """``Retention`` of the contract. ``_removals``: when which jobs go that have an age of their own."""

    _clock: Clock
    _by_state: dict[State, dict[str, Job]]

    def __init__(self) -> None:
        super().__init__()
        self._removals: set[Removal] = set()

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        await trio.lowlevel.checkpoint()
        return self._prune(state, limit, position, lambda job: (job.finished_at or 0) < before)

    async def last_beyond(self, state: State, count: int) -> Edge | None:
        await trio.lowlevel.checkpoint()
        newest = heapq.nlargest(count + 1, (Edge(job.run_at, job.id) for job in self._by_state[state].values()))
        return newest[count] if len(newest) > count else None

    async def prune_beyond(self, state: State, edge: Edge, limit: int, position: ScanPosition | None = None) -> Pruned:
        await trio.lowlevel.checkpoint()
        return self._prune(state, limit, position, lambda job: Edge(job.run_at, job.id) <= edge)

    def _prune(
        self, state: State, limit: int, position: ScanPosition | None, too_many: Callable[[Job], bool]
    ) -> Pruned:
        ahead = (
            job for job in self._by_state[state].values() if position is None or scan_place(job) > sortable(position)
        )
        page = heapq.nsmallest(limit, ahead, key=scan_place)
        deleted = self._delete(job for job in page if job.extras.keep_us is None and too_many(job))
        return Pruned(deleted, None if len(page) < limit else scan_position(page[-1]))

    async def remove_due(self, limit: int, place: Removal | None = None) -> Removed:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        due = (one for one in self._removals if one[0] <= now and (place is None or one > place))
        page = heapq.nsmallest(limit, due)
        deleted = self._delete([self._jobs[job_id] for _, job_id in page if job_id in self._jobs])
        self._removals -= {one for one in page if one[1] not in self._jobs}
        return Removed(deleted, None if len(page) < limit else page[-1])

    def _delete(self, ended: Iterable[Job]) -> int:
        """Delete those of ``ended`` of which nobody has yet to hear. Returns how many."""
        gone = [job for job in ended if not self._links.holds(job.id)]
        for job in gone:
            self._erase(job)
        return len(gone)

    def _erase(self, job: Job) -> None:
        raise NotImplementedError

    def _note_removals(self, also: Written) -> None:
        self._removals.update(also.removals)
        self._removals.difference_update(also.spared)


def scan_place(job: Job) -> tuple[int, str, int, int, str]:
    return STATE_CODES[job.state], job.queue, job.priority, job.run_at, job.id


def scan_position(job: Job) -> ScanPosition:
    return ScanPosition(job.state, job.queue, job.priority, job.run_at, job.id)


def sortable(position: ScanPosition) -> tuple[int, str, int, int, str]:
    return STATE_CODES[position.state], *position[1:]
