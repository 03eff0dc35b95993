"""Questions about many jobs, answered by MySQL: lists, depths, what is due, what waits, what was told.

Everything that may be asked of a store with a million jobs keeps to small ranges of the index ``jobs_order``
(state, queue, priority, run_at, id) or walks ``jobs_newest`` from its end; ``queues`` alone counts. Each function runs
inside the transaction it is given. All SQL is static: conditions are chosen, never written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from tickr import events
from tickr.errors import JobNotFound
from tickr.jobs import WAITING, Attempt, Entry, Job, State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, Filter, QueueDepth, ScanPosition
from tickr.store.mysql_driver import Parameter, Row
from tickr.store.mysql_jobs import BY_ID, BY_IDS, JOB_ROWS, documents, of_row, read
from tickr.store.mysql_transactions import Transaction

PRIORITIES = range(10)
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


def keys_of(ids: Collection[str]) -> tuple[bytes, ...]:
    """Return the keys of ``ids`` in order, each once; what is no id is left out."""
    return tuple(sorted({key for key in map(rows.id_bytes, ids) if key}))


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
    fence, number, node, started_at, finished_at, outcome, error = row
    return rows.attempt(
        (_number(fence), _number(number), _text(node), _number(started_at), _number(finished_at), _text(outcome),
         _text(error))
    )  # fmt: skip


def _number(cell: bytes | None) -> int | None:
    return None if cell is None else int(cell)


def _text(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode()


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
    "SELECT queue, state, COUNT(*), SUM(run_at <= %s), MIN(run_at) FROM jobs "
    "WHERE state IN (1, 2, 4) GROUP BY queue, state"
)


async def queue_names(tx: Transaction) -> list[str]:
    return [(name or b"").decode() for (name,) in (await tx.run(QUEUE_NAMES)).rows]


async def depths(tx: Transaction) -> list[QueueDepth]:
    """See ``Store.queues``. Counts what waits and runs along the index."""
    found: dict[str, dict[int, tuple[int, int, int]]] = {name: {} for name in await queue_names(tx)}
    for queue, *numbers in (await tx.run(DEPTHS, tx.now)).rows:
        state, count, due, first = (int(cell or 0) for cell in numbers)
        found.setdefault((queue or b"").decode(), {})[state] = (count, due, first)
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


# -- what is due ----------------------------------------------------------------------------------------------------

_RANGES = [(state, priority) for priority in PRIORITIES for state in _WAITING]

_HAS_DUE = (
    f"EXISTS (SELECT 1 FROM jobs WHERE state = {state} AND queue = q.name AND priority = {priority} AND run_at <= %s)"  # noqa: S608
    for state, priority in _RANGES
)
DUE_QUEUES = f"SELECT name FROM queues AS q WHERE {' OR '.join(_HAS_DUE)}"  # noqa: S608
"""The queues with due jobs: a look at the first entry of each of their ranges."""


def _due_jobs(condition: str) -> str:
    """Return the head of a queue: the best few of each of its ranges, and of these the best."""
    ranges = " UNION ALL ".join(
        f"(SELECT priority, run_at, id FROM jobs FORCE INDEX (jobs_order) WHERE state = {state} AND queue = %s "  # noqa: S608
        f"AND priority = {priority} AND run_at <= %s{condition} ORDER BY run_at, id LIMIT %s)"
        for state, priority in _RANGES
    )
    return f"{ranges} ORDER BY priority, run_at, id LIMIT %s"


DUE_IN_QUEUE = _due_jobs("")
DUE_IN_QUEUE_OF_TYPES = _due_jobs(" AND type IN %s")


async def due_queues(tx: Transaction) -> list[str]:
    """Return the names of the queues that have due jobs."""
    return sorted((name or b"").decode() for (name,) in (await tx.run(DUE_QUEUES, *[tx.now] * len(_RANGES))).rows)


async def due_in(tx: Transaction, queue: str, limit: int, types: Collection[str] | None = None) -> list[Entry]:
    """Return up to ``limit`` due jobs of one queue by (priority, run_at), of ``types`` if given. Locks nothing."""
    if types is None:
        found = await tx.run(DUE_IN_QUEUE, *(queue, tx.now, limit) * len(_RANGES), limit)
    else:
        of_types = tuple(types)
        found = await tx.run(DUE_IN_QUEUE_OF_TYPES, *(queue, tx.now, of_types, limit) * len(_RANGES), limit)
    return [_entry(queue, row) for row in found.rows]


def _entry(queue: str, row: Row) -> Entry:
    priority, run_at, key = row
    return Entry(rows.id_text(key or b""), queue, int(priority or 0), int(run_at or 0))


async def due(tx: Transaction, limit: int) -> list[Entry]:
    """See ``Store.due``."""
    return [entry for queue in await due_queues(tx) for entry in await due_in(tx, queue, limit)]


# -- everything that waits ------------------------------------------------------------------------------------------

_IN_RANGE = (
    "(SELECT priority, run_at, id FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state = %s AND queue = %s AND priority = %s AND "
)
REST_OF_RANGE = (
    _IN_RANGE
    + "run_at = %s AND id > %s ORDER BY run_at, id LIMIT %s) UNION ALL "
    + _IN_RANGE
    + "run_at > %s ORDER BY run_at, id LIMIT %s) ORDER BY run_at, id LIMIT %s"
)
"""From a place in one range to its end, however many jobs share the instant."""

NEXT_RANGE = (
    "(SELECT queue, priority FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s AND priority > %s "
    "ORDER BY queue, priority LIMIT 1) UNION ALL "
    "(SELECT queue, priority FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue > %s "
    "ORDER BY queue, priority LIMIT 1) ORDER BY queue, priority LIMIT 1"
)

_FIRST = -(2**62)
"""Before any instant."""


async def waiting_after(
    tx: Transaction, position: ScanPosition | None, limit: int
) -> tuple[list[Entry], ScanPosition | None]:
    """See ``Store.waiting_after``. The scan goes along the index: all READY, then all RETRYING."""
    page: list[Entry] = []
    place = position or ScanPosition(State.READY, "", -1, _FIRST, "")
    while True:
        code, key, left = STATE_CODES[place.state], rows.id_bytes(place.id), limit - len(page)
        of_range = (code, place.queue, place.priority)
        found = await tx.run(REST_OF_RANGE, *of_range, place.run_at, key, left, *of_range, place.run_at, left, left)
        page += [_entry(place.queue, row) for row in found.rows]
        if len(page) == limit:
            last = page[-1]
            return page, ScanPosition(place.state, last.queue, last.priority, last.run_at, last.id)
        following = (await tx.run(NEXT_RANGE, *of_range, code, place.queue)).rows
        if following:
            queue, priority = following[0]
            place = ScanPosition(place.state, (queue or b"").decode(), int(priority or 0), _FIRST, "")
        elif place.state is State.READY:
            place = ScanPosition(State.RETRYING, "", -1, _FIRST, "")
        else:
            return page, None


# -- what was told --------------------------------------------------------------------------------------------------

TOLD = "SELECT seq, body FROM events WHERE seq > %s ORDER BY seq LIMIT %s"
UNNUMBERED = "SELECT id FROM events WHERE seq IS NULL ORDER BY id LIMIT 1000"
LOCK_HEAD = "SELECT seq FROM feed_head WHERE id = 1 FOR UPDATE"
NUMBER = (
    "UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$[0]', seq BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN events AS e FORCE INDEX (PRIMARY) ON e.id = x.id SET e.seq = x.seq"
)
MOVE_HEAD = "UPDATE feed_head SET seq = %s WHERE id = 1"


async def event_rows(tx: Transaction, after: int, limit: int) -> list[tuple[int, str]]:
    """See ``Store.event_rows``. Whoever reads numbers what was committed since, under the lock on the feed's head."""
    found = (await tx.run(TOLD, after, limit)).rows
    if len(found) < limit and await _number_new(tx):
        found = (await tx.run(TOLD, after, limit)).rows
    return [(int(seq or 0), (body or b"").decode()) for seq, body in found]


async def _number_new(tx: Transaction) -> bool:
    if not (await tx.run(UNNUMBERED)).rows:
        return False
    ((head,),) = (await tx.run(LOCK_HEAD)).rows
    new = (await tx.run(UNNUMBERED)).rows  # again: another reader may have been first
    numbered: Sequence[tuple[int, int]] = [
        (int(key or 0), seq) for seq, (key,) in enumerate(new, start=int(head or 0) + 1)
    ]
    for document in documents(numbered, tx.max_document_bytes):
        await tx.run(NUMBER, document)
    if numbered:
        await tx.run(MOVE_HEAD, numbered[-1][1])
    return True
