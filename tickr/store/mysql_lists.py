"""Lists of jobs from MySQL, newest first.

A list without a filter walks the index ``jobs_newest`` from its end. With one by state or queue that few jobs can pass,
their ids are taken from ``jobs_order``, and the jobs sorted; those of one parent from ``children``. Otherwise the
newest jobs are looked through, a window at a time, so many for a page and not more: a filter that fits nothing costs
the same however many jobs are stored. Dead letters are counted from ``jobs_dead`` alone; what is asked for beside that,
by looking at jobs. Which index is said each time; the optimizer would rather read all that waits than the newest
hundred. All SQL is static: conditions are chosen, never written.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

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
    place_of,
    start_of,
    window_sizes,
)
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_jobs import JOB_ROWS, ROWS_BY_IDS, of_row
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Result, Row, number, raw, text, text_or_none

Condition = tuple[str, tuple[Parameter, ...]]
"""Static SQL with its values."""

_READY, _FAILED = STATE_CODES[State.READY], STATE_CODES[State.FAILED]

FEW = 5_000
"""How many jobs of a state or queue are looked at and sorted, rather than looked for from the newest backwards."""

MOST_RANGES = 20
"""So many states of queues are looked at one by one; more are taken for many jobs."""

NEWEST = JOB_ROWS + "FORCE INDEX (jobs_newest) WHERE TRUE"
NEWEST_FIRST = " ORDER BY created_at DESC, id DESC LIMIT %s"
# Single ranges: given lists of states and queues, MariaDB may prefer to read the whole index.
IN_STATE = "(SELECT id AS few_id FROM jobs FORCE INDEX (jobs_order) WHERE state = %s LIMIT %s)"
IN_QUEUE = "(SELECT id AS few_id FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s LIMIT %s)"
OF_PARENT = "SELECT child AS few_id FROM children FORCE INDEX (PRIMARY) WHERE parent = %s"
AND = " UNION ALL "
SOME = "SELECT few_id FROM ({}) AS some LIMIT %s"
COUNT_FEW = "SELECT COUNT(*) FROM ({}) AS few"
AMONG_FEW = (
    "SELECT created_at, id FROM ({}) AS few STRAIGHT_JOIN jobs FORCE INDEX (PRIMARY) ON jobs.id = few_id WHERE TRUE"
)
"""Places alone: payloads need not be sorted with them."""
END = "SELECT created_at, id FROM jobs FORCE INDEX (jobs_newest) WHERE TRUE"
BEYOND = " LIMIT 1 OFFSET %s"

OLDER = " AND created_at <= %s AND (created_at < %s OR id < %s)"
SINCE = " AND created_at >= %s AND (created_at > %s OR id >= %s)"
STATES = " AND state IN %s"
TYPES = " AND type IN %s"
QUEUES = " AND queue IN %s"
NOT_YET_DUE = " AND (state <> 1 OR run_at > %s)"
DUE_IF_READY = " AND (state <> 1 OR run_at <= %s)"
LABEL = " AND JSON_CONTAINS(labels, %s)"
LABEL_THERE = " AND JSON_CONTAINS(JSON_KEYS(labels), %s)"
KIND = "LEFT(/*M!100600 JSON_VALUE(error, '$.kind') */ /*!80000 JSON_UNQUOTE(JSON_EXTRACT(error, '$.kind')) */, 64)"
"""MariaDB's JSON_VALUE ends at the kind, before the traceback; MySQL has none before 8.0.21. As long as ``dead_kind``:
what has no bound is put into groups on the disk."""
ERRORS = f" AND {KIND} IN %s"
SCHEDULES = " AND JSON_UNQUOTE(JSON_EXTRACT(extras, '$.schedule')) IN %s"
CREATED_AFTER, CREATED_BEFORE = " AND created_at >= %s", " AND created_at < %s"
FINISHED_AFTER, FINISHED_BEFORE = (
    " AND finished_at > 0 AND finished_at >= %s",
    " AND finished_at > 0 AND finished_at < %s",
)

GROUPS = (
    "SELECT state, state = 1 AND run_at > %s AS later, type, " + KIND + " AS kind, COUNT(*), "
    "MIN(IF(finished_at > 0, finished_at, created_at)), MAX(IF(finished_at > 0, finished_at, created_at)), MAX(id) "
    "FROM ({}) AS few STRAIGHT_JOIN jobs FORCE INDEX (PRIMARY) ON jobs.id = few_id WHERE TRUE"
)
GROUP = " GROUP BY state, later, type, kind"

_DEAD = "FROM jobs FORCE INDEX (jobs_dead) WHERE dead_kind >= ''"
DEAD_KINDS = " AND dead_kind IN %s"
MANY_DEAD = "SELECT 1 " + _DEAD
DEAD_GROUPS = "SELECT dead_kind, type, COUNT(*), MIN(finished_at), MAX(finished_at), MAX(id) "
ALL_DEAD = DEAD_GROUPS + _DEAD
SOME_DEAD = f"{DEAD_GROUPS}FROM (SELECT dead_kind, type, queue, finished_at, id {_DEAD}"
AMONG_SOME_DEAD = " LIMIT %s) AS some WHERE TRUE"
DEAD_GROUP = " GROUP BY dead_kind, type"


async def list_jobs(tx: Transaction, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
    """See ``Store.list_jobs``."""
    older = _older(before)
    if which.empty:
        return page_of(await _found(tx, NEWEST, older, limit + 1), limit)
    conditions, before = _conditions(which, tx.now), start_of(which, before)
    older = _older(before)
    if which.parent is not None:
        return await _among(tx, _children(which.parent), [*conditions, *older], limit)
    if which.states or which.queues:
        most = min(FEW, look_at)
        few = _union(which, most + 1)
        if few is not None and number((await tx.run(COUNT_FEW.format(few[0]), *few[1])).rows[0][0]) <= most:
            return await _among(tx, few, [*conditions, *older], limit)
    return await _walk(tx, conditions, limit, before, look_at, which.created_after)


async def tally(tx: Transaction, which: Filter, most: int | None) -> Tally:
    """See ``Store.tally``. A state at a time, so that each has its own bound."""
    exact, found = True, list[Group]()
    if which.parent is not None:
        few, values = _children(which.parent)
        conditions = _conditions(which, tx.now)
        of_children = await _run(tx, GROUPS.format(few), [("", (tx.now, *values)), *conditions, (GROUP, ())])
        return Tally(sorted(map(_group, of_children.rows), key=largest_first), True)
    for code in _codes(which) or sorted(STATE_CODES.values()):
        bound = most or most_of(rows.state(code), which)
        count = _count_dead if code == _FAILED and which.of_dead_letters else _count
        groups, all_ = await count(tx, code, which, bound)
        exact, found = exact and all_, [*found, *groups]
    return Tally(sorted(found, key=largest_first), exact)


async def _count(tx: Transaction, code: int, which: Filter, most: int) -> Tally:
    """Look at ``most`` jobs of a state."""
    conditions = _conditions(which, tx.now)
    only = msgspec.structs.replace(which, states=(rows.state(code),))
    ranges = _union(only, most + 1) or _union(msgspec.structs.replace(only, queues=()), most + 1)
    assert ranges is not None, "one range is not too many"
    few = SOME.format(ranges[0])
    exact = number((await tx.run(COUNT_FEW.format(few), *ranges[1], most + 1)).rows[0][0]) <= most
    groups = await _run(tx, GROUPS.format(few), [("", (tx.now, *ranges[1], most)), *conditions, (GROUP, ())])
    return Tally([_group(row) for row in groups.rows], exact)


async def _count_dead(tx: Transaction, _code: int, which: Filter, most: int) -> Tally:
    """Go along the index of dead letters, past ``most`` of the wanted kinds."""
    kinds: list[Condition] = [(DEAD_KINDS, (which.errors,))] if which.errors else []
    conditions = _conditions(msgspec.structs.replace(which, states=(), errors=()), tx.now)
    many = bool((await _run(tx, MANY_DEAD, [*kinds, (BEYOND, (most,))])).rows)
    if many:
        found = await _run(tx, SOME_DEAD, [*kinds, (AMONG_SOME_DEAD, (most,)), *conditions, (DEAD_GROUP, ())])
    else:
        found = await _run(tx, ALL_DEAD, [*kinds, *conditions, (DEAD_GROUP, ())])
    return Tally([_dead_group(row) for row in found.rows], not many)


def _dead_group(row: Row) -> Group:
    kind, type_, count, oldest_at, newest_at, key = row
    span = number(oldest_at), number(newest_at)
    return Group(State.FAILED, text(type_), text(kind) or None, number(count), *span, rows.id_text(raw(key)))


def _group(row: Row) -> Group:
    code, later, type_, error, count, oldest_at, newest_at, key = row
    state = State.SCHEDULED if later == b"1" else rows.state(number(code))
    span = number(oldest_at), number(newest_at)
    return Group(state, text(type_), text_or_none(error), number(count), *span, rows.id_text(raw(key)))


def _union(which: Filter, each: int) -> Condition | None:
    """Return the ids of up to ``each`` jobs of every wanted state, or state and queue; None if these are too many."""
    codes = _codes(which) or sorted(STATE_CODES.values())
    ranges: list[tuple[str | int, ...]] = [(code, each) for code in codes]
    if which.queues:
        ranges = [(code, queue, each) for code in codes for queue in which.queues]
    if len(ranges) > MOST_RANGES:
        return None
    return AND.join([IN_QUEUE if which.queues else IN_STATE] * len(ranges)), tuple(itertools.chain(*ranges))


def _children(parent: str) -> Condition:
    """Return the ids of all jobs that the handler of one has submitted: a thousand at most."""
    return OF_PARENT, (rows.id_bytes(parent),)


async def _among(tx: Transaction, few: Condition, conditions: Sequence[Condition], limit: int) -> Page:
    """Return the newest of ``few`` that meet ``conditions``: first their places, then the jobs, if they still do."""
    union, values = few
    order = NEWEST_FIRST, (limit + 1,)
    places = (await _run(tx, AMONG_FEW.format(union), [("", values), *conditions, order])).rows
    keys = tuple(sorted(raw(key) for _, key in places[:limit]))
    found = (await _run(tx, ROWS_BY_IDS, [("", (keys,)), *conditions])).rows if keys else ()
    jobs = sorted(map(of_row, found), key=place_of, reverse=True)
    if len(places) <= limit:
        return Page(jobs, None)
    created_at, key = places[limit - 1]
    return Page(jobs, (number(created_at), rows.id_text(raw(key))))


async def _walk(
    tx: Transaction,
    conditions: Sequence[Condition],
    limit: int,
    before: Place | None,
    look_at: int,
    oldest: int | None,
) -> Page:
    """Look through the newest jobs before ``before`` for those that meet ``conditions``."""
    found: list[Job] = []
    for size in window_sizes(limit, look_at):
        older = _older(before)
        ends = (await _run(tx, END, [*older, (" ORDER BY created_at DESC, id DESC", ()), (BEYOND, (size - 1,))])).rows
        end = (number(ends[0][0]), raw(ends[0][1])) if ends else None
        since: list[Condition] = [] if end is None else [(SINCE, (end[0], *end))]
        found += await _found(tx, NEWEST, [*older, *since, *conditions], limit + 1 - len(found))
        if len(found) > limit or end is None or (oldest is not None and end[0] < oldest):
            return page_of(found, limit)
        before = end[0], rows.id_text(end[1])
    return Page(found, before)


async def _found(tx: Transaction, sql: str, conditions: Sequence[Condition], limit: int) -> list[Job]:
    return [of_row(row) for row in (await _run(tx, sql, [*conditions, (NEWEST_FIRST, (limit,))])).rows]


async def _run(tx: Transaction, sql: str, conditions: Sequence[Condition]) -> Result:
    values = [value for _, of_condition in conditions for value in of_condition]
    return await tx.run(sql + "".join(condition for condition, _ in conditions), *values)


def _older(before: Place | None) -> list[Condition]:
    return [] if before is None else [(OLDER, (before[0], before[0], rows.id_bytes(before[1])))]


def _codes(which: Filter) -> list[int]:
    """Return the states of ``which`` as they are stored."""
    return sorted({_READY if state is State.SCHEDULED else STATE_CODES[state] for state in which.states})


def _conditions(which: Filter, now: int) -> list[Condition]:
    chosen: list[Condition] = []
    if which.states:
        chosen.append((STATES, (tuple(_codes(which)),)))
    if which.queues:
        chosen.append((QUEUES, (which.queues,)))
    if (State.SCHEDULED in which.states) != (State.READY in which.states):
        chosen.append((NOT_YET_DUE if State.SCHEDULED in which.states else DUE_IF_READY, (now,)))
    if which.types:
        chosen.append((TYPES, (which.types,)))
    for name, value in which.labels:
        if value is None:
            chosen.append((LABEL_THERE, (json.dumps(name),)))
        else:
            chosen.append((LABEL, (json.dumps({name: value}),)))
    if which.errors:
        chosen.append((ERRORS, (which.errors,)))
    if which.schedules:
        chosen.append((SCHEDULES, (which.schedules,)))
    for sql, at in (
        (CREATED_AFTER, which.created_after),
        (CREATED_BEFORE, which.created_before),
        (FINISHED_AFTER, which.finished_after),
        (FINISHED_BEFORE, which.finished_before),
    ):
        if at is not None:
            chosen.append((sql, (at,)))
    return chosen
