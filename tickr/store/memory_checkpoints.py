"""Checkpoints in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import trio

from tickr.jobs import FINAL, Job, State
from tickr.reports import Checkpoint
from tickr.store import changes
from tickr.store.contract import Clock


class _Row(NamedTuple):
    created_at: int
    look_at: int
    value: str


class MemoryCheckpoints:
    """``Checkpoints`` of the contract, on a dict by the ids of their jobs."""

    _clock: Clock
    _jobs: dict[str, Job]

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints: dict[str, _Row] = {}

    async def keep_checkpoints(self, kept: Sequence[Checkpoint]) -> int:
        await trio.lowlevel.checkpoint()
        found = (self._jobs.get(one.job.id) for one in kept)
        running = {job.id: changes.begun(job) for job in found if job is not None and job.state is State.RUNNING}
        last = changes.checkpoints(kept, running)
        look_at = self._clock() + changes.CHECKPOINT_LOOK_US
        for job_id, one in last.items():
            self._checkpoints[job_id] = _Row(one.job.created_at, look_at, one.value)
        return len(last)

    async def checkpoint(self, job: Job) -> str | None:
        await trio.lowlevel.checkpoint()
        row = self._checkpoints.get(job.id)
        return row.value if row is not None and row.created_at == job.created_at else None

    async def prune_checkpoints(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        due = ((row.look_at, job_id) for job_id, row in self._checkpoints.items() if row.look_at <= now)
        looked_at = [job_id for _, job_id in heapq.nsmallest(limit, due)]
        for job_id in looked_at:
            job = self._jobs.get(job_id)
            if job is None or job.state in FINAL:
                del self._checkpoints[job_id]
            else:
                row = self._checkpoints[job_id]
                self._checkpoints[job_id] = row._replace(look_at=now + changes.CHECKPOINT_LOOK_US)
        return len(looked_at)

    def _replace_checkpoint(self, job: Job, value: str) -> None:
        row = self._checkpoints.get(job.id)
        if row is not None and row.created_at == job.created_at:
            self._checkpoints[job.id] = row._replace(value=value)

    def _forget_checkpoints(self, ids: Iterable[str]) -> None:
        for job_id in ids:
            self._checkpoints.pop(job_id, None)
