"""Jobs that expire, in SQLite: the table of when each that waits will end. Run inside ``SqliteFile``'s transactions.

Rows come and go with the moves that make a job wait or end its waiting (``written``), in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.events import Change
from tickr.jobs import Job
from tickr.store import changes, rows
from tickr.store.sqlite_reads import jobs_by_id
from tickr.store.written import Expiry

_FIRST = "SELECT expires_at, job_id FROM expiries ORDER BY expires_at, job_id LIMIT ?"
_INSERT = "INSERT OR IGNORE INTO expiries (expires_at, job_id) VALUES (?, ?)"
_DELETE = "DELETE FROM expiries WHERE expires_at = ? AND job_id = ?"


def first(db: sqlite3.Connection, limit: int) -> list[Expiry]:
    """Return the first rows, ``limit`` at most."""
    return [(at, rows.id_text(key)) for at, key in db.execute(_FIRST, (limit,))]


def note(db: sqlite3.Connection, come: Sequence[Expiry], gone: Sequence[Expiry]) -> None:
    """Write the rows that come, and delete those that go."""
    for statement, some in ((_INSERT, come), (_DELETE, gone)):
        if some:
            db.executemany(statement, [(at, rows.id_bytes(job_id)) for at, job_id in some])


def end(db: sqlite3.Connection, limit: int, now: int) -> tuple[list[Job], list[Change]]:
    """See ``Store.end_expired``. A row without a job that waits is stale, and deleted."""
    due = [one for one in first(db, limit) if one[0] <= now]
    made = changes.end_expired(jobs_by_id(db, [job_id for _, job_id in due]).values(), now)
    ended = {(change.after.extras.expires_at, change.after.id) for change in made}
    note(db, [], [one for one in due if one not in ended])
    return [change.after for change in made], made
