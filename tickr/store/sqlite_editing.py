"""Jobs that somebody wants different, in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from tickr.edits import Edit
from tickr.events import Change
from tickr.store import changes, sqlite_reads
from tickr.store.contract import Edited

Answer = TypeVar("Answer")


class SqliteEditing:
    """``Editing`` of the contract."""

    async def _change(
        self,
        work: Callable[[sqlite3.Connection, int], tuple[Answer, list[Change]]],
        record: Callable[[sqlite3.Connection, Sequence[Change], int], bool] | None = None,
    ) -> Answer:
        raise NotImplementedError

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Edited:
        def work(db: sqlite3.Connection, now: int) -> tuple[Edited, list[Change]]:
            job = sqlite_reads.existing(db, job_id)
            change = changes.edit(job, version, now, edit)
            return (Edited(job, None, now), []) if change is None else (Edited(change.after, change, now), [change])

        return await self._change(work)
