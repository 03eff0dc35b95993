"""Schedules in MySQL: part of ``MysqlStore``.

A move locks the rows of its schedules, by name, before it looks at them: whoever fires a tick that somebody else is
firing waits for that, and then finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trio_mysql import err

from tickr import events
from tickr.events import AnyEvent, Event
from tickr.jobs import Job
from tickr.schedule_moves import Fire, Move
from tickr.schedules import MAX_SCHEDULES, Schedule
from tickr.store import mysql_errors, mysql_jobs, rows, schedule_changes
from tickr.store.contract import DuePlace, DueSchedules, MovedSchedule
from tickr.store.mysql_jobs import keys_of
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Parameter, number_or_none, raw, text

_READ = "SELECT next_at, body FROM schedules "
BY_NAME = _READ + "FORCE INDEX (PRIMARY) WHERE name = %s"
PAGE = _READ + "FORCE INDEX (PRIMARY) WHERE name > %s ORDER BY name LIMIT %s"
DUE = (
    _READ + "FORCE INDEX (schedules_due) WHERE next_at >= %s AND next_at <= %s AND (next_at > %s OR name > %s) "
    "ORDER BY next_at, name LIMIT %s"
)
LATER = "SELECT next_at FROM schedules FORCE INDEX (schedules_due) WHERE next_at > %s ORDER BY next_at LIMIT 1"
IS_FULL = "SELECT name FROM schedules FORCE INDEX (PRIMARY) ORDER BY name LIMIT 1 OFFSET %s"
LOCK = _READ + "FORCE INDEX (PRIMARY) WHERE name IN %s ORDER BY name FOR UPDATE"
BUSY = "SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state <= 4"
INSERT = "INSERT INTO schedules (name, next_at, body) VALUES (%s, %s, %s)"
CHANGE = (
    "UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', "
    "next_at BIGINT PATH '$[1]', body LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[2]')) AS x "
    "STRAIGHT_JOIN schedules AS s FORCE INDEX (PRIMARY) ON s.name = CAST(x.name AS BINARY) "
    "SET s.next_at = x.next_at, s.body = x.body"
)
DELETE = "DELETE FROM schedules WHERE name = %s"

FIRST = DuePlace(-(2**62), "")


class MysqlSchedules:
    """``Schedules`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float
    _queues: set[str]

    async def _register_queues(self, tx: Transaction, jobs: Sequence[Job]) -> None:
        raise NotImplementedError

    async def schedule(self, name: str) -> Schedule | None:
        async def work(tx: Transaction) -> Schedule | None:
            return next(iter(await _read(tx, BY_NAME, name)), None)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def schedules(self, limit: int, after: str | None = None) -> list[Schedule]:
        async def work(tx: Transaction) -> list[Schedule]:
            return await _read(tx, PAGE, after or "", limit)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def due_schedules(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        async def work(tx: Transaction) -> DueSchedules:
            begin, name = after or FIRST
            found = await _read(tx, DUE, begin, tx.now, begin, name, limit)
            later = (await tx.run(LATER, tx.now)).rows
            return DueSchedules(tx.now, found, number_or_none(later[0][0]) if later else None)

        return await self._transactions.run(work, within_s=self._worked_s, atomic=False)

    async def move_schedules(self, moves: Sequence[Move]) -> list[MovedSchedule]:
        within_s = self._worked_s if all(isinstance(move, Fire) for move in moves) else self._asked_s
        answers = await self._transactions.run(lambda tx: self._move(tx, moves), within_s=within_s)
        self._queues.update(job.queue for answer in answers for job in answer.jobs)
        return answers

    async def _move(self, tx: Transaction, moves: Sequence[Move]) -> list[MovedSchedule]:
        while True:
            found = {one.name: one for one in await _read(tx, LOCK, tuple(move.name for move in moves))}
            busy = await _busy(tx, schedule_changes.watched(moves, found))
            full = schedule_changes.may_add(moves, found) and bool((await tx.run(IS_FULL, MAX_SCHEDULES - 1)).rows)
            made = schedule_changes.move_schedules(moves, found, tx.now, busy=busy, full=full)
            try:
                for schedule in made.new:
                    await tx.run(INSERT, *rows.of_schedule(schedule))
            except err.IntegrityError as error:
                if not mysql_errors.is_duplicate(error):
                    raise
                await tx.start_over()  # somebody has just made it, so there is a row to lock now
                continue
            await self._write(tx, made)
            return made.answers

    async def _write(self, tx: Transaction, made: schedule_changes.ScheduleChanges) -> None:
        """Write everything but the new schedules."""
        for document in mysql_jobs.documents(map(rows.of_schedule, made.changed), tx.max_document_bytes):
            await tx.run(CHANGE, document)
        for name in made.gone:
            await tx.run(DELETE, name)
        if made.jobs:
            await self._register_queues(tx, made.jobs)
            await mysql_jobs.insert(tx, made.jobs)
        for place, part in enumerate(mysql_jobs.parts(made.told, _most_bytes, tx.max_document_bytes)):
            tally = None if place else made.counting.tally()  # the first row has it all
            await mysql_jobs.add_events(tx, len(part), events.encode(part), tally)


async def _read(tx: Transaction, sql: str, *parameters: Parameter) -> list[Schedule]:
    found = (await tx.run(sql, *parameters)).rows
    return [rows.schedule(number_or_none(next_at), text(body)) for next_at, body in found]


async def _busy(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Return those of ``ids`` whose jobs are not final."""
    keys = keys_of(list(ids))
    return {rows.id_text(raw(key)) for (key,) in (await tx.run(BUSY, keys)).rows} if keys else set()


def _most_bytes(event: AnyEvent) -> int:
    """Return how long an event may become as JSON inside SQL."""
    return 1024 + 4 * (len(event.labels or "") if isinstance(event, Event) else len(event.data))
