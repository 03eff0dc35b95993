"""Sums of what was done, and marks, in SQLite: part of ``SqliteStore``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Literal

from tickr import tallies
from tickr.failpoints import reach_in_thread
from tickr.store import rows, sums
from tickr.store.contract import Clock, LogRow, Mark, Span, SumPlace, Sums, Tallied, Untallied
from tickr.store.sqlite_feed import head
from tickr.store.sqlite_file import SqliteFile
from tickr.store.sums import STEP_CODES
from tickr.tallies import Part, Step

_TALLIED = "SELECT seq, at FROM tallied WHERE id = 1"
_UNTALLIED = "SELECT seq, created_at, tally FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_MOVE = "UPDATE tallied SET seq = ?, at = ? WHERE id = 1 AND seq = ?"
_OF_STEP = "SELECT queue, type, body FROM tallies WHERE step = ? AND at = ?"
_WRITE = "INSERT OR REPLACE INTO tallies (step, at, queue, type, weight, body) VALUES (?, ?, ?, ?, ?, ?)"
_WANTED = """
step = ?1 AND at >= ?2 AND at < ?3
  AND (?4 IS NULL OR queue IN (SELECT value FROM json_each(?4)))
  AND (?5 IS NULL OR type IN (SELECT value FROM json_each(?5)))
"""
_SUMS = f"""
SELECT at, queue, type, body FROM tallies WHERE {_WANTED} AND (at, queue, type) > (?6, ?7, ?8)
ORDER BY at, queue, type LIMIT ?9
"""  # noqa: S608 -- static text
_WEIGHTS = f"SELECT at, sum(weight) FROM tallies WHERE {_WANTED} GROUP BY at ORDER BY at"  # noqa: S608 -- static text
_BUSIEST = {
    by: f"SELECT {by} FROM tallies WHERE {_WANTED} AND {by} <> '' GROUP BY {by} "  # noqa: S608 -- static text
    f"ORDER BY sum(weight) DESC, {by} LIMIT ?6"
    for by in ("queue", "type")
}
_PRUNE = """
DELETE FROM tallies WHERE (step, at, queue, type) IN
  (SELECT step, at, queue, type FROM tallies WHERE step = ? AND at < ? ORDER BY at, queue, type LIMIT ?)
"""
_MARK = "SELECT id, at, text FROM marks WHERE id = ?"
_MAKE_MARK = "INSERT INTO marks (id, at, text) VALUES (?, ?, ?)"
_TRIM_MARKS = "DELETE FROM marks WHERE id IN (SELECT id FROM marks ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)"
_MARKS = "SELECT id, at, text FROM marks WHERE at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?"
_DROP_MARK = "DELETE FROM marks WHERE id = ?"

_FIRST = -(2**62), "", ""


class SqliteStatistics:
    """``Statistics`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def untallied(self, limit: int) -> Untallied:
        def work(db: sqlite3.Connection) -> Untallied:
            after, _ = db.execute(_TALLIED).fetchone()
            return Untallied(after, [LogRow(*row) for row in db.execute(_UNTALLIED, (after, limit))])

        return await self._file.read(work)

    async def add_tallies(self, more: Sums, *, after: int, upto: Tallied) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if not db.execute(_MOVE, (*upto, after)).rowcount:
                return False
            written = sums.added(more, _stored(db, {(place.step, place.at) for place in more}))
            db.executemany(_WRITE, [_row(place, part) for place, part in written.items()])
            reach_in_thread("statistics.before_commit")
            return True

        return await self._file.write(work)

    async def tallied(self) -> Tallied:
        def work(db: sqlite3.Connection) -> Tallied:
            now, done = self._clock(), Tallied(*db.execute(_TALLIED).fetchone())
            return done._replace(at=now) if done.seq == head(db) else done

        return await self._file.read(work)

    async def sums(self, which: Span, limit: int, after: SumPlace | None = None) -> list[tuple[SumPlace, Part]]:
        place = _FIRST if after is None else (after.at, after.queue, after.type)

        def work(db: sqlite3.Connection) -> list[tuple[SumPlace, Part]]:
            found = db.execute(_SUMS, (*_wanted(which), *place, limit))
            return [
                (SumPlace(which.step, at, queue, type), tallies.part(queue, type, body))
                for at, queue, type, body in found
            ]

        return await self._file.read_long(work)

    async def weights(self, which: Span) -> list[tuple[int, int]]:
        return await self._file.read_long(lambda db: db.execute(_WEIGHTS, _wanted(which)).fetchall())

    async def busiest(self, which: Span, by: Literal["queue", "type"], limit: int) -> list[str]:
        values = (*_wanted(which), limit)
        return await self._file.read_long(lambda db: [name for (name,) in db.execute(_BUSIEST[by], values)])

    async def prune_sums(self, step: Step, before: int, limit: int) -> int:
        return await self._file.write(lambda db: db.execute(_PRUNE, (STEP_CODES[step], before, limit)).rowcount)

    async def make_mark(self, mark: Mark) -> tuple[Mark, bool]:
        def work(db: sqlite3.Connection) -> tuple[Mark, bool]:
            key = rows.id_bytes(mark.id)
            if found := db.execute(_MARK, (key,)).fetchone():
                return _mark(found), False
            db.execute(_MAKE_MARK, (key, mark.at, mark.text))
            db.execute(_TRIM_MARKS, (sums.MAX_MARKS,))
            return mark, True

        return await self._file.write(work)

    async def marks(self, since: int, until: int, limit: int) -> list[Mark]:
        found = await self._file.read(lambda db: db.execute(_MARKS, (since, until, limit)).fetchall())
        return [_mark(row) for row in reversed(found)]

    async def drop_mark(self, mark_id: str) -> bool:
        return await self._file.write(lambda db: db.execute(_DROP_MARK, (rows.id_bytes(mark_id),)).rowcount == 1)


def _stored(db: sqlite3.Connection, steps: Iterable[tuple[Step, int]]) -> Sums:
    """Return all sums of these steps."""
    return {
        SumPlace(step, at, queue, type): tallies.part(queue, type, body)
        for step, at in steps
        for queue, type, body in db.execute(_OF_STEP, (STEP_CODES[step], at))
    }


def _row(place: SumPlace, part: Part) -> tuple[int, int, str, str, int, str]:
    return STEP_CODES[place.step], place.at, place.queue, place.type, part.weight, tallies.sums_text(part)


def _wanted(which: Span) -> tuple[int, int, int, str | None, str | None]:
    """Return the parameters of ``_WANTED``."""
    queues, types = (json.dumps(names) if names else None for names in (which.queues, which.types))
    return STEP_CODES[which.step], which.since, which.until, queues, types


def _mark(row: tuple[bytes, int, str]) -> Mark:
    key, at, text = row
    return Mark(rows.id_text(key), at, text)
