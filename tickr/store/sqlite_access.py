"""Tokens and the trail in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tickr.store import rows
from tickr.store.access_rows import ENTRY_COLUMNS, LAST, TOKEN_COLUMNS, scopes_of, scopes_text
from tickr.store.contract import Clock
from tickr.store.sqlite_file import SqliteFile
from tickr.store.token_changes import changed
from tickr.tokens import Change, Kept, Token
from tickr.trail import Ended, Entry

_VERSION = "SELECT version FROM tokens_version WHERE id = 1"
_RAISE_VERSION = "UPDATE tokens_version SET version = version + 1 WHERE id = 1"
_TOKENS = f"SELECT {TOKEN_COLUMNS} FROM tokens"  # noqa: S608 -- static text
_WRITE_TOKEN = f"INSERT OR REPLACE INTO tokens ({TOKEN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_DROP_TOKEN = "DELETE FROM tokens WHERE id = ?"
_USE_TOKEN = "UPDATE tokens SET used_at = ? WHERE id = ?"
_BEGIN = f"INSERT OR IGNORE INTO trail ({ENTRY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_END = "UPDATE trail SET status = ?, subject = ? WHERE id = ?"
_BEFORE = "id < ?1 ORDER BY id DESC LIMIT ?2"
_TRAIL = {
    (False, False): f"SELECT {ENTRY_COLUMNS} FROM trail WHERE {_BEFORE}",  # noqa: S608
    (True, False): f"SELECT {ENTRY_COLUMNS} FROM trail INDEXED BY trail_who WHERE who = ?3 AND {_BEFORE}",  # noqa: S608
    (False, True): f"SELECT {ENTRY_COLUMNS} FROM trail INDEXED BY trail_subject WHERE subject = ?3 AND {_BEFORE}",  # noqa: S608
    (True, True): f"SELECT {ENTRY_COLUMNS} FROM trail INDEXED BY trail_subject "  # noqa: S608
    f"WHERE who = ?3 AND subject = ?4 AND {_BEFORE}",
}
"""By whether it is asked for who, and for a subject."""
_PRUNE = "DELETE FROM trail WHERE id IN (SELECT id FROM trail WHERE at < ? ORDER BY at, id LIMIT ?)"


class SqliteAccess:
    """``Access`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def tokens(self, known: int | None = None) -> Kept | None:
        def work(db: sqlite3.Connection) -> Kept | None:
            (version,) = db.execute(_VERSION).fetchone()
            return None if version == known else Kept(version, _tokens(db.execute(_TOKENS)))

        return await self._file.read(work)

    async def change_token(self, change: Change) -> Token:
        def work(db: sqlite3.Connection) -> Token:
            token, gone = changed(change, _tokens(db.execute(_TOKENS)), self._clock())
            db.execute(_RAISE_VERSION)
            db.executemany(_DROP_TOKEN, [(one,) for one in gone])
            db.execute(_WRITE_TOKEN, token._replace(scopes=scopes_text(token.scopes)))  # type: ignore[arg-type]
            return token

        return await self._file.write(work)

    async def use_tokens(self, seen: Mapping[str, int]) -> None:
        values = [(at, token) for token, at in seen.items()]
        await self._file.write(lambda db: db.executemany(_USE_TOKEN, values))

    async def write_trail(self, begun: Sequence[Entry], ended: Sequence[Ended]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(_BEGIN, [(rows.id_bytes(entry.id), *entry[1:]) for entry in begun])
            db.executemany(_END, [(one.status, one.subject, rows.id_bytes(one.id)) for one in ended])

        await self._file.write(work)

    async def trail(
        self, limit: int, *, who: str | None = None, subject: str | None = None, before: str | None = None
    ) -> list[Entry]:
        statement = _TRAIL[who is not None, subject is not None]
        wanted = [word for word in (who, subject) if word is not None]
        values = (LAST if before is None else rows.id_bytes(before), limit, *wanted)
        return await self._file.read(lambda db: [_entry(row) for row in db.execute(statement, values)])

    async def prune_trail(self, before: int, limit: int) -> int:
        return await self._file.write(lambda db: db.execute(_PRUNE, (before, limit)).rowcount)


def _tokens(found: Iterable[Any]) -> dict[str, Token]:
    return {row[0]: Token(*row)._replace(scopes=scopes_of(row[3])) for row in found}


def _entry(row: Any) -> Entry:
    key, *rest = row
    return Entry(rows.id_text(key), *rest)
