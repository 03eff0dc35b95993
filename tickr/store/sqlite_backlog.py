"""The age of the backlog over time, in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import json
import sqlite3

from tickr.store import backlog as kept
from tickr.store.contract import AgePlace, Clock, Span
from tickr.store.sqlite_file import SqliteFile
from tickr.store.sqlite_reads import waiting_ranges
from tickr.store.sums import STEP_CODES
from tickr.tallies import Step

_LOOK = "UPDATE backlog_looks SET at = ?1 WHERE id = 1 AND (at <= ?2 OR at > ?1)"
_FIRST_DUE = """
SELECT run_at FROM jobs INDEXED BY jobs_order WHERE state = ? AND queue = ? AND priority = ? AND run_at <= ?
ORDER BY run_at LIMIT 1
"""
_OF_STEP = "SELECT queue, age FROM backlogs WHERE step = ? AND at = ?"
_WRITE = "INSERT OR REPLACE INTO backlogs (step, at, queue, age) VALUES (?, ?, ?, ?)"
_AGES = """
SELECT at, queue, age FROM backlogs WHERE step = ?1 AND at >= ?2 AND at < ?3
  AND (?4 IS NULL OR queue IN (SELECT value FROM json_each(?4))) AND (at, queue) > (?5, ?6)
ORDER BY at, queue LIMIT ?7
"""
_PRUNE = """
DELETE FROM backlogs WHERE (step, at, queue) IN
  (SELECT step, at, queue FROM backlogs WHERE step = ? AND at < ? ORDER BY at, queue LIMIT ?)
"""

_FIRST = -(2**62), ""


class SqliteBacklog:
    """``Backlog`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def look_at_backlog(self, every_us: int) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            now = self._clock()
            if not db.execute(_LOOK, (now, now - every_us)).rowcount:
                return False
            written = kept.raised(_oldest(db, now), now, _stored(db, now))
            rows = [(STEP_CODES[place.step], place.at, place.queue, age) for place, age in written.items()]
            db.executemany(_WRITE, rows)
            return True

        return await self._file.write(work)

    async def backlog(self, which: Span, limit: int, after: AgePlace | None = None) -> list[tuple[AgePlace, int]]:
        place = _FIRST if after is None else (after.at, after.queue)
        named = json.dumps([*which.queues, kept.REST]) if which.queues else None

        def work(db: sqlite3.Connection) -> list[tuple[AgePlace, int]]:
            found = db.execute(_AGES, (STEP_CODES[which.step], which.since, which.until, named, *place, limit))
            return [(AgePlace(which.step, at, queue), age) for at, queue, age in found]

        return await self._file.read_long(work)

    async def prune_backlog(self, step: Step, before: int, limit: int) -> int:
        return await self._file.write(lambda db: db.execute(_PRUNE, (STEP_CODES[step], before, limit)).rowcount)


def _oldest(db: sqlite3.Connection, now: int) -> dict[str, int]:
    """Return since when the oldest due job of each queue that has one has been due."""
    oldest: dict[str, int] = {}
    for one in waiting_ranges(db):
        if found := db.execute(_FIRST_DUE, (*one, now)).fetchone():
            oldest[one.queue] = min(found[0], oldest.get(one.queue, now))
    return oldest


def _stored(db: sqlite3.Connection, now: int) -> kept.Ages:
    """Return all ages of the steps that ``now`` is in."""
    return {
        AgePlace(step, at, queue): age
        for step, at in kept.steps_of(now)
        for queue, age in db.execute(_OF_STEP, (STEP_CODES[step], at))
    }
