"""Lists of jobs from SQLite, newest first. Run inside ``SqliteFile``'s transactions.

A list without a filter walks the index ``jobs_newest`` from its end. With one by state or queue that few jobs can pass,
these are looked up in ``jobs_order`` and sorted; those of one parent in ``children``. Otherwise the newest jobs are
looked through, a window at a time, so many for a page and not more: a filter that fits nothing costs the same however
many jobs are stored.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from tickr.jobs import Job, State
from tickr.store import rows
from tickr.store.answers import (
    Filter,
    Group,
    Page,
    Place,
    Tally,
    largest_first,
    most_of,
    page_of,
    start_of,
    window_sizes,
)
from tickr.store.contract import STATE_CODES

_COLUMNS = ", ".join(rows.COLUMNS)
_READY, _FAILED = STATE_CODES[State.READY], STATE_CODES[State.FAILED]

FEW = 5_000
"""How many jobs of a state or queue are looked at and sorted, rather than looked for from the newest backwards."""

_MANY = "SELECT 1 FROM jobs INDEXED BY jobs_order WHERE %s LIMIT 1 OFFSET ?"
_LIST = " WHERE %s ORDER BY created_at DESC, id DESC LIMIT ?"
_NEWEST = f"SELECT {_COLUMNS} FROM jobs INDEXED BY jobs_newest{_LIST}"  # noqa: S608
_ORDER = f"SELECT {_COLUMNS} FROM jobs INDEXED BY jobs_order{_LIST}"  # noqa: S608
_CHILDREN = f"SELECT {_COLUMNS} FROM children CROSS JOIN jobs ON jobs.id = child{_LIST}"  # noqa: S608
_END = """
SELECT created_at, id FROM jobs INDEXED BY jobs_newest WHERE %s ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?
"""


_FEW = "SELECT jobs.rowid AS few_id FROM jobs INDEXED BY jobs_order WHERE %s LIMIT ?"
_FEW_CHILDREN = "SELECT jobs.rowid AS few_id FROM children CROSS JOIN jobs ON jobs.id = child WHERE parent = ?"
_GROUPS = f"""
SELECT state, type, kind, later, count(*), min(ended_at), max(ended_at), max(id) FROM (
  SELECT state, type, json_extract(error, '$.kind') AS kind, state = {_READY} AND run_at > ? AS later,
    coalesce(finished_at, created_at) AS ended_at, jobs.id AS id
  FROM (%s) CROSS JOIN jobs ON jobs.rowid = few_id WHERE %s LIMIT -1
) GROUP BY state, type, kind, later
"""  # noqa: S608
# LIMIT, as otherwise whole errors, tracebacks and all, would be sorted into groups in place of their kinds.

_DEAD_EDGE = """
SELECT dead_kind, type, queue, finished_at, id FROM jobs INDEXED BY jobs_dead WHERE %s
ORDER BY dead_kind, type, queue, finished_at, id LIMIT 1 OFFSET ?
"""
_DEAD = """
SELECT dead_kind, type, count(*), min(finished_at), max(finished_at), max(id)
FROM jobs INDEXED BY jobs_dead WHERE %s GROUP BY dead_kind, type
"""


class _Condition(NamedTuple):
    """Static SQL with its values."""

    sql: str
    values: tuple[rows.Value, ...]


_ANY = _Condition("TRUE", ())


def list_jobs(db: sqlite3.Connection, which: Filter, limit: int, before: Place | None, look_at: int, now: int) -> Page:
    """See ``Store.list_jobs``."""
    conditions = list(_conditions(which, now))
    before = start_of(which, before)
    if which.parent is not None:
        children = _Condition("parent = ?", (rows.id_bytes(which.parent),))
        return page_of(_found(db, _CHILDREN, [children, _places(which), _older(before), *conditions], limit + 1), limit)
    if which.empty:
        return page_of(_found(db, _NEWEST, [_older(before)], limit + 1), limit)
    if which.states or which.queues:
        places = _places(which)
        if db.execute(_MANY % places.sql, (*places.values, min(FEW, look_at))).fetchone() is None:
            return page_of(_found(db, _ORDER, [places, _older(before), *conditions], limit + 1), limit)
        conditions.append(places)
    return _walk(db, conditions, limit, before, look_at, which.created_after)


def tally(db: sqlite3.Connection, which: Filter, most: int | None, now: int) -> Tally:
    """See ``Store.tally``."""
    exact, found = True, list[Group]()
    if which.parent is not None:
        children = _Condition(_FEW_CHILDREN, (rows.id_bytes(which.parent),))
        conditions = [_ANY, *_conditions(which, now), _places(which)]
        return Tally(sorted(_grouped(db, children, conditions, now), key=largest_first), True)
    for code in sorted({STATE_CODES[stored(state)] for state in which.states} or STATE_CODES.values()):
        bound = most or most_of(rows.state(code), which)
        count = _count_dead if code == _FAILED and which.of_dead_letters else _count
        groups, all_ = count(db, code, which, bound, now)
        exact, found = exact and all_, [*found, *groups]
    return Tally(sorted(found, key=largest_first), exact)


def _count(db: sqlite3.Connection, code: int, which: Filter, most: int, now: int) -> Tally:
    """Look at ``most`` jobs of a state."""
    conditions, places = [_ANY, *_conditions(which, now)], _of_state(code, which)
    exact = db.execute(_MANY % places.sql, (*places.values, most)).fetchone() is None
    found = _grouped(db, _Condition(_FEW % places.sql, (*places.values, most)), conditions, now)
    return Tally([*found], exact)


def _grouped(db: sqlite3.Connection, few: _Condition, conditions: Sequence[_Condition], now: int) -> Iterator[Group]:
    sql = _GROUPS % (few.sql, " AND ".join(one.sql for one in conditions))
    values = [value for one in conditions for value in one.values]
    for code, type_, error, later, count, first, last, key in db.execute(sql, (now, *few.values, *values)):
        state = State.SCHEDULED if later else rows.state(code)
        yield Group(state, type_, error, count, first, last, rows.id_text(key))


def _count_dead(db: sqlite3.Connection, _code: int, which: Filter, most: int, now: int) -> Tally:
    """Go along the index of dead letters, past ``most`` of the wanted kinds."""
    kinds = _Condition("dead_kind IS NOT NULL", ())
    if which.errors:
        kinds = _Condition("dead_kind IN (SELECT value FROM json_each(?))", (json.dumps(which.errors),))
    edge = db.execute(_DEAD_EDGE % kinds.sql, (*kinds.values, most)).fetchone()
    conditions = [kinds, *_conditions(msgspec.structs.replace(which, states=(), errors=()), now)]
    if which.queues:
        conditions.append(_Condition("queue IN (SELECT value FROM json_each(?))", (json.dumps(which.queues),)))
    if edge is not None:
        conditions.append(_Condition("(dead_kind, type, queue, finished_at, id) < (?, ?, ?, ?, ?)", edge))
    sql = _DEAD % " AND ".join(one.sql for one in conditions)
    counted = db.execute(sql, [value for one in conditions for value in one.values])
    found = [
        Group(State.FAILED, type_, kind or None, count, first, last, rows.id_text(key))
        for kind, type_, count, first, last, key in counted
    ]
    return Tally(found, edge is None)


def _of_state(code: int, which: Filter) -> _Condition:
    if not which.queues:
        return _Condition("state = ?", (code,))
    return _Condition("state = ? AND queue IN (SELECT value FROM json_each(?))", (code, json.dumps(which.queues)))


def _walk(
    db: sqlite3.Connection,
    conditions: Sequence[_Condition],
    limit: int,
    before: Place | None,
    look_at: int,
    oldest: int | None,
) -> Page:
    """Look through the newest jobs before ``before`` for those that meet ``conditions``."""
    found: list[Job] = []
    for size in window_sizes(limit, look_at):
        older = _older(before)
        end = db.execute(_END % older.sql, (*older.values, size - 1)).fetchone()
        window = [older, _since(end), *conditions]
        found += _found(db, _NEWEST, window, limit + 1 - len(found))
        if len(found) > limit or end is None or (oldest is not None and end[0] < oldest):
            return page_of(found, limit)
        before = end[0], rows.id_text(end[1])
    return Page(found, before)


def _found(db: sqlite3.Connection, list_: str, conditions: Sequence[_Condition], limit: int) -> list[Job]:
    sql = list_ % " AND ".join(one.sql for one in conditions)
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
    if which.schedules:
        sql = "json_extract(extras, '$.schedule') IN (SELECT value FROM json_each(?))"
        yield _Condition(sql, (json.dumps(which.schedules),))
    if which.errors:
        sql = "json_extract(error, '$.kind') IN (SELECT value FROM json_each(?))"
        yield _Condition(sql, (json.dumps(which.errors),))
    for sql, at in (
        ("created_at >= ?", which.created_after),
        ("created_at < ?", which.created_before),
        ("finished_at >= ?", which.finished_after),
        ("finished_at < ?", which.finished_before),
    ):
        if at is not None:
            yield _Condition(sql, (at,))


def stored(state: State) -> State:
    """Return the stored state behind one as the outside sees it."""
    return State.READY if state is State.SCHEDULED else state
