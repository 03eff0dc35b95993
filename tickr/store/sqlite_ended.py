"""Ends that handlers have written, in SQLite. There is one writer, so nothing has to be locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tickr.jobs import Job
from tickr.store import ended, rows
from tickr.store.ended import Ended

_FIND = "SELECT fence, running_since, result FROM ended WHERE job_id = ?"
_FORGET = "DELETE FROM ended WHERE job_id = ?"
_PRUNE = (
    "DELETE FROM ended WHERE rowid IN (SELECT e.rowid FROM ended AS e WHERE NOT EXISTS "
    "(SELECT 1 FROM jobs AS j WHERE j.id = e.job_id AND j.fence = e.fence AND +j.state = 4) LIMIT ?)"
)


def take(db: sqlite3.Connection, jobs: Sequence[Job]) -> dict[str, Ended]:
    """Return what the attempts that ``jobs`` run have written as their ends, and delete it."""
    keys = [(job.id, rows.id_bytes(job.id)) for job in jobs]
    found = [(id_, Ended(*row)) for id_, key in keys for row in db.execute(_FIND, (key,)).fetchall()]
    if found:
        db.executemany(_FORGET, [(rows.id_bytes(id_),) for id_, _ in found])
    return ended.of_jobs(found, jobs)


def prune(db: sqlite3.Connection, limit: int) -> None:
    """Delete rows of attempts that are over: fences only rise, so they never count again."""
    db.execute(_PRUNE, (limit,))
