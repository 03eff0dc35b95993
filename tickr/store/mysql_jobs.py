"""Jobs in and out of MySQL, a batch at a time: the statements that every method shares.

A batch goes in as one JSON parameter that the server takes apart (``JSON_TABLE``), and comes out as one JSON value
(``JSON_ARRAYAGG``): that is 6 and 2 µs of Python a row where rows of their own cost 146 and 18. Texts too long for one
value, a row's or the batch's, are fetched as rows after all. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from tickr import tallies
from tickr.errors import StoreError
from tickr.events import Change, untold_bytes
from tickr.jobs import Job, Progress, State
from tickr.store import rows
from tickr.store.mysql_transactions import NOW, Receipt, Transaction
from tickr.store.mysql_values import Parameter, Result, Row
from tickr.store.written import Expiry, Removal, written
from tickr.tallies import Tally

T = TypeVar("T")

INLINE_BYTES = 1500
"""A text longer than this comes as a row of its own, so that MAX_BATCH jobs stay far below the server's 16 MiB."""

_RESERVED = {"node": f"'{'-' * 36}'", "started_at": "0", "finished_at": "0"}
"""What a new job has in the place of values that its claim will set: read as NULL.

Rows that grow move, and full pages with them: that took a claim a quarter of the server's time, and left the pages half
empty.
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode

_TEXTS = ("backoff", "labels", "error", "result", "payload", "progress", "extras")
_SQL_TYPES = {
    "id": "CHAR(32) CHARACTER SET ascii",
    "type": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "queue": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "limit_key": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "node": "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "outcome": "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    **dict.fromkeys(_TEXTS, "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
}
_NEW = tuple(c for c in rows.COLUMNS if c in {"id", "type", "queue", "priority", "run_at", "created_at",
             "max_attempts", "timeout_us", "backoff", "labels", "payload", "limit_key", "extras"})  # fmt: skip
_ATTEMPT = ("fence", "number", "node", "started_at", "finished_at", "outcome", "error")


def json_table(columns: Sequence[str]) -> str:
    """Return the table that a JSON array of rows is; every column by its place."""
    paths = (f"{name} {_SQL_TYPES.get(name, 'BIGINT')} PATH '$[{i}]'" for i, name in enumerate(columns))
    return f"JSON_TABLE(%s, '$[*]' COLUMNS ({', '.join(paths)})) AS x"


def _stored(column: str) -> str:
    """Return the SQL for what is in a column, reserved places being NULL."""
    return f"NULLIF({column}, {_RESERVED[column]})" if column in _RESERVED else column


def _for_json(column: str) -> str:
    if column in ("type", "queue", "limit_key"):
        return f"CONVERT({column} USING utf8mb4)"  # VARBINARY would come as base64
    return f"IF(LENGTH({column}) > {INLINE_BYTES}, NULL, {column})" if column in _TEXTS else _stored(column)


_COLUMNS = ", ".join(map(_stored, rows.COLUMNS))
_LONGEST = "GREATEST(" + ", ".join(f"COALESCE(LENGTH({c}), 0)" for c in _TEXTS) + f") > {INLINE_BYTES}"
_CELLS = ", ".join(["HEX(id)", *map(_for_json, rows.COLUMNS[1:]), f"({_LONGEST})"])
AS_JSON = f"JSON_ARRAYAGG(JSON_ARRAY({_CELLS}))"
"""One value: an array of jobs, for ``jobs_of``."""

JOBS = f"SELECT {AS_JSON} FROM jobs "  # noqa: S608
"""The question for that value alone; the conditions follow."""

JOB_ROWS = f"SELECT {_COLUMNS} FROM jobs "  # noqa: S608
"""A row for each job, for ``of_row``; the conditions follow."""

BY_IDS = JOBS + "FORCE INDEX (PRIMARY) WHERE id IN %s"
ROWS_BY_IDS = JOB_ROWS + "FORCE INDEX (PRIMARY) WHERE id IN %s"
BY_ID = JOB_ROWS + "WHERE id = %s"


def _insert_jobs(moving: str, *, one: bool, only_if: str = "") -> str:
    """Return the statement that inserts many jobs out of a JSON array or, cheaper, a single one."""
    new = ["%s"] * len(_NEW) if one else ["UNHEX(x.id)", *("x." + c for c in _NEW[1:])]
    return (
        f"INSERT INTO jobs ({', '.join((*_NEW, *_RESERVED))}, "  # noqa: S608
        "state, version, fence, attempt, crashes, cancel_requested) "
        f"SELECT {', '.join(new)}, {moving} FROM {'DUAL' if one else json_table(_NEW)} "
        f"WHERE {NOW} BETWEEN %s AND %s{only_if}"
    )


_READY, _BLOCKED = (f"{', '.join(_RESERVED.values())}, {state}, 1, 0, 0, 0, 0" for state in (1, 3))
_RUNNING, _MAY_START = (
    "%s, %s, 0, 4, 2, 1, 1, 0, 0",
    (
        " AND EXISTS (SELECT 1 FROM nodes AS n WHERE n.id = %s) "  # noqa: S608
        f"AND NOT EXISTS (SELECT 1 FROM queue_controls WHERE name IN %s AND {rows.GATED})"
    ),
)
INSERT_JOB, INSERT_JOBS = (_insert_jobs(_READY, one=one) for one in (True, False))
"""Nothing is inserted where ``now`` was estimated and the server's clock is another: it has been set."""
INSERT_BLOCKED_JOBS = _insert_jobs(_BLOCKED, one=False)
INSERT_STARTED_JOB, INSERT_STARTED_JOBS = (_insert_jobs(_RUNNING, one=one, only_if=_MAY_START) for one in (True, False))
"""For jobs that begin to run with the commit that stores them; all of one node, which has a row, in plain queues."""
MOVE_JOBS = (
    f"UPDATE {json_table(('id', 'was_version', 'was_fence', 'was_requested', 'began_at', *rows.MOVING))} "  # noqa: S608
    "STRAIGHT_JOIN jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id) "
    f"SET {', '.join(f'j.{c} = x.{c}' for c in rows.MOVING)} "
    "WHERE j.version = x.was_version AND j.fence = x.was_fence AND j.cancel_requested = x.was_requested "
    "AND (x.began_at IS NULL OR j.started_at = x.began_at)"
)
SUCCEED_JOBS = (
    "UPDATE jobs FORCE INDEX (PRIMARY) SET state = 5, version = version + 1, result = %s, error = NULL, "
    "finished_at = %s, cancel_requested = 0 WHERE id IN %s AND version = %s AND fence = %s AND node = %s AND state = 4"
)
SUCCEED_EACH = (
    f"UPDATE {json_table(('id', 'was_version', 'was_fence', 'began_at', 'result'))} "  # noqa: S608
    "STRAIGHT_JOIN jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id) "
    "SET j.state = 5, j.version = j.version + 1, j.result = x.result, j.error = NULL, j.finished_at = %s, "
    "j.cancel_requested = 0 WHERE j.version = x.was_version AND j.fence = x.was_fence AND j.started_at = x.began_at "
    "AND j.state = 4"
)
SHOW_PROGRESS = (
    f"UPDATE {json_table(('id', 'progress'))} "  # noqa: S608
    "STRAIGHT_JOIN jobs AS j FORCE INDEX (PRIMARY) ON j.id = UNHEX(x.id) SET j.progress = x.progress"
)
INSERT_ATTEMPTS = (
    f"INSERT INTO attempts (job_id, {', '.join(_ATTEMPT)}) "  # noqa: S608
    f"SELECT UNHEX(x.id), {', '.join('x.' + c for c in _ATTEMPT)} FROM {json_table(('id', *_ATTEMPT))}"
)
_TIMED = json_table(("at", "id"))
INSERT_EXPIRIES, INSERT_REMOVALS = (
    f"INSERT IGNORE INTO {table} ({at}, job_id) SELECT x.at, UNHEX(x.id) FROM {_TIMED}"  # noqa: S608 -- static text
    for table, at in (("expiries", "expires_at"), ("removals", "remove_at"))
)
DELETE_EXPIRIES, DELETE_REMOVALS = (
    f"DELETE w FROM {_TIMED} STRAIGHT_JOIN {table} AS w FORCE INDEX (PRIMARY) "
    f"ON w.{at} = x.at AND w.job_id = UNHEX(x.id)"
    for table, at in (("expiries", "expires_at"), ("removals", "remove_at"))
)
DELETE_ATTEMPTS = (
    f"DELETE a FROM {json_table(('id', 'fence'))} STRAIGHT_JOIN attempts AS a FORCE INDEX (PRIMARY) "
    "ON a.job_id = UNHEX(x.id) AND a.fence <= x.fence"
)
DELETE_CHECKPOINTS = (
    f"DELETE c FROM {json_table(('id',))} "
    "STRAIGHT_JOIN checkpoints AS c FORCE INDEX (PRIMARY) ON c.job_id = UNHEX(x.id)"
)
INSERT_EVENTS = "INSERT INTO events (created_at, count, body, tally) VALUES (%s, %s, %s, %s)"

_new_values = itemgetter(*(rows.COLUMNS.index(c) for c in _NEW[1:]))
_NUMBERS = frozenset(i for i, c in enumerate(rows.COLUMNS) if c not in _SQL_TYPES)


# -- reading ------------------------------------------------------------------------------------------------------


def keys_of(ids: Collection[str]) -> tuple[bytes, ...]:
    """Return the keys of ``ids`` in order, each once; what is no id is left out."""
    return tuple(sorted({key for key in map(rows.id_bytes, ids) if key}))


def of_row(row: Row) -> Job:
    """Return the job of one row of ``JOB_ROWS``."""
    values: list[Any] = [row[0]]
    for i, cell in enumerate(row[1:], start=1):
        values.append(None if cell is None else int(cell) if i in _NUMBERS else cell.decode())
    return rows.job(tuple(values))


async def read(transaction: Transaction, sql: str, *parameters: Parameter) -> list[Job]:
    """Return the jobs that ``sql``, which begins with ``JOBS``, finds; in no certain order."""
    ((document,),) = (await transaction.run(sql, *parameters)).rows
    return await jobs_of(transaction, document)


async def jobs_of(transaction: Transaction, document: bytes | None) -> list[Job]:
    """Return the jobs of the value that is asked for with ``AS_JSON``; long texts are fetched now."""
    found: list[Job] = []
    long: list[bytes] = []
    for row in _decode(document) if document else ():
        if row.pop():
            long.append(bytes.fromhex(row[0]))
        else:
            found.append(rows.job_of_json(row))
    if long:
        found += map(of_row, (await transaction.run(ROWS_BY_IDS, tuple(long))).rows)
    return found


# -- writing ------------------------------------------------------------------------------------------------------


def documents(values: Iterable[Sequence[Any]], max_bytes: int) -> Iterator[str]:
    """Yield JSON arrays that hold all of ``values``, none much longer than ``max_bytes`` once written as SQL."""
    parts: list[bytes] = []
    size = 0
    for value in values:
        part = _encode(value)
        length = len(part) + part.count(b"\\") + part.count(b"'") + 1
        if parts and size + length > max_bytes:
            yield f"[{b','.join(parts).decode()}]"
            parts, size = [], 0
        parts.append(part)
        size += length
    if parts:
        yield f"[{b','.join(parts).decode()}]"


async def insert(tx: Transaction, jobs: Sequence[Job]) -> int:
    """Insert ``jobs``, which wait, are blocked or have just been started, and return how many are inserted.

    All of them, unless ``tx.now`` turns out to be wrong, or those started may not begin: their node has no row, or one
    of their queues has a gate.
    Raises: err.IntegrityError: one of the ids is taken.
    """
    if len(jobs) == 1 and jobs[0].state is not State.BLOCKED:
        return (await _insert_one(tx, jobs[0])).affected
    started = [job for job in jobs if job.state is State.RUNNING]
    inserted = 0
    for statement, state in ((INSERT_JOBS, State.READY), (INSERT_BLOCKED_JOBS, State.BLOCKED)):
        for document in _new_documents(tx, [job for job in jobs if job.state is state]):
            inserted += (await tx.run(statement, document, *tx.likely)).affected
    for document in _new_documents(tx, started):
        node, began_at = started[0].node, started[0].started_at
        queues = tuple({job.queue for job in started})
        inserted += (await tx.run(INSERT_STARTED_JOBS, node, began_at, document, *tx.likely, node, queues)).affected
    return inserted


async def _insert_one(tx: Transaction, job: Job) -> Result:
    values = (rows.id_bytes(job.id), *_new_values(rows.of_job(job)))
    if job.state is State.RUNNING:
        return await tx.run(INSERT_STARTED_JOB, *values, job.node, job.started_at, *tx.likely, job.node, (job.queue,))
    return await tx.run(INSERT_JOB, *values, *tx.likely)


def _new_documents(transaction: Transaction, jobs: Sequence[Job]) -> Iterator[str]:
    values = [(rows.id_bytes(job.id).hex(), *_new_values(rows.of_job(job))) for job in jobs]
    return documents(values, transaction.max_document_bytes)


async def move(transaction: Transaction, changes: Sequence[Change]) -> int:
    """Write what ``changes`` do to jobs, each by compare-and-set, in order of id. Return how many took."""
    values = []
    for change in sorted(changes, key=lambda change: change.after.id):
        was = change.before
        assert was is not None, "a new job is inserted, not moved"
        began_at = was.started_at if was.state is State.RUNNING else None
        values.append((rows.id_bytes(was.id).hex(), was.version, was.fence, int(was.cancel_requested), began_at,
                       *rows.of_move(change.after)))  # fmt: skip
    taken = 0
    for document in documents(values, transaction.max_document_bytes):
        taken += (await transaction.run(MOVE_JOBS, document)).affected
    return taken


async def succeed(transaction: Transaction, changes: Sequence[Change]) -> int:
    """Like ``move``, for successes that share result, version, fence and node: less than half the server's work."""
    one = changes[0]
    assert one.before is not None
    assert one.after.state is State.SUCCEEDED
    ids = tuple(rows.id_bytes(change.after.id) for change in changes)
    result, now = one.after.result, one.after.finished_at
    done = await transaction.run(SUCCEED_JOBS, result, now, ids, one.before.version, one.before.fence, one.before.node)
    return done.affected


async def succeed_each(transaction: Transaction, changes: Sequence[Change]) -> int:
    """Like ``move``, for successes: a third of its columns."""
    values = []
    for change in sorted(changes, key=lambda change: change.after.id):
        was, after = change.before, change.after
        assert was is not None
        assert after.state is State.SUCCEEDED
        values.append((rows.id_bytes(was.id).hex(), was.version, was.fence, was.started_at, after.result))
    taken = 0
    for document in documents(values, transaction.max_document_bytes):
        taken += (await transaction.run(SUCCEED_EACH, document, changes[0].after.finished_at)).affected
    return taken


async def show_progress(transaction: Transaction, progress: Mapping[str, Progress]) -> None:
    """Write what jobs, which are locked, say of how far they are."""
    values = [(rows.id_bytes(id_).hex(), rows.progress_text(one)) for id_, one in sorted(progress.items())]
    for document in documents(values, transaction.max_document_bytes):
        await transaction.run(SHOW_PROGRESS, document)


async def write(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Write moves of jobs that are locked, and what goes with them.

    Raises: StoreError: one of them was not as it was read; cannot happen under a lock.
    """
    if changes:
        taken = await move(transaction, changes)
        if taken != len(changes):
            raise StoreError(f"only {taken} of {len(changes)} locked jobs were still as they had been read")
        await tell(transaction, changes)


async def tell(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Write what goes with moves of jobs: the attempts that ended, and the row of events, which is the receipt."""
    for part in parts(changes, _length, transaction.max_document_bytes):
        told = written(part, transaction.now)
        attempts = [(rows.id_bytes(id_).hex(), *rows.of_attempt(id_, attempt)[1:]) for id_, attempt in told.attempts]
        for document in documents(attempts, transaction.max_document_bytes):
            await transaction.run(INSERT_ATTEMPTS, document)
        outdated = [(rows.id_bytes(id_).hex(), fence) for id_, fence in told.outdated]
        for document in documents(outdated, transaction.max_document_bytes):
            await transaction.run(DELETE_ATTEMPTS, document)
        await write_timed(transaction, INSERT_EXPIRIES, told.expiries)
        await write_timed(transaction, DELETE_EXPIRIES, told.spent)
        await write_timed(transaction, INSERT_REMOVALS, told.removals)
        await write_timed(transaction, DELETE_REMOVALS, told.spared)
        await delete_checkpoints(transaction, told.restarted)
        if told.body is not None:
            await add_events(transaction, told.told, told.body, told.tally)


async def write_timed(transaction: Transaction, statement: str, some: Sequence[Expiry | Removal]) -> None:
    """Run ``statement``, which inserts or deletes rows of an instant and a job, for all of ``some``."""
    values = [(at, rows.id_bytes(job_id).hex()) for at, job_id in sorted(some)]
    for document in documents(values, transaction.max_document_bytes):
        await transaction.run(statement, document)


async def delete_checkpoints(transaction: Transaction, ids: Iterable[str]) -> None:
    """Delete what the jobs ``ids`` have kept, if they have."""
    keys = [(key.hex(),) for key in keys_of([*ids])]
    for document in documents(keys, transaction.max_document_bytes):
        await transaction.run(DELETE_CHECKPOINTS, document)


async def add_events(transaction: Transaction, count: int, body: str, tally: Tally | None = None) -> None:
    """Write a row of events, which is the receipt."""
    done = await transaction.run(INSERT_EVENTS, transaction.now, count, body, tallies.encode(tally))
    transaction.receipt = transaction.receipt or Receipt(done.insert_id, body)
    if tally:
        transaction.tallies.append(tally)


def parts(items: Iterable[T], length: Callable[[T], int], max_bytes: int) -> Iterator[list[T]]:
    """Yield ``items`` in parts whose events make no document longer than ``max_bytes``, if one does not by itself."""
    part: list[T] = []
    size = 0
    for item in items:
        more = length(item)
        if part and size + more > max_bytes:
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


def _length(change: Change) -> int:
    """Return how long the event of ``change`` may become as JSON inside SQL."""
    result, error = change.after.result, change.after.error
    told = result if result is not None and not untold_bytes(result) else None
    why = _most_bytes(error.message) + _most_bytes(error.traceback) if error is not None else 0
    return 512 + _most_bytes(told) + _most_bytes(change.after.labels) + why


def _most_bytes(value: str | None) -> int:
    """Return how long ``value`` may become as JSON inside JSON inside SQL."""
    return 0 if value is None else 4 * len(value)
