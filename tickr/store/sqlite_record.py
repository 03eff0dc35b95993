"""One commit's worth of changes into SQLite, with all that goes with them. Run inside ``SqliteFile``'s transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.events import Change
from tickr.store import (
    changes,
    rows,
    sqlite_checkpoints,
    sqlite_claims,
    sqlite_expiry,
    sqlite_feed,
    sqlite_jobs,
    sqlite_retention,
)
from tickr.store.written import written
from tickr.tallies import Tally


def record(db: sqlite3.Connection, made: Sequence[Change], now: int) -> Tally | None:
    """Write one commit's worth of changes, and what goes with them. Returns: the tally; None: there are no events."""
    new, moves = changes.inserted(made)
    sqlite_jobs.insert(db, new, now)
    sqlite_claims.move(db, moves)
    sqlite_jobs.edit(db, changes.edited(moves), now)
    return tell(db, made, now)


def tell(db: sqlite3.Connection, made: Sequence[Change], now: int) -> Tally | None:
    """Write what goes with changes: attempts that ended, a row of events. Returns: its tally; None: there is none."""
    also = written(made, now)
    if also.attempts:
        ended = [rows.of_attempt(job_id, attempt) for job_id, attempt in also.attempts]
        db.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ended)
        outdated = [(rows.id_bytes(job_id), fence) for job_id, fence in also.outdated]
        db.executemany("DELETE FROM attempts WHERE job_id = ? AND fence <= ?", outdated)
    sqlite_expiry.note(db, also.expiries, also.spent)
    sqlite_retention.note(db, also.removals, also.spared)
    sqlite_checkpoints.forget(db, also.restarted)
    if also.body is not None:
        sqlite_feed.tell(db, now, also.told, also.body, also.tally)
    return also.tally
