"""Jobs that somebody wants different, in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tickr.edits import Edit
from tickr.events import Change
from tickr.jobs import Job
from tickr.store import changes
from tickr.store.contract import Clock, Edited


class MemoryEditing:
    """``Editing`` of the contract."""

    _clock: Clock
    _queues: set[str]

    def _existing(self, job_id: str) -> Job:
        raise NotImplementedError

    def _record(self, made: Sequence[Change], now: int) -> None:
        raise NotImplementedError

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Edited:
        await trio.lowlevel.checkpoint()
        now, job = self._clock(), self._existing(job_id)
        change = changes.edit(job, version, now, edit)
        if change is None:
            return Edited(job, None, now)
        self._queues.add(change.after.queue)
        self._record([change], now)
        return Edited(change.after, change, now)
