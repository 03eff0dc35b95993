"""Questions from outside, answered by MySQL: one job, its attempts, queues. Lists are in ``mysql_lists.py``.

``depths`` counts along the index ``jobs_order``: everything while that is little, and each range up to a bound when it
is not. Each function runs inside the transaction it is given. All SQL is static.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tickr import events
from tickr.errors import JobNotFound
from tickr.jobs import WAITING, Attempt, Job, State
from tickr.store import rows
from tickr.store.answers import QueueDepth, counted_farther, counted_to
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_jobs import BY_ID, BY_IDS, keys_of, of_row, read
from tickr.store.mysql_queues import newest_first
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Row, number, number_or_none, text, text_or_none
from tickr.store.mysql_waiting import FIRST, LAST

_READY, _RETRYING, _RUNNING = STATE_CODES[State.READY], STATE_CODES[State.RETRYING], STATE_CODES[State.RUNNING]

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


# -- queues -------------------------------------------------------------------------------------------------------

FEW_HELD = 20_000
"""So many jobs that wait or run are simply all counted."""

QUEUE_NAMES = "SELECT name FROM queues ORDER BY name"
MORE_HELD = "SELECT 1 FROM jobs FORCE INDEX (jobs_order) WHERE state IN (1, 2, 4) LIMIT 1 OFFSET %s"
DEPTHS = (
    "SELECT state, queue, COUNT(*), CAST(SUM(run_at <= %s) AS SIGNED), MIN(run_at) FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state IN (1, 2, 4) GROUP BY state, queue"
)
RANGES = (
    "SELECT state, queue, priority, MIN(run_at), MAX(run_at) FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state IN (1, 2, 4) GROUP BY state, queue, priority"
)
"""The first and the last entry of each range, by jumping from one to the next."""
COUNT_RANGE = (
    "(SELECT %s, COUNT(*) FROM (SELECT 1 FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s "
    "AND priority = %s AND run_at > %s AND run_at <= %s LIMIT %s) AS some)"
)
AND = " UNION ALL "
COUNTED_AT_ONCE = 50
"""How many ranges one statement counts."""


async def queue_names(tx: Transaction) -> list[str]:
    return [text(name) for (name,) in (await tx.run(QUEUE_NAMES)).rows]


async def used_queues(tx: Transaction) -> set[str]:
    """Return the names of the queues in which jobs wait or run, registered or not."""
    return {text(queue) for _, queue, *_ in (await tx.run(RANGES)).rows}


class Held(NamedTuple):
    """The jobs of one state and queue, or of one priority of these: how many are due, how many not, and the first."""

    state: int
    queue: str
    due: int
    later: int
    first: int


async def depths(tx: Transaction, count_to: int) -> list[QueueDepth]:
    """See ``Store.queues``. Counts along the index, and no further than the answer needs."""
    names = await queue_names(tx)
    if (await tx.run(MORE_HELD, FEW_HELD)).rows:
        count_to, held = await _counted(tx, count_to)
    else:
        held = [_held(row) for row in (await tx.run(DEPTHS, tx.now)).rows]
    of_queue: dict[str, list[Held]] = {name: [] for name in names}
    for one in held:
        of_queue.setdefault(one.queue, []).append(one)
    return [_depth(name, of_queue[name], count_to, tx.now) for name in sorted(of_queue)]


def _held(row: Row) -> Held:
    state, queue, count, due, first = row
    return Held(number(state), text(queue), number(due), number(count) - number(due), number(first))


async def _counted(tx: Transaction, count_to: int) -> tuple[int, list[Held]]:
    """Count each range of the index on its own. Returns also how far."""
    ranges = [
        ((number(state), text(queue), number(priority)), number(first), number(last))
        for state, queue, priority, first, last in (await tx.run(RANGES)).rows
    ]
    parts: dict[int, tuple[Parameter, ...]] = {}
    for at, (one, first, last) in enumerate(ranges):
        if first <= tx.now:
            parts[2 * at] = (*one, FIRST, tx.now)
        if last > tx.now:
            parts[2 * at + 1] = (*one, tx.now, LAST)
    far = counted_to(count_to, len(parts))
    counts = await _count(tx, parts, far)
    deep = {at: parts[at] for at, count in counts.items() if count >= far}
    if (farther := counted_farther(count_to, far, len(deep))) > far:
        far = farther
        counts |= await _count(tx, deep, far)
    return far, [
        Held(state, queue, counts.get(2 * at, 0), counts.get(2 * at + 1, 0), first)
        for at, ((state, queue, _), first, _) in enumerate(ranges)
    ]


async def _count(tx: Transaction, parts: Mapping[int, tuple[Parameter, ...]], far: int) -> dict[int, int]:
    """Return how many jobs are in each of ``parts`` (state, queue, priority, after, until), counted to ``far``."""
    counts: dict[int, int] = {}
    numbered = [(at, *part, far) for at, part in parts.items()]
    for start in range(0, len(numbered), COUNTED_AT_ONCE):
        some = numbered[start : start + COUNTED_AT_ONCE]
        found = await tx.run(AND.join([COUNT_RANGE] * len(some)), *itertools.chain(*some))
        counts.update((number(at), number(count)) for at, count in found.rows)
    return counts


BEFORE = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s "
    "AND priority = %s AND run_at <= %s AND (run_at < %s OR id < %s) LIMIT %s) AS some)"
)
NEWER = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s "
    "AND priority = %s AND run_at >= %s AND (run_at > %s OR id > %s) AND run_at <= %s LIMIT %s) AS some)"
)
"""What comes before a job in its own range, where the newest goes first."""


async def ahead(tx: Transaction, job: Job, count_to: int) -> int:
    """See ``Store.ahead``."""
    key, before = rows.id_bytes(job.id), min(job.run_at, tx.now)
    own: tuple[Parameter, ...] = (before, job.run_at, key)
    statement = BEFORE
    if job.queue in await newest_first(tx):
        statement, own = NEWER, (job.run_at, job.run_at, key, tx.now)
    statements: list[str] = []
    ranges: list[tuple[Parameter, ...]] = []
    for priority in range(job.priority + 1):
        is_own = priority == job.priority
        for state in (_READY, _RETRYING):
            statements.append(statement if is_own else BEFORE)
            ranges.append((state, job.queue, priority, *(own if is_own else (tx.now, LAST, key)), count_to))
    counted = await tx.run(AND.join(statements), *itertools.chain(*ranges))
    return min(count_to, sum(number(count) for (count,) in counted.rows))


def _depth(name: str, held: Sequence[Held], count_to: int, now: int) -> QueueDepth:
    def total(counts: Iterable[int]) -> int:
        return min(sum(counts), count_to)

    return QueueDepth(
        name=name,
        ready=total(one.due for one in held if one.state == _READY),
        scheduled=total(one.later for one in held if one.state == _READY),
        retrying=total(one.due + one.later for one in held if one.state == _RETRYING),
        running=total(one.due + one.later for one in held if one.state == _RUNNING),
        oldest_due_at=min((one.first for one in held if one.state != _RUNNING and one.first <= now), default=None),
        counted_to=count_to,
    )
