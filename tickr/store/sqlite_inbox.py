"""The inbox in SQLite: part of ``SqliteStore``.

Other programs insert rows with SQLite itself, so a text may be no text: it is read as bytes, as is the id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from tickr.store.contract import Clock, InboxRow, RefusedRow
from tickr.store.inbox import EXCERPT, choose, in_order
from tickr.store.sqlite_file import SqliteFile

_FIRST = """
SELECT seq, CAST(id AS BLOB) FROM inbox INDEXED BY inbox_next WHERE refused_at IS NULL ORDER BY seq LIMIT ?
"""
_TAKE = "DELETE FROM inbox WHERE seq = ?"
_REFUSE = "UPDATE inbox SET refused_at = ?, reason = ? WHERE seq = ? AND refused_at IS NULL"
_REFUSED = """
SELECT seq, CAST(id AS BLOB), CAST(substr(job, 1, ?) AS BLOB), refused_at, reason FROM inbox INDEXED BY inbox_next
WHERE refused_at IS NOT NULL ORDER BY refused_at DESC, seq DESC LIMIT ?
"""
_RETRY = "UPDATE inbox SET refused_at = NULL, reason = NULL WHERE seq = ? AND refused_at IS NOT NULL"
_DROP = "DELETE FROM inbox WHERE seq = ? AND refused_at IS NOT NULL"
_PRUNE = """
DELETE FROM inbox WHERE seq IN (
  SELECT seq FROM inbox INDEXED BY inbox_next WHERE refused_at < ? ORDER BY refused_at, seq LIMIT ?
)
"""


class SqliteInbox:
    """``Inbox`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def inbox_rows(self, limit: int, *, max_bytes: int, max_row_bytes: int) -> list[InboxRow]:
        def work(db: sqlite3.Connection) -> list[InboxRow]:
            ids: dict[int, bytes] = dict(db.execute(_FIRST, (limit,)))
            choice = choose(((seq, _size(db, seq)) for seq in ids), max_bytes, max_row_bytes)
            return in_order([_row(db, seq, ids[seq]) for seq in choice.fit], choice.long)

        return await self._file.read(work)

    async def settle_inbox(self, taken: Sequence[int], refused: Mapping[int, str]) -> int:
        def work(db: sqlite3.Connection) -> int:
            now = self._clock()
            db.executemany(_REFUSE, [(now, reason, seq) for seq, reason in refused.items()])
            return db.executemany(_TAKE, [(seq,) for seq in taken]).rowcount if taken else 0

        return await self._file.write(work)

    async def inbox_refused(self, limit: int) -> list[RefusedRow]:
        def work(db: sqlite3.Connection) -> list[RefusedRow]:
            return [
                RefusedRow(seq, _shown(id_), _shown(job), at, reason or "")
                for seq, id_, job, at, reason in db.execute(_REFUSED, (EXCERPT, limit))
            ]

        return await self._file.read(work)

    async def retry_inbox(self, seq: int) -> bool:
        return await self._file.write(lambda db: db.execute(_RETRY, (seq,)).rowcount == 1)

    async def drop_inbox(self, seq: int) -> bool:
        return await self._file.write(lambda db: db.execute(_DROP, (seq,)).rowcount == 1)

    async def prune_inbox(self, before: int, limit: int) -> int:
        return await self._file.write(lambda db: db.execute(_PRUNE, (before, limit)).rowcount)


def _size(db: sqlite3.Connection, seq: int) -> int:
    """Return how long a text is, which is not read for that."""
    with db.blobopen("inbox", "job", seq, readonly=True) as job:
        return len(job)


def _row(db: sqlite3.Connection, seq: int, id_: bytes) -> InboxRow:
    with db.blobopen("inbox", "job", seq, readonly=True) as job:
        return InboxRow(seq, _shown(id_), job.read(), len(job))


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")
