"""Deleting jobs that have ended from SQLite.

They are looked for on a snapshot, beside the writer, along the index ``jobs_order``: no job ends before its ``run_at``
but those that are cancelled, so the old ones are at the front of each range. A write transaction then deletes by
primary key, each only if it is still as it was seen, and stops when it has had the write lock for ``HOLD_S``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import NamedTuple

from tickr.jobs import State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, ScanPosition
from tickr.store.sqlite_reads import next_range

HOLD_S = 0.003
"""For how long a transaction goes on deleting, in seconds; the COMMIT comes on top. Claims and submissions wait."""
CLOCK_EVERY = 16
"""How many jobs are deleted between two looks at the clock."""
MAX_RANGES = 100
"""How many ranges (of one queue and priority) a look goes through at most."""

_FIRST, _LAST = -(2**62), 2**62
_IN_RANGE = """
SELECT run_at, id, finished_at FROM jobs
WHERE state = ? AND queue = ? AND priority = ? AND (run_at, id) > (?, ?) AND run_at < ? ORDER BY run_at, id LIMIT ?
"""
_DELETE = """
DELETE FROM jobs WHERE id = ?1 AND state = ?2 AND finished_at < ?3
  AND NOT EXISTS (SELECT 1 FROM links WHERE on_id = ?1) AND NOT EXISTS (SELECT 1 FROM links WHERE waiter = ?1)
"""
_DELETE_CHILDREN = """
DELETE FROM children WHERE (parent = ?1 OR child = ?1) AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)
"""
_DELETE_ATTEMPTS = "DELETE FROM attempts WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)"
_DELETE_LOG = "DELETE FROM job_log WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)"


class Look(NamedTuple):
    """The places of the old jobs that were seen, and where to go on; None at the end."""

    old: list[ScanPosition]
    position: ScanPosition | None


def look(db: sqlite3.Connection, state: State, before: int, limit: int, position: ScanPosition | None) -> Look:
    """Look at up to ``limit`` jobs of ``state`` from ``position`` on for those that ended before ``before``."""
    place = position or ScanPosition(state, "", -1, _FIRST, "")
    until = _LAST if state is State.CANCELLED else before
    old: list[ScanPosition] = []
    for _ in range(MAX_RANGES):
        one = STATE_CODES[state], place.queue, place.priority
        found = db.execute(_IN_RANGE, (*one, place.run_at, rows.id_bytes(place.id), until, limit)).fetchall()
        for run_at, key, finished_at in found:
            place = place._replace(run_at=run_at, id=rows.id_text(key))
            if finished_at < before:
                old.append(place)
        limit -= len(found)
        if not limit:
            return Look(old, place)
        if (following := next_range(db, *one)) is None:
            return Look(old, None)
        place = ScanPosition(state, following.queue, following.priority, _FIRST, "")
    return Look(old, place)


def delete(db: sqlite3.Connection, old: Sequence[ScanPosition], before: int) -> tuple[int, int]:
    """Delete the first of ``old``, as many as there is time for. Returns how many were tried, and how many went."""
    until = time.monotonic() + HOLD_S
    deleted = 0
    for start in range(0, len(old), CLOCK_EVERY):
        some = [(rows.id_bytes(one.id), STATE_CODES[one.state]) for one in old[start : start + CLOCK_EVERY]]
        deleted += db.executemany(_DELETE, [(key, code, before) for key, code in some]).rowcount
        for statement in (_DELETE_ATTEMPTS, _DELETE_CHILDREN, _DELETE_LOG):
            db.executemany(statement, [(key,) for key, _ in some])
        if time.monotonic() > until:
            return start + len(some), deleted
    return len(old), deleted
