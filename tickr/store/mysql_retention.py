"""Deleting jobs that have ended from MySQL: part of ``MysqlStore``.

They are looked for along the index ``jobs_order``, without locks: no job ends before its ``run_at`` but those that are
cancelled, so the old ones are at the front of each range, and no index is kept for this alone. Those that are really
old are then locked by primary key, with ``SKIP LOCKED``, and deleted: nobody waits for whom. Jobs that have an age of
their own have a row in ``removals``, which comes and goes with the moves that end them and start them over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tickr.jobs import FINAL, State
from tickr.store import mysql_last_kept, rows
from tickr.store.contract import STATE_CODES, Edge, Pruned, Removed, ScanPosition
from tickr.store.mysql_jobs import DELETE_REMOVALS, keys_of, write_timed
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, raw
from tickr.store.mysql_waiting import FIRST, LAST, along
from tickr.store.written import Removal

MAX_RANGES = 50
"""How many ranges (of one queue and priority) a look goes through at most."""

_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
_LET_GO = (
    "AND NOT EXISTS (SELECT 1 FROM links AS l FORCE INDEX (PRIMARY) WHERE l.on_id = jobs.id LIMIT 1) "
    "AND NOT EXISTS (SELECT 1 FROM links AS v FORCE INDEX (links_waiter) WHERE v.waiter = jobs.id LIMIT 1) "
    "FOR UPDATE SKIP LOCKED"
)
_NO_AGE = "AND (extras IS NULL OR JSON_EXTRACT(extras, '$.keep_us') IS NULL) "
_OF_STATE = "SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state = %s "
LOCK_OLD = f"{_OF_STATE}AND finished_at < %s {_NO_AGE}{_LET_GO}"
LOCK_BEYOND = f"{_OF_STATE}AND (run_at < %s OR (run_at = %s AND id <= %s)) {_NO_AGE}{_LET_GO}"
DUE = (
    "SELECT remove_at, job_id FROM removals FORCE INDEX (PRIMARY) WHERE remove_at BETWEEN %s AND %s "
    "AND (remove_at > %s OR job_id > %s) ORDER BY remove_at, job_id LIMIT %s"
)
_OVER = (
    "SELECT finished_at + CAST(JSON_EXTRACT(extras, '$.keep_us') AS SIGNED), id FROM jobs FORCE INDEX (PRIMARY) "  # noqa: S608
    f"WHERE id IN %s AND state IN ({_FINAL}) AND JSON_EXTRACT(extras, '$.keep_us') IS NOT NULL "
)
LOCK_OVER = _OVER + _LET_GO
STILL_OVER = _OVER
# A join rather than IN: with that, MariaDB reads and locks the whole table while it is small, in spite of the index.
_DELETE = (
    "DELETE %s FROM JSON_TABLE(%%s, '$[*]' COLUMNS (id CHAR(32) CHARACTER SET ascii PATH '$')) AS x STRAIGHT_JOIN "
)
DELETE_JOBS = _DELETE % "j" + "jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id)"
DELETE_ATTEMPTS = _DELETE % "a" + "attempts AS a FORCE INDEX (PRIMARY) ON a.job_id = UNHEX(x.id)"
DELETE_CHILDREN = _DELETE % "c" + "children AS c FORCE INDEX (PRIMARY) ON c.parent = UNHEX(x.id)"
DELETE_CHILD = _DELETE % "c" + "children AS c FORCE INDEX (children_child) ON c.child = UNHEX(x.id)"
DELETE_LOG = _DELETE % "g" + "job_log AS g FORCE INDEX (PRIMARY) ON g.job_id = UNHEX(x.id)"
DELETE_WAITS = _DELETE % "v" + "links AS v FORCE INDEX (links_waiter) ON v.waiter = UNHEX(x.id)"


class MysqlRetention:
    """``Retention`` of the contract."""

    _transactions: Transactions
    _worked_s: float

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        async def work(tx: Transaction) -> Pruned:
            return await prune(tx, state, before, limit, position)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)

    async def last_beyond(self, state: State, count: int) -> Edge | None:
        async def work(tx: Transaction) -> Edge | None:
            return await mysql_last_kept.last_beyond(tx, state, count)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def prune_beyond(self, state: State, edge: Edge, limit: int, position: ScanPosition | None = None) -> Pruned:
        async def work(tx: Transaction) -> Pruned:
            start, last = position or ScanPosition(state, "", -1, FIRST, ""), rows.id_bytes(edge.id)
            # What is at its very instant is looked at as well; which of it goes is decided by the id.
            seen, after = await along(tx, start, limit, until=edge.run_at + 1, max_ranges=MAX_RANGES)
            keys = keys_of([entry.id for entry in seen])
            beyond = (keys, STATE_CODES[state], edge.run_at, edge.run_at, last)
            locked = (await tx.run(LOCK_BEYOND, *beyond)).rows if keys else ()
            return Pruned(await _delete(tx, [raw(key) for (key,) in locked]), after)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)

    async def remove_due(self, limit: int, place: Removal | None = None) -> Removed:
        return await self._transactions.run(lambda tx: _remove_due(tx, limit, place), within_s=self._worked_s)


async def prune(tx: Transaction, state: State, before: int, limit: int, position: ScanPosition | None) -> Pruned:
    """See ``Store.prune_jobs``."""
    start = position or ScanPosition(state, "", -1, FIRST, "")
    until = LAST if state is State.CANCELLED else before
    seen, after = await along(tx, start, limit, until=until, max_ranges=MAX_RANGES)
    keys = keys_of([entry.id for entry in seen])
    locked = (await tx.run(LOCK_OLD, keys, STATE_CODES[state], before)).rows if keys else ()
    return Pruned(await _delete(tx, [raw(key) for (key,) in locked]), after)


async def _delete(tx: Transaction, locked: Sequence[bytes], *more: str) -> int:
    """Delete jobs that are locked, with what goes with them, and by the statements ``more``. Returns how many."""
    if not locked:
        return 0
    old = msgspec.json.encode([key.hex() for key in locked]).decode()
    deleted = (await tx.run(DELETE_JOBS, old)).affected
    for statement in (DELETE_ATTEMPTS, DELETE_CHILDREN, DELETE_CHILD, DELETE_LOG, *more):
        await tx.run(statement, old)
    return deleted


async def _remove_due(tx: Transaction, limit: int, place: Removal | None) -> Removed:
    """Delete jobs and their rows, and rows that have lost theirs: a node of an older version does not know of them."""
    at, last = (FIRST, b"") if place is None else (place[0], rows.id_bytes(place[1]))
    due = [(number(at), raw(key)) for at, key in (await tx.run(DUE, at, tx.now, at, last, limit)).rows]
    if not due:
        return Removed(0, None)
    wanted = set(due)
    locked = {(number(at), raw(key)) for at, key in (await tx.run(LOCK_OVER, _keys(due))).rows} & wanted
    deleted = await _delete(tx, sorted(key for _, key in locked))
    gone, others = [*locked], [one for one in due if one not in locked]
    if others:
        still = {(number(at), raw(key)) for at, key in (await tx.run(STILL_OVER, _keys(others))).rows}
        gone += [one for one in others if one not in still]
    await write_timed(tx, DELETE_REMOVALS, [(at, rows.id_text(key)) for at, key in gone])
    end = due[-1]
    return Removed(deleted, None if len(due) < limit else (end[0], rows.id_text(end[1])))


def _keys(removals: Sequence[tuple[int, bytes]]) -> tuple[bytes, ...]:
    return tuple(sorted(key for _, key in removals))


async def erase(tx: Transaction, keys: Sequence[bytes]) -> None:
    """Delete these jobs, which are locked, whatever they are, with all that is kept of them but checkpoints."""
    await _delete(tx, keys, DELETE_WAITS)
