"""What waits in MySQL, due or not, for the index and for claims without one.

All of it keeps to small ranges of the index ``jobs_order`` (state, queue, priority, run_at, id, type): each question
costs as much as its answer is long, however many jobs are stored. Nothing here locks. All SQL is static.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import NamedTuple

from tickr.jobs import WAITING, Entry, State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, ScanPosition
from tickr.store.mysql_queues import newest_first
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Row, number, raw, text, text_or_none

PRIORITIES = range(10)
_WAITING = sorted(STATE_CODES[state] for state in WAITING)

_RANGES = [(state, priority) for priority in PRIORITIES for state in _WAITING]

_FIRST_OF_RANGES = [
    "(SELECT run_at FROM jobs FORCE INDEX (jobs_order) "  # noqa: S608
    f"WHERE state = {state} AND queue = q.name AND priority = {priority} "
    "ORDER BY state, queue, priority, run_at LIMIT 1)"
    for state, priority in _RANGES
]
DUE_QUEUES = f"SELECT name FROM queues AS q WHERE {' OR '.join(f'{first} <= %s' for first in _FIRST_OF_RANGES)}"  # noqa: S608
"""The queues with due jobs: a look at the first entry of each range. (With EXISTS, MariaDB would read them all.)"""
_FIRSTS = ", ".join(f"COALESCE({first}, {2**62})" for first in _FIRST_OF_RANGES)
OLDEST_DUE = f"SELECT name, LEAST({_FIRSTS}) AS since FROM queues AS q HAVING since <= %s"  # noqa: S608
"""Likewise. (How GROUP BY is done depends on what is known of the table; of an old one it reads every entry.)"""


def _due_jobs(condition: str, order: str) -> str:
    """Return the head of a queue: the best few of each of its ranges, and of these the best."""
    ranges = " UNION ALL ".join(
        "(SELECT priority, run_at, id, limit_key FROM jobs FORCE INDEX (jobs_order) "  # noqa: S608
        f"WHERE state = {state} AND queue = %s AND priority = {priority} AND run_at <= %s{condition} "
        f"ORDER BY {order} LIMIT %s)"
        for state, priority in _RANGES
    )
    return f"{ranges} ORDER BY priority, {order} LIMIT %s"


_OLDEST, _NEWEST = "run_at, id", "run_at DESC, id DESC"
_OF_TYPES = " AND type IN %s"
_BUT_KEYS = f"{_OF_TYPES} AND (limit_key IS NULL OR limit_key NOT IN %s)"
_READABLE = f"{_BUT_KEYS} AND (extras IS NULL OR COALESCE(JSON_UNQUOTE(JSON_EXTRACT(extras, '$.sealed')), '') IN %s)"
"""Without those that are encrypted with other keys. Only then are rows looked at beside the index."""
DUE_IN_QUEUE, DUE_IN_QUEUE_OF_TYPES, DUE_IN_QUEUE_BUT_KEYS, DUE_IN_QUEUE_READABLE = (
    (_due_jobs(condition, _OLDEST), _due_jobs(condition, _NEWEST))
    for condition in ("", _OF_TYPES, _BUT_KEYS, _READABLE)
)
"""Each twice: for a queue that goes oldest first, and for one whose ranges are read from their other ends."""


class Head(NamedTuple):
    """The first jobs of a queue that are due, so many of them."""

    queue: str
    limit: int
    newest: bool = False


async def due_queues(tx: Transaction) -> list[str]:
    """Return the names of the queues that have due jobs."""
    return sorted(text(name) for (name,) in (await tx.run(DUE_QUEUES, *[tx.now] * len(_RANGES))).rows)


async def oldest_due(tx: Transaction) -> dict[str, int]:
    """Return since when the oldest due job of each queue that has one has been due."""
    return {text(name): number(since) for name, since in (await tx.run(OLDEST_DUE, tx.now)).rows}


async def due_in(
    tx: Transaction,
    head: Head,
    types: Collection[str] | None = None,
    full: Collection[str] = (),
    keys: Collection[str] | None = None,
) -> list[Entry]:
    """Return the due jobs at the head of a queue, by priority and in the queue's order. Locks nothing.

    Args:
      types: only those of these types; None: of any.
      full: keys whose jobs are passed over; only with ``types``.
      keys: pass over jobs that are encrypted with others than these; only with ``types``. None: pass over none.
    """
    queue, limit, newest = head
    each: tuple[Parameter, ...]
    if types is None:
        statement, each = DUE_IN_QUEUE, ()
    elif keys is not None:
        statement, each = DUE_IN_QUEUE_READABLE, (tuple(types), ("", *full), ("", *keys))
    elif full:
        statement, each = DUE_IN_QUEUE_BUT_KEYS, (tuple(types), tuple(full))
    else:
        statement, each = DUE_IN_QUEUE_OF_TYPES, (tuple(types),)
    found = await tx.run(statement[newest], *(queue, tx.now, *each, limit) * len(_RANGES), limit)
    return [_entry(queue, row) for row in found.rows]


def _entry(queue: str, row: Row) -> Entry:
    priority, run_at, key, limit_key = row
    return Entry(rows.id_text(raw(key)), queue, number(priority), number(run_at), text_or_none(limit_key))


async def due(tx: Transaction, limit: int) -> list[Entry]:
    """See ``Store.due``."""
    newest = await newest_first(tx)
    heads = [Head(queue, limit, newest=queue in newest) for queue in await due_queues(tx)]
    return [entry for head in heads for entry in await due_in(tx, head)]


# -- everything that waits ------------------------------------------------------------------------------------------

_IN_RANGE = (
    "(SELECT priority, run_at, id, limit_key FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state = %s AND queue = %s AND priority = %s AND "
)
REST_OF_RANGE = (
    _IN_RANGE
    + "run_at = %s AND id > %s ORDER BY run_at, id LIMIT %s) UNION ALL "
    + _IN_RANGE
    + "run_at > %s AND run_at < %s ORDER BY run_at, id LIMIT %s) ORDER BY run_at, id LIMIT %s"
)
"""From a place in one range to an instant, however many jobs share the instant of the place."""

NEXT_RANGE = (
    "(SELECT queue, priority FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s AND priority > %s "
    "ORDER BY priority LIMIT 1) UNION ALL "
    "(SELECT queue, priority FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue > %s "
    "ORDER BY queue, priority LIMIT 1) ORDER BY queue, priority LIMIT 1"
)

FIRST, LAST = -(2**62), 2**62
"""Before any instant, and after."""


async def waiting_after(
    tx: Transaction, position: ScanPosition | None, limit: int
) -> tuple[list[Entry], ScanPosition | None]:
    """See ``Store.waiting_after``. The scan goes along the index: all READY, then all RETRYING."""
    place = position or ScanPosition(State.READY, "", -1, FIRST, "")
    page, after = await along(tx, place, limit)
    if after is None and place.state is State.READY:
        retrying = ScanPosition(State.RETRYING, "", -1, FIRST, "")
        more, after = await along(tx, retrying, limit - len(page)) if len(page) < limit else ([], retrying)
        page += more
    return page, after


async def along(
    tx: Transaction, place: ScanPosition, limit: int, *, until: int = LAST, max_ranges: int | None = None
) -> tuple[list[Entry], ScanPosition | None]:
    """Walk along the jobs of one state by (queue, priority, run_at, id), from ``place`` on.

    Args:
      limit: at most so many jobs, >= 1.
      until: pass over those whose ``run_at`` is not before it.
      max_ranges: go through so many ranges at most; None: until the page is full.
    Returns: the jobs, and the place after them; None at the end of the state.
    """
    page: list[Entry] = []
    code = STATE_CODES[place.state]
    for _ in itertools.count() if max_ranges is None else range(max_ranges):
        key, left = rows.id_bytes(place.id), limit - len(page)
        of_range = (code, place.queue, place.priority)
        rest = (*of_range, place.run_at, key, left, *of_range, place.run_at, until, left, left)
        page += [_entry(place.queue, row) for row in (await tx.run(REST_OF_RANGE, *rest)).rows]
        if len(page) == limit:
            last = page[-1]
            return page, ScanPosition(place.state, last.queue, last.priority, last.run_at, last.id)
        following = (await tx.run(NEXT_RANGE, *of_range, code, place.queue)).rows
        if not following:
            return page, None
        queue, priority = following[0]
        place = ScanPosition(place.state, text(queue), number(priority), FIRST, "")
    return page, place
