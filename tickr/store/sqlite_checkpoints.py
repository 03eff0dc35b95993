"""Checkpoints in SQLite: part of ``SqliteStore``. There is one writer, so nothing has to be locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.jobs import FINAL, Job, State
from tickr.reports import Checkpoint
from tickr.store import changes, rows, sqlite_ended
from tickr.store.contract import STATE_CODES, Clock
from tickr.store.sqlite_file import SqliteFile

_BEGUN = f"SELECT fence, started_at FROM jobs WHERE id = ? AND state = {STATE_CODES[State.RUNNING]}"  # noqa: S608 -- static text
_KEEP = "INSERT OR REPLACE INTO checkpoints (job_id, created_at, look_at, value) VALUES (?, ?, ?, ?)"
_READ = "SELECT value FROM checkpoints WHERE job_id = ? AND created_at = ?"
_DUE = "SELECT job_id FROM checkpoints WHERE look_at <= ? ORDER BY look_at LIMIT ?"
_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
_ALIVE = f"SELECT 1 FROM jobs WHERE id = ? AND +state NOT IN ({_FINAL})"  # noqa: S608 -- static text
_FORGET = "DELETE FROM checkpoints WHERE job_id = ?"
_LOOK_LATER = "UPDATE checkpoints SET look_at = ? WHERE job_id = ?"


class SqliteCheckpoints:
    """``Checkpoints`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def keep_checkpoints(self, kept: Sequence[Checkpoint]) -> int:
        return await self._file.write(lambda db: _keep(db, kept, self._clock()))

    async def checkpoint(self, job: Job) -> str | None:
        def work(db: sqlite3.Connection) -> str | None:
            found = db.execute(_READ, (rows.id_bytes(job.id), job.created_at)).fetchone()
            return None if found is None else str(found[0])

        return await self._file.read(work)

    async def prune_checkpoints(self, limit: int) -> int:
        return await self._file.write(lambda db: _prune(db, limit, self._clock()))


def forget(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Delete what the jobs ``ids`` have kept, if they have."""
    if ids:
        db.executemany(_FORGET, [(rows.id_bytes(id_),) for id_ in ids])


def _keep(db: sqlite3.Connection, kept: Sequence[Checkpoint], now: int) -> int:
    begun = ((id_, db.execute(_BEGUN, (rows.id_bytes(id_),)).fetchone()) for id_ in {one.job.id for one in kept})
    last = changes.checkpoints(kept, {id_: found for id_, found in begun if found is not None})
    look_at = now + changes.CHECKPOINT_LOOK_US
    db.executemany(_KEEP, [(rows.id_bytes(id_), one.job.created_at, look_at, one.value) for id_, one in last.items()])
    return len(last)


def _prune(db: sqlite3.Connection, limit: int, now: int) -> int:
    sqlite_ended.prune(db, limit)
    looked_at = [key for (key,) in db.execute(_DUE, (now, limit)).fetchall()]
    alive = {key for key in looked_at if db.execute(_ALIVE, (key,)).fetchone() is not None}
    db.executemany(_FORGET, [(key,) for key in looked_at if key not in alive])
    db.executemany(_LOOK_LATER, [(now + changes.CHECKPOINT_LOOK_US, key) for key in looked_at if key in alive])
    return len(looked_at)
