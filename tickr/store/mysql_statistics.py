"""Sums of what was done, and marks, in MySQL: part of ``MysqlStore``. All SQL is static.

Who adds tallies moves the cursor first, by compare-and-set: it then has the lock that all others of its kind wait for,
and those find that the cursor has moved. Nobody but they writes sums, so these need no lock of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from trio_mysql import err

from tickr import tallies
from tickr.failpoints import reach
from tickr.store import mysql_errors, rows, sums
from tickr.store.contract import LogRow, Mark, Span, SumPlace, Sums, Tallied, Untallied
from tickr.store.mysql_jobs import documents
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Parameter, Row, number, raw, text, text_or_none
from tickr.store.sums import STEP_CODES
from tickr.tallies import Part, Step

CURSOR = "SELECT seq FROM tallied WHERE id = 1"
UNTALLIED = "SELECT seq, created_at, tally FROM events FORCE INDEX (events_seq) WHERE seq > %s ORDER BY seq LIMIT %s"
TALLIED = (
    "SELECT t.seq, t.at, h.seq, EXISTS (SELECT 1 FROM events FORCE INDEX (events_seq) WHERE seq IS NULL) "
    "FROM tallied AS t STRAIGHT_JOIN feed_head AS h ON h.id = 1 WHERE t.id = 1"
)
MOVE = "UPDATE tallied SET seq = %s, at = %s WHERE id = 1 AND seq = %s"
OF_STEPS = (
    "SELECT t.step, t.at, t.queue, t.type, t.body "
    "FROM JSON_TABLE(%s, '$[*]' COLUMNS (step TINYINT PATH '$[0]', at BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN tallies AS t FORCE INDEX (PRIMARY) ON t.step = x.step AND t.at = x.at"
)
_NAME = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
WRITE = (
    "REPLACE INTO tallies (step, at, queue, type, weight, body) "  # noqa: S608 -- static text
    "SELECT x.step, x.at, x.queue, x.type, x.weight, x.body FROM JSON_TABLE(%s, '$[*]' COLUMNS ("
    f"step TINYINT PATH '$[0]', at BIGINT PATH '$[1]', queue {_NAME} PATH '$[2]', type {_NAME} PATH '$[3]', "
    "weight BIGINT PATH '$[4]', body MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[5]')) AS x"
)
_WANTED = (
    "FROM tallies FORCE INDEX (PRIMARY) WHERE step = %s AND at >= %s AND at < %s "
    "AND (%s = 0 OR queue IN %s) AND (%s = 0 OR type IN %s) "
)
SUMS = (
    f"SELECT at, queue, type, body {_WANTED}"
    "AND (at > %s OR queue > %s OR (queue = %s AND type > %s)) ORDER BY at, queue, type LIMIT %s"
)
"""The last condition leaves out what comes before a place whose ``at`` is where the range begins."""
WEIGHTS = f"SELECT at, SUM(weight) {_WANTED}GROUP BY at ORDER BY at"
BUSIEST = {
    by: f"SELECT {by} {_WANTED}AND {by} <> '' GROUP BY {by} ORDER BY SUM(weight) DESC, {by} LIMIT %s"
    for by in ("queue", "type")
}
PRUNE = "DELETE FROM tallies WHERE step = %s AND at < %s ORDER BY step, at, queue, type LIMIT %s"
MARK = "SELECT id, at, text FROM marks WHERE id = %s"
MAKE_MARK = "INSERT INTO marks (id, at, text) VALUES (%s, %s, %s)"
OLD_MARKS = "SELECT id FROM marks ORDER BY at DESC, id DESC LIMIT 1000 OFFSET %s"
DROP_MARKS = "DELETE FROM marks WHERE id IN %s"
MARKS = "SELECT id, at, text FROM marks WHERE at >= %s AND at < %s ORDER BY at DESC, id DESC LIMIT %s"

_STEPS = {code: step for step, code in STEP_CODES.items()}
_NO_NAMES = 0, ("",)


class MysqlStatistics:
    """``Statistics`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def untallied(self, limit: int) -> Untallied:
        async def work(tx: Transaction) -> Untallied:
            ((cell,),) = (await tx.run(CURSOR)).rows
            after = number(cell)
            found = (await tx.run(UNTALLIED, after, limit)).rows
            return Untallied(after, [LogRow(number(seq), number(at), text_or_none(tally)) for seq, at, tally in found])

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def add_tallies(self, more: Sums, *, after: int, upto: Tallied) -> bool:
        async def work(tx: Transaction) -> bool:
            if not (await tx.run(MOVE, *upto, after)).affected:
                return False
            stored = await _stored(tx, {(place.step, place.at) for place in more})
            for document in documents(map(_row, sums.added(more, stored).items()), tx.max_document_bytes):
                await tx.run(WRITE, document)
            await reach("statistics.before_commit")
            return True

        # A COMMIT that is not answered is done again, and finds the cursor moved: by itself, or by somebody else.
        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)

    async def tallied(self) -> Tallied:
        async def work(tx: Transaction) -> Tallied:
            ((seq, at, head, more),) = (await tx.run(TALLIED)).rows
            done = Tallied(number(seq), number(at))
            return done._replace(at=tx.now) if done.seq == number(head) and not number(more) else done

        return await self._transactions.run(work, within_s=self._asked_s, atomic=False)

    async def sums(self, which: Span, limit: int, after: SumPlace | None = None) -> list[tuple[SumPlace, Part]]:
        async def work(tx: Transaction) -> list[tuple[SumPlace, Part]]:
            place = SumPlace(which.step, which.since - 1, "", "") if after is None else after
            begin = max(which.since, place.at)
            wanted = _wanted(which._replace(since=begin))
            found = (await tx.run(SUMS, *wanted, place.at, place.queue, place.queue, place.type, limit)).rows
            return [_sum((b"%d" % STEP_CODES[which.step], *row)) for row in found]

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def weights(self, which: Span) -> list[tuple[int, int]]:
        async def work(tx: Transaction) -> list[tuple[int, int]]:
            return [(number(at), number(weight)) for at, weight in (await tx.run(WEIGHTS, *_wanted(which))).rows]

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def busiest(self, which: Span, by: Literal["queue", "type"], limit: int) -> list[str]:
        async def work(tx: Transaction) -> list[str]:
            return [text(name) for (name,) in (await tx.run(BUSIEST[by], *_wanted(which), limit)).rows]

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def prune_sums(self, step: Step, before: int, limit: int) -> int:
        async def work(tx: Transaction) -> int:
            return (await tx.run(PRUNE, STEP_CODES[step], before, limit)).affected

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def make_mark(self, mark: Mark) -> tuple[Mark, bool]:
        async def work(tx: Transaction) -> tuple[Mark, bool]:
            key = rows.id_bytes(mark.id)
            try:
                await tx.run(MAKE_MARK, key, mark.at, mark.text)
            except err.IntegrityError as error:
                if not mysql_errors.is_duplicate(error):
                    raise
                await tx.start_over()
                (found,) = (await tx.run(MARK, key)).rows or (None,)
                return (mark if found is None else _mark(found)), False
            if old := tuple(raw(id_) for (id_,) in (await tx.run(OLD_MARKS, sums.MAX_MARKS)).rows):
                await tx.run(DROP_MARKS, old)
            return mark, True

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False)

    async def marks(self, since: int, until: int, limit: int) -> list[Mark]:
        async def work(tx: Transaction) -> list[Mark]:
            return [_mark(row) for row in reversed((await tx.run(MARKS, since, until, limit)).rows)]

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def drop_mark(self, mark_id: str) -> bool:
        async def work(tx: Transaction) -> bool:
            return (await tx.run(DROP_MARKS, (rows.id_bytes(mark_id),))).affected == 1

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False)


async def _stored(tx: Transaction, steps: Iterable[tuple[Step, int]]) -> Sums:
    """Return all sums of these steps."""
    document = msgspec.json.encode(sorted((STEP_CODES[step], at) for step, at in steps)).decode()
    return dict(map(_sum, (await tx.run(OF_STEPS, document)).rows))


def _sum(row: Row) -> tuple[SumPlace, Part]:
    step, at, queue, type, body = row
    place = SumPlace(_STEPS[number(step)], number(at), text(queue), text(type))
    return place, tallies.part(place.queue, place.type, raw(body))


def _row(one: tuple[SumPlace, Part]) -> tuple[int, int, str, str, int, str]:
    place, part = one
    return STEP_CODES[place.step], place.at, place.queue, place.type, part.weight, tallies.sums_text(part)


def _wanted(which: Span) -> list[Parameter]:
    """Return the parameters of ``_WANTED``."""
    queues = (1, which.queues) if which.queues else _NO_NAMES
    types = (1, which.types) if which.types else _NO_NAMES
    return [STEP_CODES[which.step], which.since, which.until, *queues, *types]


def _mark(row: Row) -> Mark:
    key, at, said = row
    return Mark(rows.id_text(raw(key)), number(at), text(said))
