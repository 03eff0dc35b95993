"""Operations, and jobs that are started over, in MySQL: part of ``MysqlStore``.

A step locks the row of its operation before it looks at it: whoever is at the same step waits for that, and then
finds nothing to do. After it come the rows of keys, then the jobs, each in their order; who claims passes over what is
locked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from trio_mysql import err

from tickr import events
from tickr.edits import NO_EDIT, Edit
from tickr.events import ThingEvent
from tickr.filters import Filter
from tickr.jobs import Job
from tickr.operation_moves import Begin, Move, Step, Stop
from tickr.operations import MAX_RUNNING, Operation
from tickr.store import mysql_errors, mysql_jobs, mysql_keys, mysql_links, mysql_lists, operation_changes, rows
from tickr.store.contract import DueOperations, MovedOperation, Tally
from tickr.store.keys import Key
from tickr.store.mysql_claims import LOCK_BY_IDS
from tickr.store.mysql_editing import MysqlEditing
from tickr.store.mysql_jobs import BY_IDS, keys_of, read
from tickr.store.mysql_transactions import FOR_EVER_US, Transaction
from tickr.store.mysql_values import Parameter, number_or_none, text

T = TypeVar("T")

_READ = "SELECT body FROM operations "
BY_ID = _READ + "FORCE INDEX (PRIMARY) WHERE id = %s"
PAGE = _READ + "FORCE INDEX (PRIMARY) WHERE id < %s ORDER BY id DESC LIMIT %s"
DUE = _READ + "FORCE INDEX (operations_due) WHERE due_at <= %s ORDER BY due_at, id LIMIT %s"
LATER = "SELECT due_at FROM operations FORCE INDEX (operations_due) WHERE due_at > %s ORDER BY due_at LIMIT 1"
IS_FULL = (
    "SELECT id FROM operations FORCE INDEX (operations_due) WHERE due_at < %s ORDER BY due_at, id LIMIT 1 OFFSET %s"
)
LOCK = BY_ID + " FOR UPDATE"
INSERT = "INSERT INTO operations (id, due_at, finished_at, body) VALUES (%s, %s, %s, %s)"
CHANGE = "UPDATE operations SET due_at = %s, finished_at = %s, body = %s WHERE id = %s"
WITH_EXTRAS = BY_IDS + " AND extras IS NOT NULL"
LAST_KEPT = (
    "SELECT finished_at FROM operations FORCE INDEX (operations_finished) WHERE finished_at > 0 "
    "ORDER BY finished_at DESC LIMIT 1 OFFSET %s"
)
OLD = (
    "SELECT id FROM operations FORCE INDEX (operations_finished) WHERE finished_at > 0 AND finished_at < %s "
    "ORDER BY finished_at LIMIT %s"
)
DELETE = "DELETE FROM operations WHERE id = %s"

LAST_ID = "~"
"""Behind every id."""


class MysqlOperations(MysqlEditing):
    """``Operations`` of the contract."""

    _worked_s: float

    async def _read_long(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        raise NotImplementedError

    async def redrive(self, job_id: str, *, version: int | None = None, edit: Edit = NO_EDIT) -> Job:
        async def work(tx: Transaction) -> Job:
            change = await mysql_keys.redrive(tx, job_id, version, edit)
            await self._edit(tx, [change])
            return change.after

        return await self._transactions.run(work, within_s=self._asked_s)

    async def _tally(self, which: Filter, most: int | None) -> Tally:
        return await self._read_long(lambda tx: mysql_lists.tally(tx, which, most))

    async def operation(self, operation_id: str) -> Operation | None:
        async def work(tx: Transaction) -> Operation | None:
            return next(iter(await _read(tx, BY_ID, operation_id)), None)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def operations(self, limit: int, before: str | None = None) -> list[Operation]:
        async def work(tx: Transaction) -> list[Operation]:
            return await _read(tx, PAGE, LAST_ID if before is None else before, limit)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def due_operations(self, limit: int) -> DueOperations:
        async def work(tx: Transaction) -> DueOperations:
            found = await _read(tx, DUE, tx.now, limit)
            later = (await tx.run(LATER, tx.now)).rows
            return DueOperations(tx.now, found, number_or_none(later[0][0]) if later else None)

        return await self._transactions.run(work, within_s=self._worked_s, atomic=False)

    async def move_operation(self, move: Move) -> MovedOperation:
        if isinstance(move, Step):
            return await self._transactions.run(lambda tx: self._step(tx, move), within_s=self._worked_s)
        return await self._transactions.run(lambda tx: _begin_or_stop(tx, move), within_s=self._asked_s)

    async def _step(self, tx: Transaction, move: Step) -> MovedOperation:
        found = await _locked(tx, move.id)
        if found is None or not move.may(found, tx.now):
            return MovedOperation(found, found, [])
        ids = keys_of(move.ids)
        kept, held = await _lock_keys(tx, found, ids)
        jobs = {job.id: job for job in await read(tx, LOCK_BY_IDS, ids)} if ids else {}
        needed = await mysql_links.needed(tx, ids) if found.action == "delete" else ()
        moved, made, written = operation_changes.step(move, found, jobs, kept, held, tx.now, needed)
        if found.action == "retry":
            made, turns = await mysql_links.redrive(tx, made, kept, held)
            written += turns
        await mysql_keys.write_with(tx, [], written)
        await self._apply(tx, made)
        await _write(tx, moved.after, moved.told)
        return MovedOperation(moved.before, moved.after, made)

    async def prune_operations(self, before: int, keep: int, limit: int) -> int:
        async def work(tx: Transaction) -> int:
            last = (await tx.run(LAST_KEPT, keep - 1)).rows
            until = max(before, number_or_none(last[0][0]) or 0) if last else before
            old = (await tx.run(OLD, until, limit)).rows
            for (id_,) in old:
                await tx.run(DELETE, text(id_))
            return len(old)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)


async def _begin_or_stop(tx: Transaction, move: Begin | Stop) -> MovedOperation:
    while True:
        found = await _locked(tx, move.id)
        full = found is None and bool((await tx.run(IS_FULL, FOR_EVER_US, MAX_RUNNING - 1)).rows)
        moved = operation_changes.moved(move, found, tx.now, full=full)
        try:
            if found is None:
                await tx.run(INSERT, *rows.of_operation(moved.after))
        except err.IntegrityError as error:
            if not mysql_errors.is_duplicate(error):
                raise
            await tx.start_over()  # somebody has just begun it, so there is a row to lock now
            continue
        if moved.told:
            await _write(tx, moved.after, moved.told)
        return MovedOperation(moved.before, moved.after, [])


async def _lock_keys(tx: Transaction, operation: Operation, ids: tuple[bytes, ...]) -> tuple[dict[str, Key], list[Job]]:
    """Lock the rows of the keys that jobs have to have again: keys before jobs. Return them, and their jobs."""
    if operation.action != "retry" or not ids:
        return {}, []
    names = operation_changes.needed(operation, await read(tx, WITH_EXTRAS, ids))
    kept, held, _ = await mysql_keys.lock(tx, (), names) if names else ({}, [], [])
    return kept, held


async def _write(tx: Transaction, operation: Operation, told: Sequence[ThingEvent]) -> None:
    id_, due_at, finished_at, body = rows.of_operation(operation)
    await tx.run(CHANGE, due_at, finished_at, body, id_)
    if told:
        await mysql_jobs.add_events(tx, len(told), events.encode(told))


async def _read(tx: Transaction, sql: str, *parameters: Parameter) -> list[Operation]:
    return [rows.operation(text(body)) for (body,) in (await tx.run(sql, *parameters)).rows]


async def _locked(tx: Transaction, operation_id: str) -> Operation | None:
    return next(iter(await _read(tx, LOCK, operation_id)), None)
