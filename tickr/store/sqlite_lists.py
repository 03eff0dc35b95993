"""Lists of jobs from SQLite, newest first. Run inside ``SqliteFile``'s transactions.

A list without a filter walks the index ``jobs_newest`` from its end. With one by state or queue that few jobs can pass,
these are looked up in ``jobs_order`` and sorted. Otherwise the newest jobs are looked through, a window at a time, so
many for a page and not more: a filter that fits nothing costs the same however many jobs are stored.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tickr.jobs import Job, State
from tickr.store import rows
from tickr.store.answers import Filter, Page, Place, page_of, window_sizes
from tickr.store.contract import STATE_CODES

_COLUMNS = ", ".join(rows.COLUMNS)
_READY = STATE_CODES[State.READY]

FEW = 5_000
"""How many jobs of a state or queue are looked at and sorted, rather than looked for from the newest backwards."""

_MANY = "SELECT 1 FROM jobs INDEXED BY jobs_order WHERE %s LIMIT 1 OFFSET ?"
_LIST = f"SELECT {_COLUMNS} FROM jobs INDEXED BY %s WHERE %s ORDER BY created_at DESC, id DESC LIMIT ?"  # noqa: S608
_END = """
SELECT created_at, id FROM jobs INDEXED BY jobs_newest WHERE %s ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?
"""


class _Condition(NamedTuple):
    """Static SQL with its values."""

    sql: str
    values: tuple[rows.Value, ...]


_ANY = _Condition("TRUE", ())


def list_jobs(db: sqlite3.Connection, which: Filter, limit: int, before: Place | None, look_at: int, now: int) -> Page:
    """See ``Store.list_jobs``."""
    conditions = list(_conditions(which, now))
    if which.empty:
        return page_of(_found(db, "jobs_newest", [_older(before)], limit + 1), limit)
    if which.states or which.queues:
        places = _places(which)
        if db.execute(_MANY % places.sql, (*places.values, min(FEW, look_at))).fetchone() is None:
            return page_of(_found(db, "jobs_order", [places, _older(before), *conditions], limit + 1), limit)
        conditions.append(places)
    return _walk(db, conditions, limit, before, look_at)


def _walk(
    db: sqlite3.Connection, conditions: Sequence[_Condition], limit: int, before: Place | None, look_at: int
) -> Page:
    """Look through the newest jobs before ``before`` for those that meet ``conditions``."""
    found: list[Job] = []
    for size in window_sizes(limit, look_at):
        older = _older(before)
        end = db.execute(_END % older.sql, (*older.values, size - 1)).fetchone()
        window = [older, _since(end), *conditions]
        found += _found(db, "jobs_newest", window, limit + 1 - len(found))
        if len(found) > limit or end is None:
            return page_of(found, limit)
        before = end[0], rows.id_text(end[1])
    return Page(found, before)


def _found(db: sqlite3.Connection, index: str, conditions: Sequence[_Condition], limit: int) -> list[Job]:
    sql = _LIST % (index, " AND ".join(one.sql for one in conditions))
    values = [value for one in conditions for value in one.values]
    return [rows.job(row) for row in db.execute(sql, (*values, limit))]


def _older(before: Place | None) -> _Condition:
    return _ANY if before is None else _Condition("(created_at, id) < (?, ?)", (before[0], rows.id_bytes(before[1])))


def _since(end: tuple[int, bytes] | None) -> _Condition:
    return _ANY if end is None else _Condition("(created_at, id) >= (?, ?)", end)


def _places(which: Filter) -> _Condition:
    """Return where in ``jobs_order`` the wanted jobs are: their states and queues."""
    codes = sorted({STATE_CODES[stored(state)] for state in which.states} or STATE_CODES.values())
    sql, values = "state IN (SELECT value FROM json_each(?))", [json.dumps(codes)]
    if which.queues:
        sql += " AND queue IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(which.queues))
    return _Condition(sql, tuple(values))


def _conditions(which: Filter, now: int) -> Iterator[_Condition]:
    if (State.SCHEDULED in which.states) != (State.READY in which.states):
        sign = ">" if State.SCHEDULED in which.states else "<="
        yield _Condition(f"(state <> {_READY} OR run_at {sign} ?)", (now,))
    if which.types:
        yield _Condition("type IN (SELECT value FROM json_each(?))", (json.dumps(which.types),))
    for name, value in which.labels:
        sql = "EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND (? IS NULL OR atom = ?))"
        yield _Condition(sql, (name, value, value))


def stored(state: State) -> State:
    """Return the stored state behind one as the outside sees it."""
    return State.READY if state is State.SCHEDULED else state
