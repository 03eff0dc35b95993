"""The inbox in MySQL: part of ``MysqlStore``.

Rows are found without locks, so that what others have inserted and not committed is not seen and not waited for; and
changed by primary key through a join, as with IN the server may go through the whole table while it is small, and wait
at such a row. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tickr.store.contract import InboxRow, RefusedRow
from tickr.store.inbox import EXCERPT, choose, in_order
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, raw, text_or_none

SIZES = (
    "SELECT seq, OCTET_LENGTH(job) FROM inbox FORCE INDEX (inbox_next) WHERE refused_at IS NULL ORDER BY seq LIMIT %s"
)
READ = "SELECT seq, id, job FROM inbox FORCE INDEX (PRIMARY) WHERE seq IN %s ORDER BY seq"
_NUMBERS = "JSON_TABLE(%s, '$[*]' COLUMNS (seq BIGINT PATH '$')) AS x STRAIGHT_JOIN inbox AS i FORCE INDEX (PRIMARY) "
TAKE = f"DELETE i FROM {_NUMBERS} ON i.seq = x.seq"
REFUSE = (
    "UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', "
    "reason TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[1]')) AS x "
    "STRAIGHT_JOIN inbox AS i FORCE INDEX (PRIMARY) ON i.seq = x.seq "
    "SET i.refused_at = %s, i.reason = x.reason WHERE i.refused_at IS NULL"
)
REFUSED = (
    "SELECT seq, id, LEFT(job, %s), refused_at, reason FROM inbox FORCE INDEX (inbox_next) "
    "WHERE refused_at IS NOT NULL ORDER BY refused_at DESC, seq DESC LIMIT %s"
)
RETRY = "UPDATE inbox SET refused_at = NULL, reason = NULL WHERE seq = %s AND refused_at IS NOT NULL"
DROP = "DELETE FROM inbox WHERE seq = %s AND refused_at IS NOT NULL"
OLD = "SELECT seq FROM inbox FORCE INDEX (inbox_next) WHERE refused_at < %s ORDER BY refused_at, seq LIMIT %s "
PRUNE = TAKE + " WHERE i.refused_at < %s"


class MysqlInbox:
    """``Inbox`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def inbox_rows(self, limit: int, *, max_bytes: int, max_row_bytes: int) -> list[InboxRow]:
        async def work(tx: Transaction) -> list[InboxRow]:
            sizes = [(number(seq), number(size)) for seq, size in (await tx.run(SIZES, limit)).rows]
            choice = choose(sizes, max_bytes, max_row_bytes)
            read = (await tx.run(READ, tuple(choice.fit))).rows if choice.fit else ()
            return in_order([_row(number(seq), raw(id_), raw(job)) for seq, id_, job in read], choice.long)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def settle_inbox(self, taken: Sequence[int], refused: Mapping[int, str]) -> int:
        async def work(tx: Transaction) -> int:
            if refused:
                await tx.run(REFUSE, _document(sorted(refused.items())), tx.now)
            return (await tx.run(TAKE, _document(sorted(taken)))).affected if taken else 0

        # Either of them alone may be done twice without harm.
        atomic = bool(taken and refused)
        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=atomic)

    async def inbox_refused(self, limit: int) -> list[RefusedRow]:
        async def work(tx: Transaction) -> list[RefusedRow]:
            return [
                RefusedRow(number(seq), _shown(id_), _shown(job), number(at), text_or_none(reason) or "")
                for seq, id_, job, at, reason in (await tx.run(REFUSED, EXCERPT, limit)).rows
            ]

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def retry_inbox(self, seq: int) -> bool:
        return await self._change_one(RETRY, seq)

    async def drop_inbox(self, seq: int) -> bool:
        return await self._change_one(DROP, seq)

    async def _change_one(self, sql: str, seq: int) -> bool:
        async def work(tx: Transaction) -> bool:
            return (await tx.run(sql, seq)).affected == 1

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False)

    async def prune_inbox(self, before: int, limit: int) -> int:
        async def work(tx: Transaction) -> int:
            old = [number(seq) for (seq,) in (await tx.run(OLD, before, limit)).rows]
            return (await tx.run(PRUNE, _document(sorted(old)), before)).affected if old else 0

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False)


def _row(seq: int, id_: bytes, job: bytes) -> InboxRow:
    return InboxRow(seq, _shown(id_), job, len(job))


def _shown(text: bytes | None) -> str:
    return raw(text).decode(errors="replace")


def _document(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()
