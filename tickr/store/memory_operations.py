"""Operations, and jobs that are started over, in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice

import trio

from tickr import events
from tickr.edits import NO_EDIT, Edit
from tickr.events import Change
from tickr.filters import Filter, matcher
from tickr.jobs import Job, State
from tickr.operation_moves import Move, Step
from tickr.operations import MAX_RUNNING, Operation
from tickr.store import operation_changes
from tickr.store.answers import groups_of, most_of
from tickr.store.contract import STATE_CODES, DueOperations, MovedOperation, Tally
from tickr.store.memory_editing import MemoryEditing
from tickr.store.memory_keys import KeyTable


class MemoryOperations(MemoryEditing):
    """``Operations`` of the contract, on a dict by id."""

    _jobs: dict[str, Job]
    _by_state: dict[State, dict[str, Job]]
    _keys: KeyTable

    def __init__(self) -> None:
        super().__init__()
        self._operations: dict[str, Operation] = {}

    def _found(self, ids: Iterable[str]) -> dict[str, Job]:
        raise NotImplementedError

    def _among(self, which: Filter) -> Iterable[Job]:
        raise NotImplementedError

    def _redriven(self, made: list[Change]) -> list[Change]:
        raise NotImplementedError

    def _tell(self, body: str, now: int) -> None:
        raise NotImplementedError

    async def redrive(self, job_id: str, *, version: int | None = None, edit: Edit = NO_EDIT) -> Job:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        (change,) = self._redriven([self._keys.redrive(self._existing(job_id), version, now, edit)])
        self._queues.add(change.after.queue)
        self._record([change], now)
        return change.after

    async def _tally(self, which: Filter, most: int | None) -> Tally:
        await trio.lowlevel.checkpoint()
        now, matches = self._clock(), matcher(which)
        if which.parent is not None:
            return Tally(groups_of([job for job in self._among(which) if matches(job, now)], now), True)
        bounds = {
            State.READY if state is State.SCHEDULED else state: most or most_of(state, which)
            for state in which.states or STATE_CODES
        }
        some = [job for state, bound in bounds.items() for job in islice(self._by_state[state].values(), bound)]
        exact = all(len(self._by_state[state]) <= bound for state, bound in bounds.items())
        return Tally(groups_of((job for job in some if matches(job, now)), now), exact)

    async def operation(self, operation_id: str) -> Operation | None:
        await trio.lowlevel.checkpoint()
        return self._operations.get(operation_id)

    async def operations(self, limit: int, before: str | None = None) -> list[Operation]:
        await trio.lowlevel.checkpoint()
        ids = (id_ for id_ in self._operations if before is None or id_ < before)
        return [self._operations[id_] for id_ in heapq.nlargest(limit, ids)]

    async def due_operations(self, limit: int) -> DueOperations:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        running = [(one.due_at, one.id) for one in self._operations.values() if one.due_at is not None]
        due = heapq.nsmallest(limit, (place for place in running if place[0] <= now))
        later = min((at for at, _ in running if at > now), default=None)
        return DueOperations(now, [self._operations[id_] for _, id_ in due], later)

    async def move_operation(self, move: Move) -> MovedOperation:
        await trio.lowlevel.checkpoint()
        now, found = self._clock(), self._operations.get(move.id)
        if isinstance(move, Step):
            if found is None or not move.may(found, now):
                return MovedOperation(found, found, [])
            jobs = self._found(move.ids)
            kept = self._keys.rows(operation_changes.needed(found, jobs.values()))
            held = self._found(key.job_id for key in kept.values()).values()
            needed = self._needed(move.ids) if found.action == "delete" else ()
            moved, made, written = operation_changes.step(move, found, jobs, kept, held, now, needed)
            if found.action == "retry":
                made = self._redriven(made)
        else:
            full = sum(one.due_at is not None for one in self._operations.values()) >= MAX_RUNNING
            moved, made, written = operation_changes.moved(move, found, now, full=full), [], []
        self._keys.write(written)
        self._queues.update(change.after.queue for change in made)
        self._apply(made, now)
        self._operations[move.id] = moved.after
        if moved.told:
            self._tell(events.encode(moved.told), now)
        return MovedOperation(moved.before, moved.after, made)

    async def prune_operations(self, before: int, keep: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        ended = sorted((one.finished_at, one.id) for one in self._operations.values() if one.finished_at is not None)
        old = [id_ for n, (at, id_) in enumerate(ended) if at < before or n < len(ended) - keep]
        for id_ in old[:limit]:
            del self._operations[id_]
        return len(old[:limit])
