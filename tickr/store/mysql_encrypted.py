"""Encrypted jobs in MySQL: part of ``MysqlStore``. Rows are written in order of id, as everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from tickr.store import mysql_job_log, rows
from tickr.store.mysql_checkpoints import MysqlCheckpoints
from tickr.store.mysql_job_log import MysqlJobLog
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, raw, text_or_none
from tickr.store.sealed import KeyUse, KeyUses, Resealed

USES = (
    "SELECT id, JSON_UNQUOTE(JSON_EXTRACT(extras, '$.sealed')), state, JSON_EXTRACT(extras, '$.signed') "
    "FROM jobs FORCE INDEX (PRIMARY) WHERE id > %s ORDER BY id LIMIT %s"
)
RESEAL = (
    "UPDATE jobs FORCE INDEX (PRIMARY) SET payload = %s, result = %s, error = %s, progress = %s, extras = %s "
    "WHERE id = %s AND version = %s AND fence = %s AND state <> 4"
)
RESEAL_ATTEMPT = "UPDATE attempts FORCE INDEX (PRIMARY) SET error = %s WHERE job_id = %s AND fence = %s"
RESEAL_CHECKPOINT = "UPDATE checkpoints FORCE INDEX (PRIMARY) SET value = %s WHERE job_id = %s AND created_at = %s"


class MysqlEncrypted(MysqlCheckpoints, MysqlJobLog):
    """``Encrypted`` of the contract, and ``Checkpoints`` and ``JobLog``, as they are encrypted as well."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def key_uses(self, limit: int, after: str | None = None) -> KeyUses:
        async def work(tx: Transaction) -> KeyUses:
            found = (await tx.run(USES, rows.id_bytes(after or ""), limit)).rows
            uses = [_use(row) for row in found]
            return KeyUses(uses, uses[-1].id if len(uses) == limit else None)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def reseal(self, jobs: Sequence[Resealed]) -> int:
        async def work(tx: Transaction) -> int:
            return sum([await _reseal(tx, one) for one in sorted(jobs, key=lambda one: one.job.id)])

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)


def _use(row: Row) -> KeyUse:
    key, name, code, signed = row
    return KeyUse(
        rows.id_text(raw(key)), text_or_none(name), rows.state(number(code)), rows.signed(text_or_none(signed))
    )


async def _reseal(tx: Transaction, one: Resealed) -> int:
    written = (await tx.run(RESEAL, *rows.of_reseal(one.job))).affected
    if written:
        for attempt in one.attempts:
            key, fence, *_, error = rows.of_attempt(one.job.id, attempt)
            await tx.run(RESEAL_ATTEMPT, error, key, fence)
        if one.checkpoint is not None:
            await tx.run(RESEAL_CHECKPOINT, one.checkpoint, rows.id_bytes(one.job.id), one.job.created_at)
        await mysql_job_log.reseal(tx, one.job.id, one.log)
    return written
