"""Checkpoints in MySQL: part of ``MysqlStore``. Jobs are locked before their checkpoints, and never after them."""

from __future__ import annotations

from collections.abc import Sequence

from tickr.jobs import FINAL, Job
from tickr.reports import Checkpoint
from tickr.store import changes, mysql_ended, rows
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_feed import LOCK_BEGUN
from tickr.store.mysql_jobs import delete_checkpoints, documents, keys_of
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, raw, text

_FINAL = ", ".join(str(STATE_CODES[state]) for state in sorted(FINAL))
_ID = "id CHAR(32) CHARACTER SET ascii PATH '$[0]'"

KEEP = (
    "REPLACE INTO checkpoints (job_id, created_at, look_at, value) "  # noqa: S608 -- static text
    "SELECT UNHEX(x.id), x.created_at, x.look_at, x.value "
    f"FROM JSON_TABLE(%s, '$[*]' COLUMNS ({_ID}, created_at BIGINT PATH '$[1]', look_at BIGINT PATH '$[2]', "
    "value LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[3]')) AS x"
)
READ = "SELECT value FROM checkpoints FORCE INDEX (PRIMARY) WHERE job_id = %s AND created_at = %s"
DUE = (
    "SELECT job_id FROM checkpoints FORCE INDEX (checkpoints_look) "
    "WHERE look_at <= %s ORDER BY look_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
ALIVE = f"SELECT id FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s AND state NOT IN ({_FINAL})"  # noqa: S608
LOOK_LATER = (
    f"UPDATE JSON_TABLE(%s, '$[*]' COLUMNS ({_ID}, look_at BIGINT PATH '$[1]')) AS x "  # noqa: S608 -- static text
    "STRAIGHT_JOIN checkpoints AS c FORCE INDEX (PRIMARY) ON c.job_id = UNHEX(x.id) SET c.look_at = x.look_at"
)


class MysqlCheckpoints:
    """``Checkpoints`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def keep_checkpoints(self, kept: Sequence[Checkpoint]) -> int:
        return await self._transactions.run(lambda tx: _keep(tx, kept), within_s=self._worked_s, exact_now=False)

    async def checkpoint(self, job: Job) -> str | None:
        async def work(tx: Transaction) -> str | None:
            found = (await tx.run(READ, rows.id_bytes(job.id), job.created_at)).rows
            return text(found[0][0]) if found else None

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def prune_checkpoints(self, limit: int) -> int:
        return await self._transactions.run(lambda tx: _prune(tx, limit), within_s=self._worked_s)


async def _keep(tx: Transaction, kept: Sequence[Checkpoint]) -> int:
    locked = (await tx.run(LOCK_BEGUN, keys_of({one.job.id for one in kept}))).rows
    last = changes.checkpoints(kept, {rows.id_text(raw(key)): (number(fence), number(at)) for key, fence, at in locked})
    look_at = tx.now + changes.CHECKPOINT_LOOK_US
    values = [(rows.id_bytes(id_).hex(), one.job.created_at, look_at, one.value) for id_, one in sorted(last.items())]
    for document in documents(values, tx.max_document_bytes):
        await tx.run(KEEP, document)
    return len(last)


async def _prune(tx: Transaction, limit: int) -> int:
    """Rows are locked before it is looked whether their jobs have ended: nobody can start one over meanwhile.

    And ends that were written and stand for nothing are deleted.
    """
    await mysql_ended.prune(tx, limit)
    looked_at = [raw(key) for (key,) in (await tx.run(DUE, tx.now, limit)).rows]
    if not looked_at:
        return 0
    alive = {raw(key) for (key,) in (await tx.run(ALIVE, tuple(looked_at))).rows}
    await delete_checkpoints(tx, [rows.id_text(key) for key in looked_at if key not in alive])
    later = [(key.hex(), tx.now + changes.CHECKPOINT_LOOK_US) for key in looked_at if key in alive]
    for document in documents(later, tx.max_document_bytes):
        await tx.run(LOOK_LATER, document)
    return len(looked_at)
