"""What jobs log in SQLite: part of ``SqliteStore``. There is one writer, so nothing has to be locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.job_log import LogPart, LogPlace, PartSize, outgrown
from tickr.jobs import State
from tickr.reports import Lines
from tickr.store import changes, rows
from tickr.store.contract import STATE_CODES
from tickr.store.sqlite_file import SqliteFile

_BEGUN = f"SELECT fence, started_at FROM jobs WHERE id = ? AND state = {STATE_CODES[State.RUNNING]}"  # noqa: S608 -- static text
_KEEP = (
    "INSERT OR IGNORE INTO job_log (job_id, fence, attempt, last, count, size, marks, messages) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SIZES = "SELECT fence, last, count, size FROM job_log WHERE job_id = ?"
_FORGET = "DELETE FROM job_log WHERE job_id = ? AND fence = ? AND last = ?"
_READ = """
SELECT fence, attempt, last, count, size, marks, messages FROM job_log
WHERE job_id = ?1 AND (fence, last) > (?2, ?3) AND (?4 IS NULL OR attempt = ?4) ORDER BY fence, last LIMIT ?5
"""
RESEAL = "UPDATE job_log SET messages = ? WHERE job_id = ? AND fence = ? AND last = ?"


class SqliteJobLog:
    """``JobLog`` of the contract."""

    _file: SqliteFile

    async def keep_log(self, said: Sequence[Lines], *, bound: int) -> int:
        return await self._file.write(lambda db: _keep(db, said, bound))

    async def job_log(
        self, job_id: str, limit: int, *, after: LogPlace | None = None, attempt: int | None = None
    ) -> list[LogPart]:
        def work(db: sqlite3.Connection) -> list[LogPart]:
            found = db.execute(_READ, (rows.id_bytes(job_id), *(after or (0, 0)), attempt, limit))
            return [rows.log_part(row) for row in found]

        return await self._file.read(work)


def _keep(db: sqlite3.Connection, said: Sequence[Lines], bound: int) -> int:
    begun = ((id_, db.execute(_BEGUN, (rows.id_bytes(id_),)).fetchone()) for id_ in {one.job.id for one in said})
    kept = changes.of_running(said, {id_: found for id_, found in begun if found is not None})
    db.executemany(_KEEP, [(rows.id_bytes(one.job.id), *rows.of_log_part(one.part)) for one in kept])
    for job_id in changes.to_trim(kept):
        key = rows.id_bytes(job_id)
        sizes = [PartSize(*row) for row in db.execute(_SIZES, (key,))]
        db.executemany(_FORGET, [(key, gone.fence, gone.last) for gone in outgrown(sizes, bound)])
    return len(kept)
