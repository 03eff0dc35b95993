"""Schedules in SQLite: part of ``SqliteStore``. The one writer makes moves of a schedule come one after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from tickr import events
from tickr.jobs import FINAL
from tickr.schedule_moves import Move
from tickr.schedules import MAX_SCHEDULES, Schedule
from tickr.store import rows, schedule_changes, sqlite_feed, sqlite_jobs
from tickr.store.contract import STATE_CODES, Clock, DuePlace, DueSchedules, MovedSchedule
from tickr.store.sqlite_file import SqliteFile
from tickr.tallies import Tally

_BY_NAME = "SELECT next_at, body FROM schedules WHERE name = ?"
_PAGE = "SELECT next_at, body FROM schedules WHERE name > ? ORDER BY name LIMIT ?"
_DUE = (
    "SELECT next_at, body FROM schedules WHERE next_at <= ? AND (next_at, name) > (?, ?) ORDER BY next_at, name LIMIT ?"
)
_LATER = "SELECT min(next_at) FROM schedules WHERE next_at > ?"
_IS_FULL = "SELECT 1 FROM schedules ORDER BY name LIMIT 1 OFFSET ?"
_STATE = "SELECT state FROM jobs WHERE id = ?"
_INSERT = "INSERT INTO schedules (name, next_at, body) VALUES (?, ?, ?)"
_CHANGE = "UPDATE schedules SET next_at = ?2, body = ?3 WHERE name = ?1"
_DELETE = "DELETE FROM schedules WHERE name = ?"

_FINAL = frozenset(STATE_CODES[state] for state in FINAL)
_FIRST = DuePlace(-(2**62), "")


class SqliteSchedules:
    """``Schedules`` of the contract."""

    _file: SqliteFile
    _clock: Clock
    _told: Callable[[Tally | None], None]

    async def schedule(self, name: str) -> Schedule | None:
        return await self._file.read(lambda db: _found(db, [name]).get(name))

    async def schedules(self, limit: int, after: str | None = None) -> list[Schedule]:
        return await self._file.read(lambda db: _read(db, _PAGE, after or "", limit))

    async def due_schedules(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        def work(db: sqlite3.Connection) -> DueSchedules:
            now = self._clock()
            (later,) = db.execute(_LATER, (now,)).fetchone()
            return DueSchedules(now, _read(db, _DUE, now, *(after or _FIRST), limit), later)

        return await self._file.read(work)

    async def move_schedules(self, moves: Sequence[Move]) -> list[MovedSchedule]:
        def work(db: sqlite3.Connection) -> schedule_changes.ScheduleChanges:
            now = self._clock()
            found = _found(db, [move.name for move in moves])
            busy = {id_ for id_ in schedule_changes.watched(moves, found) if _is_busy(db, id_)}
            full = (
                schedule_changes.may_add(moves, found)
                and db.execute(_IS_FULL, (MAX_SCHEDULES - 1,)).fetchone() is not None
            )
            made = schedule_changes.move_schedules(moves, found, now, busy=busy, full=full)
            _write(db, made, now)
            return made

        made = await self._file.write(work)
        self._told(made.counting.tally() if made.told else None)
        return made.answers


def _read(db: sqlite3.Connection, sql: str, *values: str | int) -> list[Schedule]:
    return [rows.schedule(*row) for row in db.execute(sql, values)]


def _found(db: sqlite3.Connection, names: Iterable[str]) -> dict[str, Schedule]:
    return {one.name: one for name in names for one in _read(db, _BY_NAME, name)}


def _is_busy(db: sqlite3.Connection, job_id: str) -> bool:
    state = db.execute(_STATE, (rows.id_bytes(job_id),)).fetchone()
    return state is not None and state[0] not in _FINAL


def _write(db: sqlite3.Connection, made: schedule_changes.ScheduleChanges, now: int) -> None:
    db.executemany(_INSERT, map(rows.of_schedule, made.new))
    db.executemany(_CHANGE, map(rows.of_schedule, made.changed))
    db.executemany(_DELETE, [(name,) for name in made.gone])
    sqlite_jobs.insert(db, made.jobs, now)
    if made.told:
        sqlite_feed.tell(db, now, len(made.told), events.encode(made.told), made.counting.tally())
