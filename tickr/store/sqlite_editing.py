"""Jobs that somebody wants different, in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from tickr.edits import Edit
from tickr.events import Change
from tickr.jobs import Job
from tickr.store import (
    changes,
    deletions,
    sqlite_checkpoints,
    sqlite_links,
    sqlite_reads,
    sqlite_record,
    sqlite_retention,
)
from tickr.store.contract import Edited
from tickr.tallies import Tally

Answer = TypeVar("Answer")


class SqliteEditing:
    """``Editing`` of the contract."""

    async def _change(
        self,
        work: Callable[[sqlite3.Connection, int], tuple[Answer, list[Change]]],
        record: Callable[[sqlite3.Connection, Sequence[Change], int], Tally | None] | None = None,
    ) -> Answer:
        raise NotImplementedError

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Edited:
        def work(db: sqlite3.Connection, now: int) -> tuple[Edited, list[Change]]:
            job = sqlite_reads.existing(db, job_id)
            change = changes.edit(job, version, now, edit)
            return (Edited(job, None, now), []) if change is None else (Edited(change.after, change, now), [change])

        return await self._change(work)

    async def delete(
        self, job_id: str, *, version: int | None = None, cancel: bool = False, reason: str | None = None
    ) -> Job:
        def work(db: sqlite3.Connection, now: int) -> tuple[Job, list[Change]]:
            job = sqlite_reads.existing(db, job_id)
            needed = sqlite_links.needed(db, [job_id])
            return job, deletions.delete(job, version, needed, now, cancel=cancel, reason=reason)

        return await self._change(work, write)


def write(db: sqlite3.Connection, made: Sequence[Change], now: int) -> Tally | None:
    """Record changes; what is deleted is gone. Returns: the tally; None: there are no events."""
    gone = deletions.deleted(made)
    if not gone:
        return sqlite_record.record(db, made, now)
    sqlite_retention.erase(db, gone)
    sqlite_checkpoints.forget(db, gone)
    return sqlite_record.tell(db, made, now)
