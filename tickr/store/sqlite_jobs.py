"""New jobs into SQLite, and edits of jobs. Run inside ``SqliteFile``'s transactions; their caller writes the events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from tickr.edits import EDITABLE
from tickr.jobs import Job
from tickr.store import rows

_INSERT = f"INSERT INTO jobs ({', '.join(rows.COLUMNS)}) VALUES ({', '.join('?' * len(rows.COLUMNS))})"  # noqa: S608
_EDIT = f"UPDATE jobs SET {', '.join(f'{column} = ?' for column in EDITABLE)} WHERE id = ?"  # noqa: S608
_REGISTER = "INSERT OR IGNORE INTO queues (name, created_at) VALUES (?, ?)"


def insert(db: sqlite3.Connection, jobs: Sequence[Job], now: int) -> None:
    """Insert ``jobs``, and register their queues."""
    if jobs:
        register(db, {job.queue for job in jobs}, now)
        db.executemany(_INSERT, map(rows.of_job, jobs))


def register(db: sqlite3.Connection, queues: Iterable[str], now: int) -> None:
    """Have ``queues`` be among those that there are."""
    db.executemany(_REGISTER, [(queue, now) for queue in queues])


def edit(db: sqlite3.Connection, jobs: Sequence[Job], now: int) -> None:
    """Write what an edit may have changed about ``jobs``, and register their queues."""
    if jobs:
        register(db, {job.queue for job in jobs}, now)
        db.executemany(_EDIT, [(*rows.of_edit(job), rows.id_bytes(job.id)) for job in jobs])
