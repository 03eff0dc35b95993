"""Encrypted jobs in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

import msgspec
import trio

from tickr.job_log import LogPart
from tickr.jobs import Attempt, Job, State
from tickr.store.memory_checkpoints import MemoryCheckpoints
from tickr.store.memory_job_log import MemoryJobLog
from tickr.store.sealed import KeyUse, KeyUses, Resealed


class MemoryEncrypted(MemoryCheckpoints, MemoryJobLog):
    """``Encrypted`` of the contract, and ``Checkpoints`` and ``JobLog``, as they are encrypted as well."""

    _jobs: dict[str, Job]
    _attempts: dict[str, deque[Attempt]]

    def _put(self, job: Job) -> None:
        raise NotImplementedError

    async def key_uses(self, limit: int, after: str | None = None) -> KeyUses:
        await trio.lowlevel.checkpoint()
        ids = heapq.nsmallest(limit, (id_ for id_ in self._jobs if after is None or id_ > after))
        jobs = [self._jobs[id_] for id_ in ids]
        found = [KeyUse(job.id, job.extras.sealed, job.state, job.extras.signed) for job in jobs]
        return KeyUses(found, ids[-1] if len(ids) == limit else None)

    async def reseal(self, jobs: Sequence[Resealed]) -> int:
        await trio.lowlevel.checkpoint()
        return sum(self._reseal(*one) for one in jobs)

    def _reseal(self, job: Job, attempts: Sequence[Attempt], checkpoint: str | None, log: Sequence[LogPart]) -> bool:
        now = self._jobs.get(job.id)
        if now is None or now.state is State.RUNNING or (now.version, now.fence) != (job.version, job.fence):
            return False
        self._put(job)
        if checkpoint is not None:
            self._replace_checkpoint(job, checkpoint)
        self._replace_log(job.id, log)
        errors = {one.fence: one.error for one in attempts}
        if kept := self._attempts.get(job.id):
            anew = [msgspec.structs.replace(one, error=errors.get(one.fence, one.error)) for one in kept]
            kept.clear()
            kept.extend(anew)
        return True
