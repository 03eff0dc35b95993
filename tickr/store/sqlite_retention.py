"""Deleting jobs that have ended from SQLite: part of ``SqliteStore``.

They are looked for on a snapshot, beside the writer, along the index ``jobs_order``: no job ends before its ``run_at``
but those that are cancelled, so the old ones are at the front of each range. A write transaction then deletes by
primary key, each only if it is still as it was seen, and stops when it has had the write lock for ``HOLD_S``.
Jobs that have an age of their own have a row in ``removals``, which comes and goes with the moves that end them and
start them over.
"""

from __future__ import annotations

import heapq
import itertools
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tickr.jobs import FINAL, State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, Clock, Edge, Pruned, Removed, ScanPosition
from tickr.store.retention_answers import MAX_RANGES_COUNTED
from tickr.store.sqlite_file import SqliteFile
from tickr.store.sqlite_reads import next_range, ranges_of
from tickr.store.written import Removal

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
_LET_GO = "NOT EXISTS (SELECT 1 FROM links WHERE on_id = ?1) AND NOT EXISTS (SELECT 1 FROM links WHERE waiter = ?1)"
_DELETE = f"""
DELETE FROM jobs WHERE id = ?1 AND state = ?2 AND finished_at < ?3
  AND (extras IS NULL OR json_extract(extras, '$.keep_us') IS NULL) AND {_LET_GO}
"""  # noqa: S608 -- static text
_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
_OVER = f"id = ?1 AND +state IN ({_FINAL}) AND finished_at + json_extract(extras, '$.keep_us') = ?2"
_NEWEST = """
SELECT run_at, id FROM jobs INDEXED BY jobs_order WHERE state = ? AND queue = ? AND priority = ?
ORDER BY run_at DESC, id DESC LIMIT ?
"""
_DELETE_BEYOND = f"""
DELETE FROM jobs WHERE id = ?1 AND +state = ?2 AND (+run_at < ?3 OR (+run_at = ?3 AND id <= ?4))
  AND (extras IS NULL OR json_extract(extras, '$.keep_us') IS NULL) AND {_LET_GO}
"""  # noqa: S608 -- static text
_DUE = """
SELECT job_id, remove_at FROM removals
WHERE remove_at <= ? AND (remove_at, job_id) > (?, ?) ORDER BY remove_at, job_id LIMIT ?
"""
_DELETE_OVER = f"DELETE FROM jobs WHERE {_OVER} AND {_LET_GO}"  # noqa: S608 -- static text
_DELETE_REMOVAL = f"""
DELETE FROM removals WHERE remove_at = ?2 AND job_id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE {_OVER})
"""  # noqa: S608 -- static text
_INSERT_REMOVAL = "INSERT OR IGNORE INTO removals (remove_at, job_id) VALUES (?, ?)"
_SPARE = "DELETE FROM removals WHERE remove_at = ? AND job_id = ?"
_DELETE_CHILDREN = """
DELETE FROM children WHERE (parent = ?1 OR child = ?1) AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)
"""
_DELETE_ATTEMPTS = "DELETE FROM attempts WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)"
_DELETE_LOG = "DELETE FROM job_log WHERE job_id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1)"


_OF_JOB = (_DELETE_ATTEMPTS, _DELETE_CHILDREN, _DELETE_LOG)
"""What goes with a job that is gone."""
_ERASE = ("DELETE FROM jobs WHERE id = ?1", "DELETE FROM links WHERE waiter = ?1", *_OF_JOB)


class SqliteRetention:
    """``Retention`` of the contract. What has had the write lock for long enough ends early."""

    _file: SqliteFile
    _clock: Clock

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        old, after = await self._file.read(lambda db: look(db, state, before, limit, position))
        if not old:
            return Pruned(0, after)
        tried, deleted = await self._file.write(lambda db: delete(db, old, before))
        return Pruned(deleted, after if tried == len(old) else old[tried - 1])

    async def last_beyond(self, state: State, count: int) -> Edge | None:
        return await self._file.read(lambda db: _last_beyond(db, STATE_CODES[state], count))

    async def prune_beyond(self, state: State, edge: Edge, limit: int, position: ScanPosition | None = None) -> Pruned:
        last = edge.run_at, rows.id_bytes(edge.id)
        # What is at its very instant is looked at as well; which of it goes is decided by the id.
        found, after = await self._file.read(lambda db: look(db, state, _LAST, limit, position, until=edge.run_at + 1))
        many = [(rows.id_bytes(one.id), STATE_CODES[state], *last) for one in found]
        if not many:
            return Pruned(0, after)
        tried, deleted = await self._file.write(lambda db: _delete_some(db, _DELETE_BEYOND, many))
        return Pruned(deleted, after if tried == len(many) else found[tried - 1])

    async def remove_due(self, limit: int, place: Removal | None = None) -> Removed:
        at, last = (_FIRST, b"") if place is None else (place[0], rows.id_bytes(place[1]))
        now = self._clock()
        due = await self._file.read(lambda db: db.execute(_DUE, (now, at, last, limit)).fetchall())
        if not due:
            return Removed(0, None)
        tried, deleted = await self._file.write(lambda db: _delete_some(db, _DELETE_OVER, due, _DELETE_REMOVAL))
        key, end = due[tried - 1]
        return Removed(deleted, None if tried < limit and tried == len(due) else (end, rows.id_text(key)))


def note(db: sqlite3.Connection, come: Sequence[Removal], gone: Sequence[Removal]) -> None:
    """Write the rows of ``removals`` that come, and delete those that go."""
    for statement, some in ((_INSERT_REMOVAL, come), (_SPARE, gone)):
        if some:
            db.executemany(statement, [(at, rows.id_bytes(job_id)) for at, job_id in some])


class Look(NamedTuple):
    """The places of the old jobs that were seen, and where to go on; None at the end."""

    old: list[ScanPosition]
    position: ScanPosition | None


def _last_beyond(db: sqlite3.Connection, code: int, count: int) -> Edge | None:
    """See ``Store.last_beyond``. Each range is read from its end, and no further than it is among the last ones."""
    ranges = itertools.islice(ranges_of(db, code), MAX_RANGES_COUNTED)
    newest = heapq.merge(*(db.execute(_NEWEST, (*one, count + 1)) for one in ranges), reverse=True)
    last = next(itertools.islice(newest, count, None), None)
    return None if last is None else Edge(last[0], rows.id_text(last[1]))


def look(
    db: sqlite3.Connection,
    state: State,
    before: int,
    limit: int,
    position: ScanPosition | None,
    *,
    until: int | None = None,
) -> Look:
    """Look at up to ``limit`` jobs of ``state`` from ``position`` on for those that ended before ``before``.

    ``until``: and are due before that; None: as far as those are.
    """
    place = position or ScanPosition(state, "", -1, _FIRST, "")
    if until is None:
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


def erase(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Delete these jobs, whatever they are, with all that is kept of them but checkpoints."""
    keys = [(rows.id_bytes(job_id),) for job_id in ids]
    for statement in _ERASE:
        db.executemany(statement, keys)


def delete(db: sqlite3.Connection, old: Sequence[ScanPosition], before: int) -> tuple[int, int]:
    """Delete the first of ``old``, as many as there is time for. Returns how many were tried, and how many went."""
    return _delete_some(db, _DELETE, [(rows.id_bytes(one.id), STATE_CODES[one.state], before) for one in old])


def _delete_some(
    db: sqlite3.Connection, statement: str, jobs: Sequence[tuple[Any, ...]], then: str | None = None
) -> tuple[int, int]:
    """Run ``statement`` for each of ``jobs``, whose first value is the key, and ``then``, while there is time."""
    until = time.monotonic() + HOLD_S
    deleted = 0
    for start in range(0, len(jobs), CLOCK_EVERY):
        some = jobs[start : start + CLOCK_EVERY]
        deleted += db.executemany(statement, some).rowcount
        for of_job in _OF_JOB:
            db.executemany(of_job, [one[:1] for one in some])
        if then is not None:
            db.executemany(then, some)
        if time.monotonic() > until:
            return start + len(some), deleted
    return len(jobs), deleted
