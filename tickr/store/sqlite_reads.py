"""The questions that SQLite answers: statements and how their rows are read. Run inside ``SqliteFile``'s transactions.

All of them keep to small ranges of the index ``jobs_order`` (state, queue, priority, run_at, id), so that they stay
cheap with millions of jobs stored; lists are in ``sqlite_lists.py``. Many ids go in as one parameter, their bytes in a
row.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tickr.errors import JobNotFound
from tickr.jobs import MAX_CRASHES, SUSPECT_CRASHES, WAITING, Entry, Job, State
from tickr.names import may_run
from tickr.queues import Gate, in_order
from tickr.store import rows
from tickr.store.answers import counted_farther, counted_to
from tickr.store.changes import NO_GATES
from tickr.store.claimant import Claimant
from tickr.store.contract import STATE_CODES, QueueDepth, ScanPosition
from tickr.store.sqlite_queues import newest_first

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


def existing(db: sqlite3.Connection, job_id: str) -> Job:
    """Raises: JobNotFound."""
    job = jobs_by_id(db, [job_id]).get(job_id)
    if job is None:
        raise JobNotFound(job_id)
    return job


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
    """Yield the ranges that hold waiting jobs."""
    return ranges_of(db, _READY, _RETRYING)


def ranges_of(db: sqlite3.Connection, *codes: int) -> Iterator[Range]:
    """Yield the ranges that hold jobs of these states, by jumping from one to the next."""
    for code in codes:
        found = next_range(db, code, "", -1)
        while found is not None:
            yield found
            found = next_range(db, *found)


def next_range(db: sqlite3.Connection, state: int, queue: str, priority: int) -> Range | None:
    """Return the first range of ``state`` after that of ``queue`` and ``priority`` that holds jobs."""
    found = db.execute(_NEXT_RANGE, (state, queue, priority)).fetchone()
    return None if found is None else Range(state, *found)


_OLDEST, _NEWEST = " ORDER BY run_at, id LIMIT ?", " ORDER BY run_at DESC, id DESC LIMIT ?"
"""Ends of statements; a range is read from its other end where the newest goes first."""
_DUE = """
SELECT run_at, id, limit_key FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND run_at <= ?
"""


def due(db: sqlite3.Connection, limit: int, now: int) -> list[Entry]:
    """See ``Store.due``."""
    entries, newest = list[Entry](), newest_first(db)
    for queue, ranges in itertools.groupby(sorted(waiting_ranges(db), key=_by_queue), lambda one: one.queue):
        left, last_first = limit, queue in newest
        statement = _DUE + (_NEWEST if last_first else _OLDEST)
        for priority, alike in itertools.groupby(ranges, lambda one: one.priority):
            some = (row for one in alike for row in db.execute(statement, (*one, now, left)))
            found = sorted(some, key=lambda row: row[:2], reverse=last_first)[:left]
            entries += [
                Entry(rows.id_text(key), queue, priority, run_at, limit_key) for run_at, key, limit_key in found
            ]
            left -= len(found)
            if not left:
                break
    return entries


def _by_queue(one: Range) -> tuple[str, int]:
    return one.queue, one.priority


_CLAIMABLE = """
SELECT run_at, id FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND run_at <= ?
  AND type IN (SELECT value FROM json_each(?))
  AND (extras IS NULL OR json_extract(extras, '$.sealed') IS NULL
    OR json_extract(extras, '$.sealed') IN (SELECT value FROM json_each(?)))
  AND crashes < ?
  AND (limit_key IS NULL OR limit_key NOT IN (SELECT value FROM json_each(?)))
"""


def claimable_ids(
    db: sqlite3.Connection,
    limit: int,
    claimant: Claimant,
    now: int,
    queues: Mapping[str, int] | None = None,
    gates: Mapping[str, Gate] = NO_GATES,
) -> list[str]:
    """Return the ids of up to ``limit`` due jobs that ``claimant`` may have, as ``queues.in_order`` has them.

    Args:
      queues: from which queues, and how many of each; None: from all.
      gates: of the queues that have one.
    """
    wanted, ids = (json.dumps(list(claimant.types)), json.dumps(list(claimant.keys))), list[str]()
    crashes_below = SUSPECT_CRASHES if claimant.suspects == 0 else MAX_CRASHES
    newest = newest_first(db)
    rooms = {name: gate.room for name, gate in gates.items()}
    full = {name: json.dumps(gate.full_keys) for name, gate in gates.items()}
    if queues is not None:
        rooms = {name: min(most, rooms.get(name, most)) for name, most in queues.items()}
    mine = (one for one in waiting_ranges(db) if may_run(claimant.node, one.queue))
    ranges = sorted(mine, key=lambda one: one.priority)
    for priority, alike in itertools.groupby(ranges, lambda one: one.priority):
        left, found = limit - len(ids), list[Entry]()
        for one in alike:
            room = min(left, rooms.get(one.queue, left if queues is None else 0))
            if room > 0:
                values = (*one, now, *wanted, crashes_below, full.get(one.queue, "[]"), room)
                rest = db.execute(_CLAIMABLE + (_NEWEST if one.queue in newest else _OLDEST), values)
                found += [Entry(rows.id_text(key), one.queue, priority, run_at, None) for run_at, key in rest]
        for entry in itertools.islice(in_order(found, newest), left):
            if entry.queue not in rooms or rooms[entry.queue] > 0:
                ids.append(entry.id)
                if entry.queue in rooms:
                    rooms[entry.queue] -= 1
        if len(ids) == limit:
            break
    return ids


_QUEUES = "SELECT name FROM queues ORDER BY name"
_PAGE = """
SELECT queue, priority, run_at, id, limit_key FROM jobs
WHERE state = ? AND (queue, priority, run_at, id) > (?, ?, ?, ?)
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
    return [
        Entry(rows.id_text(key), queue, priority, run_at, limit_key)
        for queue, priority, run_at, key, limit_key in found
    ]


_BEFORE = """
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND (run_at, id) < (?, ?)
  AND run_at <= ? LIMIT ?)
"""


_NEWER = """
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND (run_at, id) > (?, ?)
  AND run_at <= ? LIMIT ?)
"""


def ahead(db: sqlite3.Connection, job: Job, count_to: int, now: int) -> int:
    """See ``Store.ahead``."""
    total, own = 0, _NEWER if job.queue in newest_first(db) else _BEFORE
    for one in ranges_of(db, _READY, _RETRYING):
        if one.queue == job.queue and one.priority <= job.priority and total < count_to:
            is_own = one.priority == job.priority
            place = (job.run_at, rows.id_bytes(job.id)) if is_own else (_LAST, b"")
            values = (*one, *place, now, count_to - total)
            (count,) = db.execute(own if is_own else _BEFORE, values).fetchone()
            total += count
    return total


_LAST = 2**62
_ENDS = """
SELECT (SELECT min(run_at) FROM jobs WHERE state = ?1 AND queue = ?2 AND priority = ?3), count(*) FROM
  (SELECT 1 FROM jobs WHERE state = ?1 AND queue = ?2 AND priority = ?3 AND run_at <= ?4 LIMIT ?5)
"""
_LATER = """
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = ? AND queue = ? AND priority = ? AND run_at > ? LIMIT ?)
"""


def depths(db: sqlite3.Connection, count_to: int, now: int) -> list[QueueDepth]:
    """See ``Store.queues``. Counts along the index, and no range further than the answer needs."""
    ranges = list(ranges_of(db, _READY, _RETRYING, _RUNNING))
    far = counted_to(count_to, 2 * len(ranges))
    held = {one: _held(db, one, now, far) for one in ranges}
    deep = [one for one, (_, due_, later) in held.items() if max(due_, later) >= far]
    parts = sum((due_ >= far) + (later >= far) for _, due_, later in held.values())
    if (farther := counted_farther(count_to, far, parts)) > far:
        far = farther
        held |= {one: _held(db, one, now, far) for one in deep}
    of_queue: dict[str, list[tuple[int, int, int, int]]] = {name: [] for (name,) in db.execute(_QUEUES)}
    for one, counted in held.items():
        of_queue.setdefault(one.queue, []).append((one.state, *counted))
    return [_depth(name, of_queue[name], far, now) for name in sorted(of_queue)]


def _held(db: sqlite3.Connection, one: Range, now: int, far: int) -> tuple[int, int, int]:
    """Return the first ``run_at`` of a range, and how many of it are due and not, counted to ``far``."""
    first, due_ = db.execute(_ENDS, (*one, now, far)).fetchone()
    (later,) = db.execute(_LATER, (*one, now, far)).fetchone()
    return first, due_, later


def _depth(name: str, ranges: list[tuple[int, int, int, int]], count_to: int, now: int) -> QueueDepth:
    """``ranges``: state, first ``run_at``, how many are due and how many are not, of each."""

    def total(*counts: int) -> int:
        return min(sum(counts), count_to)

    firsts = [first for state, first, _, _ in ranges if state != _RUNNING and first <= now]
    return QueueDepth(
        name=name,
        ready=total(*(due_ for state, _, due_, _ in ranges if state == _READY)),
        scheduled=total(*(later for state, _, _, later in ranges if state == _READY)),
        retrying=total(*(due_ + later for state, _, due_, later in ranges if state == _RETRYING)),
        running=total(*(due_ + later for state, _, due_, later in ranges if state == _RUNNING)),
        oldest_due_at=min(firsts, default=None),
        counted_to=count_to,
    )


_LOST = f"""
SELECT {_COLUMNS} FROM jobs WHERE state = {_RUNNING}
  AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = jobs.node) LIMIT ?
"""  # noqa: S608 -- static text


def lost(db: sqlite3.Connection, limit: int) -> list[Job]:
    """Return up to ``limit`` running jobs whose node has no row."""
    return [rows.job(row) for row in db.execute(_LOST, (limit,))]


def waiting(found: Iterable[Job]) -> list[Job]:
    return [job for job in found if job.state in WAITING]
