"""What jobs log in MySQL: part of ``MysqlStore``. Jobs are locked before their lines, and never after them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import itemgetter

from tickr.job_log import LogPart, LogPlace, PartSize, outgrown
from tickr.reports import Lines
from tickr.store import changes, rows
from tickr.store.mysql_feed import LOCK_BEGUN
from tickr.store.mysql_jobs import documents, keys_of
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, raw, text

_PLACE = "id CHAR(32) CHARACTER SET ascii PATH '$[0]', fence BIGINT PATH '$[1]', %s BIGINT PATH '$[2]'"
_LONG = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
KEEP = (
    "INSERT IGNORE INTO job_log (job_id, fence, attempt, last, count, size, marks, messages) "  # noqa: S608 -- static
    "SELECT UNHEX(x.id), x.fence, x.attempt, x.last, x.count, x.size, x.marks, x.messages "
    f"FROM JSON_TABLE(%s, '$[*]' COLUMNS ({_PLACE % 'attempt'}, last BIGINT PATH '$[3]', count BIGINT PATH '$[4]', "
    f"size BIGINT PATH '$[5]', marks {_LONG} PATH '$[6]', messages {_LONG} PATH '$[7]')) AS x"
)
SIZES = "SELECT job_id, fence, last, count, size FROM job_log FORCE INDEX (PRIMARY) WHERE job_id IN %s ORDER BY job_id"
FORGET = (
    f"DELETE g FROM JSON_TABLE(%s, '$[*]' COLUMNS ({_PLACE % 'last'})) AS x STRAIGHT_JOIN "
    "job_log AS g FORCE INDEX (PRIMARY) ON g.job_id = UNHEX(x.id) AND g.fence = x.fence AND g.last = x.last"
)
_READ = "SELECT fence, attempt, last, count, size, marks, messages FROM job_log FORCE INDEX (PRIMARY) WHERE job_id = %s"
READ = f"{_READ} AND fence >= %s AND (fence > %s OR last > %s) ORDER BY fence, last LIMIT %s"
READ_ATTEMPT = f"{_READ} AND fence >= %s AND (fence > %s OR last > %s) AND attempt = %s ORDER BY fence, last LIMIT %s"
RESEAL_LOG = (
    f"UPDATE JSON_TABLE(%s, '$[*]' COLUMNS ({_PLACE % 'last'}, messages {_LONG} PATH '$[3]')) AS x "  # noqa: S608
    "STRAIGHT_JOIN job_log AS g FORCE INDEX (PRIMARY) ON g.job_id = UNHEX(x.id) AND g.fence = x.fence "
    "AND g.last = x.last SET g.messages = x.messages"
)


class MysqlJobLog:
    """``JobLog`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def keep_log(self, said: Sequence[Lines], *, bound: int) -> int:
        return await self._transactions.run(lambda tx: _keep(tx, said, bound), within_s=self._worked_s, exact_now=False)

    async def job_log(
        self, job_id: str, limit: int, *, after: LogPlace | None = None, attempt: int | None = None
    ) -> list[LogPart]:
        fence, last = after or (0, 0)
        place = rows.id_bytes(job_id), fence, fence, last

        async def work(tx: Transaction) -> list[LogPart]:
            asked = tx.run(READ, *place, limit) if attempt is None else tx.run(READ_ATTEMPT, *place, attempt, limit)
            return [_part(row) for row in (await asked).rows]

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)


async def _keep(tx: Transaction, said: Sequence[Lines], bound: int) -> int:
    locked = (await tx.run(LOCK_BEGUN, keys_of({one.job.id for one in said}))).rows
    kept = changes.of_running(said, {rows.id_text(raw(key)): (number(fence), number(at)) for key, fence, at in locked})
    values = sorted((rows.id_bytes(one.job.id).hex(), *rows.of_log_part(one.part)) for one in kept)
    for document in documents(values, tx.max_document_bytes):
        await tx.run(KEEP, document)
    if trimmed := changes.to_trim(kept):
        await _trim(tx, trimmed, bound)
    return len(kept)


async def _trim(tx: Transaction, ids: Sequence[str], bound: int) -> None:
    found = (await tx.run(SIZES, keys_of(ids))).rows
    gone = []
    for key, parts in itertools.groupby(found, key=itemgetter(0)):
        sizes = [PartSize(*map(number, size)) for _, *size in parts]
        gone += [(raw(key).hex(), part.fence, part.last) for part in outgrown(sizes, bound)]
    for document in documents(gone, tx.max_document_bytes):
        await tx.run(FORGET, document)


async def reseal(tx: Transaction, job_id: str, parts: Sequence[LogPart]) -> None:
    """Write what lines say anew, as encrypted with another key."""
    values = [(rows.id_bytes(job_id).hex(), part.fence, part.last, part.messages) for part in parts]
    for document in documents(values, tx.max_document_bytes):
        await tx.run(RESEAL_LOG, document)


def _part(row: Row) -> LogPart:
    *numbers, marks, messages = row
    return rows.log_part((*map(number, numbers), text(marks), text(messages)))
