"""The keys in SQLite: rows of ``unique_keys``. Run inside ``SqliteFile``'s transactions.

There is one writer, so nothing has to be locked. What the rows mean is decided in ``keys.py``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence

from tickr.edits import Edit
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob
from tickr.keys import Unique
from tickr.store import keys, links, rows, sequences, sqlite_links, sqlite_reads
from tickr.store.answers import Start
from tickr.store.contract import STATE_CODES
from tickr.store.keys import Admitted, Key
from tickr.store.sqlite_reads import BY_IDS

_COLUMNS = "name, job_id, created_at, expires_at, digest, made"
_BY_NAMES = f"SELECT {_COLUMNS} FROM unique_keys WHERE name IN (SELECT value FROM json_each(?))"  # noqa: S608
_WRITE = f"INSERT OR REPLACE INTO unique_keys ({_COLUMNS}, look_at) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_DUE = f"SELECT {_COLUMNS} FROM unique_keys WHERE look_at <= ? ORDER BY look_at LIMIT ?"  # noqa: S608
_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
_ALIVE = (
    f"SELECT id FROM jobs WHERE {BY_IDS.partition('WHERE ')[2]} "  # noqa: S608
    f"AND (+state NOT IN ({_FINAL}) OR EXISTS (SELECT 1 FROM links WHERE waiter = id))"
)


def read(db: sqlite3.Connection, names: Collection[str]) -> dict[str, Key]:
    """Return the rows of ``names`` that there are, by name."""
    found = map(_key, db.execute(_BY_NAMES, (json.dumps(list(names)),)))
    return {key.name: key for key in found}


def write(db: sqlite3.Connection, written: Iterable[Key]) -> None:
    db.executemany(
        _WRITE,
        [
            (key.name, rows.id_bytes(key.job_id), key.created_at, key.expires_at, key.digest, key.made, key.look_at)
            for key in written
        ],
    )


def admit(db: sqlite3.Connection, new: Sequence[NewJob], now: int, *, whole: bool, start: Start | None) -> Admitted:
    """See ``Store.insert``. Writes the keys and the links."""
    kept = read(db, keys.names(new))
    ids = {one.id for one in new} | {key.job_id for key in kept.values()} | links.needed(new)
    stored = sqlite_reads.jobs_by_id(db, ids)
    waits = sqlite_links.of(db, sequences.last_of(kept))
    admitted = keys.insert(new, stored, kept, now, whole=whole, start=start, waits=waits)
    write(db, admitted.keys)
    sqlite_links.put(db, admitted.links)
    sqlite_links.remove(db, admitted.gone)
    return admitted


def redrive(db: sqlite3.Connection, job: Job, version: int | None, now: int, edit: Edit) -> Change:
    """See ``Store.redrive``. Writes the key of ``job`` and its links, and returns what is to be changed."""
    unique = keys.needs_key(job)
    row, stored = (None, {}) if unique is None else _with_job(db, unique)
    change, key = keys.redrive(job, version, row, stored, now, edit)
    (change,), turns = sqlite_links.redrive(db, [change], read(db, keys.wanted_again(job)), now)
    write(db, turns if key is None else [key, *turns])
    return change


def holder(db: sqlite3.Connection, unique: Unique, now: int) -> Job | None:
    """See ``Store.holder``."""
    key, stored = _with_job(db, unique)
    return keys.holder(unique, key, stored, now)


def _with_job(db: sqlite3.Connection, unique: Unique) -> tuple[Key | None, dict[str, Job]]:
    """Return the row of ``unique``'s key, if there is one, and its job by id, if that is stored."""
    key = read(db, [unique.name]).get(unique.name)
    return key, {} if key is None else sqlite_reads.jobs_by_id(db, [key.job_id])


def prune(db: sqlite3.Connection, limit: int, now: int) -> int:
    """See ``Store.prune_keys``."""
    looked_at = [_key(row) for row in db.execute(_DUE, (now, limit))]
    ids = [rows.id_bytes(key.job_id) for key in looked_at if key.expires_at is None]
    alive = {rows.id_text(key) for (key,) in db.execute(_ALIVE, (len(ids), b"".join(ids)))} if ids else set()
    gone, later = keys.sweep(looked_at, alive, now)
    db.executemany("DELETE FROM unique_keys WHERE name = ?", [(name,) for name in gone])
    db.executemany("UPDATE unique_keys SET look_at = ? WHERE name = ?", [(at, name) for name, at in later])
    return len(looked_at)


def _key(row: tuple[str, bytes, int, int | None, bytes | None, int]) -> Key:
    name, job_id, created_at, expires_at, digest, made = row
    return Key(name, rows.id_text(job_id), created_at, expires_at, digest, bool(made))
