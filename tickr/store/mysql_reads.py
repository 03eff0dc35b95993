"""Questions from outside, answered by MySQL: one job, its attempts, lists, queues.

Lists walk the index ``jobs_newest`` from its end; ``depths`` counts along ``jobs_order``. Each function runs inside the
transaction it is given. All SQL is static: conditions are chosen, never written.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from tickr import events
from tickr.errors import JobNotFound
from tickr.jobs import WAITING, Attempt, Job, State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, Filter, QueueDepth
from tickr.store.mysql_jobs import BY_ID, BY_IDS, JOB_ROWS, keys_of, of_row, read
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Row, number, number_or_none, text, text_or_none

_READY, _RETRYING, _RUNNING = STATE_CODES[State.READY], STATE_CODES[State.RETRYING], STATE_CODES[State.RUNNING]
_WAITING = (_READY, _RETRYING)

LOCKED = " FOR UPDATE"


async def job(tx: Transaction, job_id: str, *, lock: bool = False) -> Job | None:
    """Return one job, and hold it until the end of the transaction if ``lock``."""
    found = (await tx.run(BY_ID + LOCKED if lock else BY_ID, rows.id_bytes(job_id))).rows
    return of_row(found[0]) if found else None


async def existing(tx: Transaction, job_id: str, *, lock: bool = False) -> Job:
    """Like ``job``. Raises: JobNotFound."""
    found = await job(tx, job_id, lock=lock)
    if found is None:
        raise JobNotFound(job_id)
    return found


async def by_ids(tx: Transaction, ids: Collection[str]) -> list[Job]:
    """Return those of ``ids`` that are stored."""
    keys = keys_of(ids)
    return await read(tx, BY_IDS, keys) if keys else []


async def waiting_by_ids(tx: Transaction, ids: Collection[str]) -> list[Job]:
    """See ``Store.still_waiting``."""
    return [found for found in await by_ids(tx, ids) if found.state in WAITING]


ATTEMPTS = (
    "SELECT fence, number, node, started_at, finished_at, outcome, error FROM attempts WHERE job_id = %s ORDER BY fence"
)


async def attempts(tx: Transaction, job_id: str) -> list[Attempt]:
    """See ``Store.attempts``."""
    current = events.current_attempt(await existing(tx, job_id))
    ended = [_attempt(row) for row in (await tx.run(ATTEMPTS, rows.id_bytes(job_id))).rows]
    if current is None or (ended and ended[-1].fence >= current.fence):  # it has ended between the two reads
        return ended
    return [*ended, current]


def _attempt(row: Row) -> Attempt:
    fence, count, node, started_at, finished_at, outcome, error = row
    times = number_or_none(started_at), number_or_none(finished_at)
    return rows.attempt((number(fence), number(count), text_or_none(node), *times, text(outcome), text_or_none(error)))


# -- lists --------------------------------------------------------------------------------------------------------

LIST = JOB_ROWS + "WHERE TRUE"
OLDER = " AND created_at <= %s AND (created_at < %s OR id < %s)"
STATES = " AND state IN %s"
TYPES = " AND type IN %s"
QUEUES = " AND queue IN %s"
NOT_YET_DUE = " AND (state <> 1 OR run_at > %s)"
DUE_IF_READY = " AND (state <> 1 OR run_at <= %s)"
LABEL = " AND JSON_CONTAINS(labels, %s)"
LABEL_THERE = " AND JSON_CONTAINS(JSON_KEYS(labels), %s)"
NEWEST_FIRST = " ORDER BY created_at DESC, id DESC LIMIT %s"


async def list_jobs(tx: Transaction, which: Filter, limit: int, before: tuple[int, str] | None) -> list[Job]:
    """See ``Store.list_jobs``."""
    sql: list[str] = [LIST]
    values: list[Parameter] = []
    if before is not None:
        sql.append(OLDER)
        values += [before[0], before[0], rows.id_bytes(before[1])]
    for condition, condition_values in _conditions(which, tx.now):
        sql.append(condition)
        values += condition_values
    sql.append(NEWEST_FIRST)
    return [of_row(row) for row in (await tx.run("".join(sql), *values, limit)).rows]


def _conditions(which: Filter, now: int) -> list[tuple[str, list[Parameter]]]:
    chosen: list[tuple[str, list[Parameter]]] = []
    if which.states:
        stored = {_READY if state is State.SCHEDULED else STATE_CODES[state] for state in which.states}
        chosen.append((STATES, [tuple(sorted(stored))]))
    if (State.SCHEDULED in which.states) != (State.READY in which.states):
        chosen.append((NOT_YET_DUE if State.SCHEDULED in which.states else DUE_IF_READY, [now]))
    if which.types:
        chosen.append((TYPES, [which.types]))
    if which.queues:
        chosen.append((QUEUES, [which.queues]))
    for name, value in which.labels:
        if value is None:
            chosen.append((LABEL_THERE, [json.dumps(name)]))
        else:
            chosen.append((LABEL, [json.dumps({name: value})]))
    return chosen


# -- queues -------------------------------------------------------------------------------------------------------

QUEUE_NAMES = "SELECT name FROM queues ORDER BY name"
DEPTHS = (
    "SELECT state, queue, COUNT(*), SUM(run_at <= %s), MIN(run_at) FROM jobs "
    "WHERE state IN (1, 2, 4) GROUP BY state, queue"
)


async def queue_names(tx: Transaction) -> list[str]:
    return [text(name) for (name,) in (await tx.run(QUEUE_NAMES)).rows]


async def depths(tx: Transaction) -> list[QueueDepth]:
    """See ``Store.queues``. Counts what waits and runs along the index."""
    found: dict[str, dict[int, tuple[int, int, int]]] = {name: {} for name in await queue_names(tx)}
    for state, queue, *numbers in (await tx.run(DEPTHS, tx.now)).rows:
        count, due, first = map(number, numbers)
        found.setdefault(text(queue), {})[number(state)] = (count, due, first)
    return [_depth(name, of_state, tx.now) for name, of_state in sorted(found.items())]


def _depth(name: str, of_state: dict[int, tuple[int, int, int]], now: int) -> QueueDepth:
    count, due_, _ = of_state.get(_READY, (0, 0, 0))
    firsts = [of_state[state][2] for state in _WAITING if state in of_state]
    return QueueDepth(
        name=name,
        ready=due_,
        scheduled=count - due_,
        retrying=of_state.get(_RETRYING, (0, 0, 0))[0],
        running=of_state.get(_RUNNING, (0, 0, 0))[0],
        oldest_due_at=min((first for first in firsts if first <= now), default=None),
    )
