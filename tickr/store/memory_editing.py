"""Jobs that somebody wants different, in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio

from tickr.edits import Edit
from tickr.events import Change
from tickr.jobs import Job
from tickr.links import Kind
from tickr.store import changes, deletions
from tickr.store.contract import Clock, Edited
from tickr.store.memory_links import LinkTable


class MemoryEditing:
    """``Editing`` of the contract."""

    _clock: Clock
    _queues: set[str]
    _links: LinkTable

    def _existing(self, job_id: str) -> Job:
        raise NotImplementedError

    def _record(self, made: Sequence[Change], now: int) -> None:
        raise NotImplementedError

    def _erase(self, job: Job) -> None:
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

    async def delete(
        self, job_id: str, *, version: int | None = None, cancel: bool = False, reason: str | None = None
    ) -> Job:
        await trio.lowlevel.checkpoint()
        now, job = self._clock(), self._existing(job_id)
        self._apply(deletions.delete(job, version, self._needed([job_id]), now, cancel=cancel, reason=reason), now)
        return job

    def _needed(self, ids: Iterable[str]) -> set[str]:
        """See ``deletions.delete``."""
        ids = [*ids]
        turns = {link.waiter for link in self._links.of(ids) if link.kind is Kind.SEQUENCE}
        return turns | {id_ for id_ in ids if self._links.waiters(id_) - {id_}}

    def _apply(self, made: Sequence[Change], now: int) -> None:
        """Record changes; what is deleted is gone."""
        self._record(made, now)
        gone = deletions.deleted(made)
        self._links.remove(self._links.of(gone))
        for job_id in gone:
            self._erase(self._existing(job_id))
