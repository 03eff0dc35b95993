"""Claims and outcomes in SQLite. Run inside ``SqliteFile``'s transactions; the events are written by their caller.

A batch goes in and comes out by single statements. The thread gives Python's lock away for the time of each statement,
and when the event loop is busy it has to wait to get it back: row by row, a batch would take as many turns.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from tickr.errors import StoreError
from tickr.events import Change
from tickr.jobs import Job, NewJob, State
from tickr.reports import Outcome
from tickr.store import changes, ended, rows, sqlite_ended, sqlite_jobs, sqlite_queues
from tickr.store.claimant import Claimant
from tickr.store.contract import STATE_CODES, Start
from tickr.store.sqlite_reads import BY_IDS, jobs_by_id

INLINE = 1_500
"""A job with a longer text, in characters, comes as a row of its own: one value must not hold a batch of payloads."""
SHARED_SUCCESS_MIN = 8
"""From how many alike successes on a statement of their own is the cheaper way."""

_RUNNING, _SUCCEEDED = STATE_CODES[State.RUNNING], STATE_CODES[State.SUCCEEDED]
_TEXTS = ("backoff", "labels", "error", "result", "payload", "progress", "extras")
_LONGEST = "max(" + ", ".join(f"ifnull(length({name}), 0)" for name in _TEXTS) + f") > {INLINE}"
_CELLS = ", ".join(
    f"iif({_LONGEST}, NULL, {name})" if name in _TEXTS else "hex(id)" if name == "id" else name for name in rows.COLUMNS
)
_AS_JSON = f"SELECT json_group_array(json_array({_CELLS}, {_LONGEST})) FROM" + BY_IDS.partition("FROM")[2]
_KEYS = BY_IDS.partition("WHERE ")[2]

_IS_KNOWN = "SELECT 1 FROM nodes WHERE id = ?"
# What ``jobs.started`` and ``jobs.succeeded`` do to a record, as SQL.
_START = f"""
UPDATE jobs SET state = {_RUNNING}, version = version + 1, fence = fence + 1, attempt = attempt + 1, node = ?3,
  started_at = ?4, finished_at = NULL, cancel_requested = 0, progress = NULL
WHERE {_KEYS}
"""  # noqa: S608 -- static text
_SUCCEED_ALIKE = f"""
UPDATE jobs SET state = {_SUCCEEDED}, version = version + 1, result = ?3, error = NULL, finished_at = ?4,
  cancel_requested = 0
WHERE {_KEYS} AND version = ?5 AND fence = ?6 AND node = ?7 AND +state = {_RUNNING}
"""  # noqa: S608 -- static text
_SUCCEED_EACH = f"""
UPDATE jobs SET state = {_SUCCEEDED}, version = jobs.version + 1, result = x.result, error = NULL, finished_at = ?3,
  cancel_requested = 0
FROM (
  SELECT substr(?1, key * 16 + 1, 16) AS id, json_extract(value, '$[0]') AS version,
    json_extract(value, '$[1]') AS fence, json_extract(value, '$[2]') AS result,
    json_extract(value, '$[3]') AS started_at
  FROM json_each(?2)
) AS x
WHERE jobs.id = x.id AND jobs.version = x.version AND jobs.fence = x.fence AND jobs.started_at = x.started_at
  AND +state = {_RUNNING}
"""  # noqa: S608 -- static text; "+state" keeps it off the index of states: by id is the way

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


def claim(db: sqlite3.Connection, ids: Iterable[str], claimant: Claimant, now: int) -> tuple[list[Job], list[Change]]:
    """See ``Store.claim``. Returns the jobs, and what has been written of them.

    Raises: StoreError: one of them was not as it was read; cannot happen in a transaction.
    """
    node = claimant.node
    if not is_known(db, node):
        return [], []
    found = _jobs(db, ids)
    gates = sqlite_queues.gates_of(db, found, now)
    made = changes.claim(found, now=now, gates=gates, **claimant._asdict())
    starts, others = changes.started(made)
    if starts:
        count = db.execute(_START, (len(starts), _keys(starts), node, now)).rowcount
        _expect(count, len(starts))
        sqlite_queues.keep_starts(db, gates)
    move(db, others)
    return [change.after for change in starts], made


def is_known(db: sqlite3.Connection, node: str) -> bool:
    """Whether ``node`` has a row: without one it would lose at once what it starts."""
    return db.execute(_IS_KNOWN, (node,)).fetchone() is not None


def may_start(db: sqlite3.Connection, new: Sequence[NewJob], start: Start | None) -> Start | None:
    """Return which of ``new`` may begin as ``start`` wishes; None if none: its node has no row, their queues gates."""
    if start is None or not is_known(db, start.node):
        return None
    held = sqlite_queues.controlled(db)
    return changes.past_gates(start, new, held)


def _jobs(db: sqlite3.Connection, ids: Iterable[str]) -> list[Job]:
    """Return those of ``ids`` that are stored."""
    keys = {key for key in map(rows.id_bytes, ids) if key}
    if not keys:
        return []
    (document,) = db.execute(_AS_JSON, (len(keys), b"".join(keys))).fetchone()
    found: list[Job] = []
    long: list[str] = []
    for cells in _decode(document):
        if cells.pop():
            long.append(cells[0])
        else:
            found.append(rows.job_of_json(cells))
    return [*found, *jobs_by_id(db, long).values()] if long else found


def finish(db: sqlite3.Connection, outcomes: Sequence[Outcome], now: int) -> tuple[list[Job | None], list[Change]]:
    """See ``Store.finish``. Returns the jobs, and what has been written of them.

    Successes are written as their worker believes the jobs to be, by compare-and-set; only when one does not take are
    all of them looked at. Parents and those that may have written their end are looked at always: the worker's record
    does not tell their children, nor what a handler has written.
    """
    sure = [one for one in outcomes if not (one.of_parent or one.may_have_ended)]
    believed = {one.job.id: one.job for one in sure if one.kind == "succeeded"}
    stored = jobs_by_id(db, [one.job.id for one in outcomes if one.job.id not in believed])
    written = sqlite_ended.take(db, ended.asked(outcomes, stored))
    made = changes.finish(outcomes, stored | believed, now, written)
    successes = [one for one in made if one is not None and one.after.state is State.SUCCEEDED]
    others = [one for one in made if one is not None and one.after.state is not State.SUCCEEDED]
    db.execute("SAVEPOINT believed")
    if _succeed(db, successes, now) != len(successes):
        db.execute("ROLLBACK TO believed")
        made = changes.finish(outcomes, jobs_by_id(db, [one.job.id for one in outcomes]), now, written)
        others = [one for one in made if one is not None]
    db.execute("RELEASE believed")
    move(db, others)
    if relocated := changes.relocated(outcomes, made):
        sqlite_jobs.register(db, relocated, now)
    sqlite_queues.hold(db, changes.holds(outcomes, made), now)
    return [None if one is None else one.after for one in made], [one for one in made if one is not None]


def _succeed(db: sqlite3.Connection, successes: Sequence[Change], now: int) -> int:
    """Write successes where version and fence are still what they were, and it is the same job. Return how many took.

    Another one that came later under its id has begun later, and elsewhere: its node had lost it.
    """
    groups = defaultdict[tuple[str | None, int, int, str | None], list[Change]](list)
    for change in successes:
        assert change.before is not None
        before = change.before
        groups[change.after.result, before.version, before.fence, before.node].append(change)
    taken = 0
    singly: list[Change] = []
    for (result, version, fence, node), group in groups.items():
        if len(group) < SHARED_SUCCESS_MIN:
            singly += group
            continue
        taken += db.execute(_SUCCEED_ALIKE, (len(group), _keys(group), result, now, version, fence, node)).rowcount
    if singly:
        each = [(one.after.version - 1, one.after.fence, one.after.result, one.after.started_at) for one in singly]
        taken += db.execute(_SUCCEED_EACH, (_keys(singly), _encode(each).decode(), now)).rowcount
    return taken


_MOVE = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in rows.MOVING)} WHERE id = ? AND version = ? AND fence = ?"  # noqa: S608


def move(db: sqlite3.Connection, made: Sequence[Change]) -> None:
    """Write what ``made`` does to jobs that were read in this transaction; new ones are left out.

    Raises: StoreError: one of them was not as it was read; cannot happen in a transaction.
    """
    moved = [
        (*rows.of_move(change.after), rows.id_bytes(before.id), before.version, before.fence)
        for change in made
        if (before := change.before) is not None
    ]
    if moved:
        _expect(db.executemany(_MOVE, moved).rowcount, len(moved))


def _keys(made: Sequence[Change]) -> bytes:
    return b"".join([rows.id_bytes(change.after.id) for change in made])


def _expect(count: int, wanted: int) -> None:
    if count != wanted:
        raise StoreError(f"only {count} of {wanted} jobs were still as this transaction had read them")
