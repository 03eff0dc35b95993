"""Encrypted jobs in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.jobs import State
from tickr.store import rows
from tickr.store.contract import STATE_CODES
from tickr.store.sealed import KeyUse, KeyUses, Resealed
from tickr.store.sqlite_checkpoints import SqliteCheckpoints
from tickr.store.sqlite_file import SqliteFile
from tickr.store.sqlite_job_log import RESEAL, SqliteJobLog

_USES = """
SELECT id, json_extract(extras, '$.sealed'), state, json_extract(extras, '$.signed') FROM jobs
WHERE id > ? ORDER BY id LIMIT ?
"""
_RESEAL = f"""
UPDATE jobs SET payload = ?, result = ?, error = ?, progress = ?, extras = ?
WHERE id = ? AND version = ? AND fence = ? AND +state <> {STATE_CODES[State.RUNNING]}
"""  # noqa: S608 -- static text
_RESEAL_ATTEMPT = "UPDATE attempts SET error = ? WHERE job_id = ? AND fence = ?"
_RESEAL_CHECKPOINT = "UPDATE checkpoints SET value = ? WHERE job_id = ? AND created_at = ?"


class SqliteEncrypted(SqliteCheckpoints, SqliteJobLog):
    """``Encrypted`` of the contract, and ``Checkpoints`` and ``JobLog``, as they are encrypted as well."""

    _file: SqliteFile

    async def key_uses(self, limit: int, after: str | None = None) -> KeyUses:
        def work(db: sqlite3.Connection) -> KeyUses:
            found = db.execute(_USES, (rows.id_bytes(after or ""), limit))
            uses = [KeyUse(rows.id_text(key), name, rows.state(code), rows.signed(by)) for key, name, code, by in found]
            return KeyUses(uses, uses[-1].id if len(uses) == limit else None)

        return await self._file.read_long(work)

    async def reseal(self, jobs: Sequence[Resealed]) -> int:
        return await self._file.write(lambda db: sum(_reseal(db, one) for one in jobs))


def _reseal(db: sqlite3.Connection, one: Resealed) -> int:
    written = db.execute(_RESEAL, rows.of_reseal(one.job)).rowcount
    if written:
        errors = [rows.of_attempt(one.job.id, attempt) for attempt in one.attempts]
        db.executemany(_RESEAL_ATTEMPT, [(error, key, fence) for key, fence, *_, error in errors])
        if one.checkpoint is not None:
            db.execute(_RESEAL_CHECKPOINT, (one.checkpoint, rows.id_bytes(one.job.id), one.job.created_at))
        key = rows.id_bytes(one.job.id)
        db.executemany(RESEAL, [(part.messages, key, part.fence, part.last) for part in one.log])
    return written
