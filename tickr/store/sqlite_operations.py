"""Operations, and jobs that are started over, in SQLite: part of ``SqliteStore``.

The one writer makes steps of an operation come one after the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tickr import events, tallies
from tickr.edits import NO_EDIT, Edit
from tickr.events import Change
from tickr.filters import Filter
from tickr.jobs import Job
from tickr.operation_moves import Move, Moved, Step
from tickr.operations import MAX_RUNNING, Operation
from tickr.store import (
    operation_changes,
    rows,
    sqlite_editing,
    sqlite_feed,
    sqlite_keys,
    sqlite_links,
    sqlite_lists,
    sqlite_reads,
)
from tickr.store.contract import Clock, DueOperations, MovedOperation, Tally
from tickr.store.sqlite_editing import SqliteEditing
from tickr.store.sqlite_file import SqliteFile

_BY_ID = "SELECT body FROM operations WHERE id = ?"
_PAGE = "SELECT body FROM operations WHERE id < ? ORDER BY id DESC LIMIT ?"
_DUE = "SELECT body FROM operations WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"
_LATER = "SELECT min(due_at) FROM operations WHERE due_at > ?"
_IS_FULL = "SELECT 1 FROM operations WHERE due_at IS NOT NULL LIMIT 1 OFFSET ?"
_WRITE = "INSERT OR REPLACE INTO operations (id, due_at, finished_at, body) VALUES (?, ?, ?, ?)"
_LAST_KEPT = (
    "SELECT finished_at FROM operations WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1 OFFSET ?"
)
_PRUNE = (
    "DELETE FROM operations WHERE id IN "
    "(SELECT id FROM operations WHERE finished_at < ? ORDER BY finished_at, id LIMIT ?)"
)

_LAST_ID = "~"
"""Behind every id."""


class SqliteOperations(SqliteEditing):
    """``Operations`` of the contract."""

    _file: SqliteFile
    _clock: Clock
    _told: Callable[[tallies.Tally | None], None]

    async def redrive(self, job_id: str, *, version: int | None = None, edit: Edit = NO_EDIT) -> Job:
        def work(db: sqlite3.Connection, now: int) -> tuple[Job, list[Change]]:
            change = sqlite_keys.redrive(db, sqlite_reads.existing(db, job_id), version, now, edit)
            return change.after, [change]

        return await self._change(work)

    async def _tally(self, which: Filter, most: int | None) -> Tally:
        return await self._file.read_long(lambda db: sqlite_lists.tally(db, which, most, self._clock()))

    async def operation(self, operation_id: str) -> Operation | None:
        return await self._file.read(lambda db: _found(db, operation_id))

    async def operations(self, limit: int, before: str | None = None) -> list[Operation]:
        return await self._file.read(lambda db: _read(db, _PAGE, _LAST_ID if before is None else before, limit))

    async def due_operations(self, limit: int) -> DueOperations:
        def work(db: sqlite3.Connection) -> DueOperations:
            now = self._clock()
            (later,) = db.execute(_LATER, (now,)).fetchone()
            return DueOperations(now, _read(db, _DUE, now, limit), later)

        return await self._file.read(work)

    async def move_operation(self, move: Move) -> MovedOperation:
        def work(db: sqlite3.Connection) -> tuple[MovedOperation, tallies.Tally | None]:
            now, found = self._clock(), _found(db, move.id)
            if isinstance(move, Step):
                return _step(db, move, found, now)
            full = db.execute(_IS_FULL, (MAX_RUNNING - 1,)).fetchone() is not None
            moved = operation_changes.moved(move, found, now, full=full)
            _write(db, moved, now)
            return MovedOperation(moved.before, moved.after, []), tallies.Tally(now, []) if moved.told else None

        answer, told = await self._file.write(work)
        self._told(told)
        return answer

    async def prune_operations(self, before: int, keep: int, limit: int) -> int:
        def work(db: sqlite3.Connection) -> int:
            last = db.execute(_LAST_KEPT, (keep - 1,)).fetchone()
            return db.execute(_PRUNE, (max(before, last[0]) if last else before, limit)).rowcount

        return await self._file.write(work)


def _step(
    db: sqlite3.Connection, move: Step, found: Operation | None, now: int
) -> tuple[MovedOperation, tallies.Tally | None]:
    if found is None or not move.may(found, now):
        return MovedOperation(found, found, []), None
    jobs = sqlite_reads.jobs_by_id(db, move.ids)
    kept = sqlite_keys.read(db, operation_changes.needed(found, jobs.values()))
    held = sqlite_reads.jobs_by_id(db, [key.job_id for key in kept.values()])
    needed = sqlite_links.needed(db, move.ids) if found.action == "delete" else ()
    moved, made, written = operation_changes.step(move, found, jobs, kept, held.values(), now, needed)
    if found.action == "retry":
        made, turns = sqlite_links.redrive(db, made, kept, now)
        written += turns
    sqlite_keys.write(db, written)
    told = sqlite_editing.write(db, made, now)
    _write(db, moved, now)
    answer = MovedOperation(moved.before, moved.after, made)
    return answer, tallies.Tally(now, []) if told is None and moved.told else told


def _read(db: sqlite3.Connection, sql: str, *values: str | int) -> list[Operation]:
    return [rows.operation(body) for (body,) in db.execute(sql, values)]


def _found(db: sqlite3.Connection, operation_id: str) -> Operation | None:
    return next(iter(_read(db, _BY_ID, operation_id)), None)


def _write(db: sqlite3.Connection, moved: Moved, now: int) -> None:
    if moved.after != moved.before:
        db.execute(_WRITE, rows.of_operation(moved.after))
    if moved.told:
        sqlite_feed.tell(db, now, len(moved.told), events.encode(moved.told))
