"""The age of the backlog over time, in MySQL: part of ``MysqlStore``. All SQL is static.

Who looks moves the instant of the last look first: it then has the lock that others who look wait for, and those find
that it has moved. Nobody but they writes ages, so these need no lock of their own.
"""

from __future__ import annotations

import msgspec

from tickr.store import backlog as kept
from tickr.store.contract import AgePlace, Span
from tickr.store.mysql_jobs import documents
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, text
from tickr.store.mysql_waiting import oldest_due
from tickr.store.sums import STEP_CODES
from tickr.tallies import Step

LOOK = "UPDATE backlog_looks SET at = %s WHERE id = 1 AND (at <= %s OR at > %s)"
OF_STEPS = (
    "SELECT b.step, b.at, b.queue, b.age "
    "FROM JSON_TABLE(%s, '$[*]' COLUMNS (step TINYINT PATH '$[0]', at BIGINT PATH '$[1]')) AS x "
    "STRAIGHT_JOIN backlogs AS b FORCE INDEX (PRIMARY) ON b.step = x.step AND b.at = x.at"
)
WRITE = (
    "REPLACE INTO backlogs (step, at, queue, age) "
    "SELECT x.step, x.at, x.queue, x.age FROM JSON_TABLE(%s, '$[*]' COLUMNS "
    "(step TINYINT PATH '$[0]', at BIGINT PATH '$[1]', queue VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin "
    "PATH '$[2]', age BIGINT PATH '$[3]')) AS x"
)
AGES = (
    "SELECT step, at, queue, age FROM backlogs FORCE INDEX (PRIMARY) WHERE step = %s AND at >= %s AND at < %s "
    "AND (%s = 0 OR queue IN %s) AND (at > %s OR queue > %s) ORDER BY at, queue LIMIT %s"
)
"""The last condition leaves out what comes before a place whose ``at`` is where the range begins."""
PRUNE = "DELETE FROM backlogs WHERE step = %s AND at < %s ORDER BY step, at, queue LIMIT %s"

_STEPS = {code: step for step, code in STEP_CODES.items()}


class MysqlBacklog:
    """``Backlog`` of the contract."""

    _transactions: Transactions
    _worked_s: float

    async def look_at_backlog(self, every_us: int) -> bool:
        async def work(tx: Transaction) -> bool:
            if not (await tx.run(LOOK, tx.now, tx.now - every_us, tx.now)).affected:
                return False
            steps = msgspec.json.encode([(STEP_CODES[step], at) for step, at in kept.steps_of(tx.now)]).decode()
            stored = dict(map(_age, (await tx.run(OF_STEPS, steps)).rows))
            written = kept.raised(await oldest_due(tx), tx.now, stored)
            rows = ((STEP_CODES[place.step], place.at, place.queue, age) for place, age in written.items())
            for document in documents(rows, tx.max_document_bytes):
                await tx.run(WRITE, document)
            return True

        # A COMMIT that is not answered is done again, and finds that somebody has just looked: itself.
        return await self._transactions.run(work, within_s=self._worked_s)

    async def backlog(self, which: Span, limit: int, after: AgePlace | None = None) -> list[tuple[AgePlace, int]]:
        async def work(tx: Transaction) -> list[tuple[AgePlace, int]]:
            place = AgePlace(which.step, which.since - 1, kept.REST) if after is None else after
            named = (1, (*which.queues, kept.REST)) if which.queues else (0, (kept.REST,))
            begin = max(which.since, place.at)
            asked = STEP_CODES[which.step], begin, which.until, *named, place.at, place.queue, limit
            return [_age(row) for row in (await tx.run(AGES, *asked)).rows]

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def prune_backlog(self, step: Step, before: int, limit: int) -> int:
        async def work(tx: Transaction) -> int:
            return (await tx.run(PRUNE, STEP_CODES[step], before, limit)).affected

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)


def _age(row: Row) -> tuple[AgePlace, int]:
    step, at, queue, age = row
    return AgePlace(_STEPS[number(step)], number(at), text(queue)), number(age)
