"""The questions that SQLite answers: statements and how their rows are read. Run inside ``SqliteFile``'s transactions.

All of them keep to small ranges of the index ``jobs_order`` (state, queue, priority, run_at, id) or walk
``jobs_newest`` from its end, so that they stay cheap with a million jobs stored. Many ids go in as one parameter,
their bytes in a row.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from tickr.jobs import WAITING, Entry, Job, State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, Filter, QueueDepth, ScanPosition

_COLUMNS = ", ".join(rows.COLUMNS)
_READY, _RETRYING, _RUNNING = STATE_CODES[State.READY], STATE_CODES[State.RETRYING], STATE_CODES[State.RUNNING]

BY_IDS = f"""
SELECT {_COLUMNS} FROM jobs WHERE id IN (
  WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
  SELECT substr(?2, i * 16 + 1, 16) FROM n)
"""  # noqa: S608 -- static text


def jobs_by_id(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, Job]:
    """Return those of ``ids`` that are stored, by id."""
    keys = [key for key in map(rows.id_bytes, set(ids)) if key]
    if not keys:
        return {}
    found = map(rows.job, db.execute(BY_IDS, (len(keys), b"".join(keys))))
    return {job.id: job for job in found}


class Range(NamedTuple):
    """All jobs of one stored state, queue and priority: a run of ``jobs_order`` by ``run_at``."""

    state: int
    queue: str
    priority: int


# Behind the last possible entry of a range, not behind its name: SQLite would step through the whole range otherwise.
_NEXT_RANGE = """
SELECT queue, priority FROM jobs WHERE state = ? AND (queue, priority, run_at) > (?, ?, 9223372036854775807)
ORDER BY queue, priority LIMIT 1
"""


def waiting_ranges(db: sqlite3.Connection) -> Iterator[Range]:
    """Yield the ranges that hold waiting jobs, by jumping from one to the next."""
    for code in (_READY, _RETRYING):
        queue, priority = "", -1
        while (found := db.execute(_NEXT_RANGE, (code, queue, priority)).fetchone()) is not None:
            queue, priority = found
            yield Range(code, queue, priority)


_DUE = """
SELECT run_at, id FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND run_at <= ? ORDER BY run_at, id LIMIT ?
"""


def due(db: sqlite3.Connection, limit: int, now: int) -> list[Entry]:
    """See ``Store.due``."""
    entries = []
    for queue, ranges in itertools.groupby(sorted(waiting_ranges(db), key=_by_queue), lambda one: one.queue):
        left = limit
        for priority, alike in itertools.groupby(ranges, lambda one: one.priority):
            found = sorted(row for one in alike for row in db.execute(_DUE, (*one, now, left)))[:left]
            entries += [Entry(rows.id_text(key), queue, priority, run_at) for run_at, key in found]
            left -= len(found)
            if not left:
                break
    return entries


def _by_queue(one: Range) -> tuple[str, int]:
    return one.queue, one.priority


_CLAIMABLE = """
SELECT run_at, id FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND run_at <= ?
  AND type IN (SELECT value FROM json_each(?)) AND crashes < ? ORDER BY run_at, id LIMIT ?
"""


def claimable_ids(
    db: sqlite3.Connection, limit: int, types: Collection[str], crashes_below: int, now: int
) -> list[str]:
    """Return the ids of up to ``limit`` due jobs of ``types``, from the best (priority, run_at) on."""
    wanted, ids = json.dumps(list(types)), list[str]()
    ranges = sorted(waiting_ranges(db), key=lambda one: one.priority)
    for _, alike in itertools.groupby(ranges, lambda one: one.priority):
        left = limit - len(ids)
        found = sorted(row for one in alike for row in db.execute(_CLAIMABLE, (*one, now, wanted, crashes_below, left)))
        ids += [rows.id_text(key) for _, key in found[:left]]
        if len(ids) == limit:
            break
    return ids


_PAGE = """
SELECT queue, priority, run_at, id FROM jobs WHERE state = ? AND (queue, priority, run_at, id) > (?, ?, ?, ?)
ORDER BY queue, priority, run_at, id LIMIT ?
"""


def waiting_after(
    db: sqlite3.Connection, position: ScanPosition | None, limit: int
) -> tuple[list[Entry], ScanPosition | None]:
    """See ``Store.waiting_after``. The scan goes along the index: all READY, then all RETRYING."""
    code, place = _READY, ("", -1, 0, b"")
    if position is not None:
        state, queue, priority, run_at, last_id = position
        code, place = STATE_CODES[state], (queue, priority, run_at, rows.id_bytes(last_id))
    entries = _page(db, code, place, limit)
    if len(entries) < limit and code == _READY:
        code, more = _RETRYING, _page(db, _RETRYING, ("", -1, 0, b""), limit - len(entries))
        entries += more
    if len(entries) < limit:
        return entries, None
    last = entries[-1]
    return entries, ScanPosition(rows.state(code), last.queue, last.priority, last.run_at, last.id)


def _page(db: sqlite3.Connection, code: int, place: tuple[str, int, int, bytes], limit: int) -> list[Entry]:
    found = db.execute(_PAGE, (code, *place, limit))
    return [Entry(rows.id_text(key), queue, priority, run_at) for queue, priority, run_at, key in found]


_DEPTHS = f"""
SELECT name, coalesce(sum(n) FILTER (WHERE state = {_READY}), 0), coalesce(sum(due) FILTER (WHERE state = {_READY}), 0),
  coalesce(sum(n) FILTER (WHERE state = {_RETRYING}), 0), coalesce(sum(n) FILTER (WHERE state = {_RUNNING}), 0),
  min(first) FILTER (WHERE state <> {_RUNNING} AND first <= ?1)
FROM queues LEFT JOIN (
  SELECT queue, state, count(*) AS n, sum(run_at <= ?1) AS due, min(run_at) AS first
  FROM jobs WHERE state IN ({_READY}, {_RETRYING}, {_RUNNING}) GROUP BY state, queue
) ON queue = name GROUP BY name ORDER BY name
"""  # noqa: S608 -- static text


def depths(db: sqlite3.Connection, now: int) -> list[QueueDepth]:
    """See ``Store.queues``. Counts the waiting and running jobs along the index: about 0.1 s for a million."""
    return [
        QueueDepth(
            name=name, ready=due_, scheduled=unclaimed - due_, retrying=retrying, running=running, oldest_due_at=oldest
        )
        for name, unclaimed, due_, retrying, running, oldest in db.execute(_DEPTHS, (now,))
    ]


FEW = 20_000
"""How many jobs of a state or queue are looked at and sorted, rather than looked for from the newest backwards."""

_COUNT_A_FEW = f"""
SELECT count(*) < {FEW} FROM (SELECT 1 FROM jobs INDEXED BY jobs_order WHERE %s LIMIT {FEW})
"""  # noqa: S608 -- static text
_LIST = f"""
SELECT {_COLUMNS} FROM jobs INDEXED BY %s WHERE %s ORDER BY created_at DESC, id DESC LIMIT ?
"""  # noqa: S608 -- static text


def list_jobs(db: sqlite3.Connection, which: Filter, limit: int, before: tuple[int, str] | None, now: int) -> list[Job]:
    """See ``Store.list_jobs``. A filter by type or label alone that matches nothing walks all jobs: 0.5 s a million."""
    places = _places(which)
    few = db.execute(_COUNT_A_FEW % places.sql, places.values).fetchone()[0] if which.states or which.queues else False
    conditions = [places, *_conditions(which, now)]
    if before is not None:
        conditions.append(_Condition("(created_at, id) < (?, ?)", (before[0], rows.id_bytes(before[1]))))
    sql = _LIST % ("jobs_order" if few else "jobs_newest", " AND ".join(one.sql for one in conditions))
    values = [value for one in conditions for value in one.values]
    return [rows.job(row) for row in db.execute(sql, (*values, limit))]


class _Condition(NamedTuple):
    """Static SQL with its values."""

    sql: str
    values: tuple[rows.Value, ...]


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


_LOST = f"""
SELECT {_COLUMNS} FROM jobs WHERE state = {_RUNNING}
  AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = jobs.node) LIMIT ?
"""  # noqa: S608 -- static text


def lost(db: sqlite3.Connection, limit: int) -> list[Job]:
    """Return up to ``limit`` running jobs whose node has no row."""
    return [rows.job(row) for row in db.execute(_LOST, (limit,))]


def waiting(found: Iterable[Job]) -> list[Job]:
    return [job for job in found if job.state in WAITING]
