"""Deleting jobs that have ended from MySQL.

They are looked for along the index ``jobs_order``, without locks: no job ends before its ``run_at`` but those that are
cancelled, so the old ones are at the front of each range, and no index is kept for this alone. Those that are really
old are then locked by primary key, with ``SKIP LOCKED``, and deleted: nobody waits for whom.
"""

from __future__ import annotations

import msgspec

from tickr.jobs import State
from tickr.store.contract import STATE_CODES, Pruned, ScanPosition
from tickr.store.mysql_jobs import keys_of
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import raw
from tickr.store.mysql_waiting import FIRST, LAST, along

MAX_RANGES = 50
"""How many ranges (of one queue and priority) a look goes through at most."""

LOCK_OLD = (
    "SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state = %s AND finished_at < %s "
    "AND NOT EXISTS (SELECT 1 FROM links AS l FORCE INDEX (PRIMARY) WHERE l.on_id = jobs.id LIMIT 1) "
    "AND NOT EXISTS (SELECT 1 FROM links AS v FORCE INDEX (links_waiter) WHERE v.waiter = jobs.id LIMIT 1) "
    "FOR UPDATE SKIP LOCKED"
)
# A join rather than IN: with that, MariaDB reads and locks the whole table while it is small, in spite of the index.
_DELETE = (
    "DELETE %s FROM JSON_TABLE(%%s, '$[*]' COLUMNS (id CHAR(32) CHARACTER SET ascii PATH '$')) AS x STRAIGHT_JOIN "
)
DELETE_JOBS = _DELETE % "j" + "jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id)"
DELETE_ATTEMPTS = _DELETE % "a" + "attempts AS a FORCE INDEX (PRIMARY) ON a.job_id = UNHEX(x.id)"
DELETE_CHILDREN = _DELETE % "c" + "children AS c FORCE INDEX (PRIMARY) ON c.parent = UNHEX(x.id)"
DELETE_CHILD = _DELETE % "c" + "children AS c FORCE INDEX (children_child) ON c.child = UNHEX(x.id)"
DELETE_LOG = _DELETE % "g" + "job_log AS g FORCE INDEX (PRIMARY) ON g.job_id = UNHEX(x.id)"


async def prune(tx: Transaction, state: State, before: int, limit: int, position: ScanPosition | None) -> Pruned:
    """See ``Store.prune_jobs``."""
    start = position or ScanPosition(state, "", -1, FIRST, "")
    until = LAST if state is State.CANCELLED else before
    seen, after = await along(tx, start, limit, until=until, max_ranges=MAX_RANGES)
    keys = keys_of([entry.id for entry in seen])
    locked = (await tx.run(LOCK_OLD, keys, STATE_CODES[state], before)).rows if keys else ()
    if not locked:
        return Pruned(0, after)
    old = msgspec.json.encode([raw(key).hex() for (key,) in locked]).decode()
    deleted = (await tx.run(DELETE_JOBS, old)).affected
    for statement in (DELETE_ATTEMPTS, DELETE_CHILDREN, DELETE_CHILD, DELETE_LOG):
        await tx.run(statement, old)
    return Pruned(deleted, after)
