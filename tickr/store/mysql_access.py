"""Tokens and the trail in MySQL: part of ``MysqlStore``. All SQL is static.

Who changes tokens raises their version first: it then has the lock that all others of its kind wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickr.store import rows
from tickr.store.access_rows import ENTRY_COLUMNS, LAST, TOKEN_COLUMNS, scopes_of, scopes_text
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Parameter, Row, number, number_or_none, raw, text, text_or_none
from tickr.store.token_changes import changed
from tickr.tokens import Change, Kept, Token
from tickr.trail import Ended, Entry

VERSION = "SELECT version FROM tokens_version WHERE id = 1"
RAISE_VERSION = "UPDATE tokens_version SET version = version + 1 WHERE id = 1"
TOKENS = f"SELECT {TOKEN_COLUMNS} FROM tokens"  # noqa: S608 -- static text
WRITE_TOKEN = f"REPLACE INTO tokens ({TOKEN_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608
DROP_TOKENS = "DELETE FROM tokens WHERE id IN %s"
USE_TOKEN = "UPDATE tokens SET used_at = %s WHERE id = %s"
BEGIN = f"INSERT IGNORE INTO trail ({ENTRY_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608
END = "UPDATE trail SET status = %s, subject = %s WHERE id = %s"
_BEFORE = "id < %s ORDER BY id DESC LIMIT %s"
TRAIL = {
    (False, False): f"SELECT {ENTRY_COLUMNS} FROM trail FORCE INDEX (PRIMARY) WHERE {_BEFORE}",  # noqa: S608
    (True, False): f"SELECT {ENTRY_COLUMNS} FROM trail FORCE INDEX (trail_who) WHERE who = %s AND {_BEFORE}",  # noqa: S608
    (False, True): f"SELECT {ENTRY_COLUMNS} FROM trail FORCE INDEX (trail_subject) "  # noqa: S608
    f"WHERE subject = %s AND {_BEFORE}",
    (True, True): f"SELECT {ENTRY_COLUMNS} FROM trail FORCE INDEX (trail_subject) "  # noqa: S608
    f"WHERE who = %s AND subject = %s AND {_BEFORE}",
}
"""By whether it is asked for who, and for a subject."""
PRUNE = "DELETE FROM trail WHERE at < %s ORDER BY at, id LIMIT %s"


class MysqlAccess:
    """``Access`` of the contract."""

    _transactions: Transactions
    _asked_s: float
    _worked_s: float

    async def tokens(self, known: int | None = None) -> Kept | None:
        async def work(tx: Transaction) -> Kept | None:
            # The version first: tokens that are newer than it are only read once more.
            ((cell,),) = (await tx.run(VERSION)).rows
            version = number(cell)
            return None if version == known else Kept(version, await _tokens(tx))

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def change_token(self, change: Change) -> Token:
        async def work(tx: Transaction) -> Token:
            await tx.run(RAISE_VERSION)
            token, gone = changed(change, await _tokens(tx), tx.now)
            if gone:
                await tx.run(DROP_TOKENS, tuple(gone))
            await tx.run(WRITE_TOKEN, *_row(token))
            return token

        return await self._transactions.run(work, within_s=self._asked_s)

    async def use_tokens(self, seen: Mapping[str, int]) -> None:
        async def work(tx: Transaction) -> None:
            for token, at in sorted(seen.items()):
                await tx.run(USE_TOKEN, at, token)

        await self._transactions.run(work, within_s=self._worked_s, exact_now=False)

    async def write_trail(self, begun: Sequence[Entry], ended: Sequence[Ended]) -> None:
        async def work(tx: Transaction) -> None:
            for entry in begun:
                await tx.run(BEGIN, rows.id_bytes(entry.id), *entry[1:])
            for one in ended:
                await tx.run(END, one.status, one.subject, rows.id_bytes(one.id))

        await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=len(begun) + len(ended) > 1)

    async def trail(
        self, limit: int, *, who: str | None = None, subject: str | None = None, before: str | None = None
    ) -> list[Entry]:
        wanted = [word for word in (who, subject) if word is not None]
        last = LAST if before is None else rows.id_bytes(before)

        async def work(tx: Transaction) -> list[Entry]:
            statement = TRAIL[who is not None, subject is not None]
            return [_entry(row) for row in (await tx.run(statement, *wanted, last, limit)).rows]

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def prune_trail(self, before: int, limit: int) -> int:
        async def work(tx: Transaction) -> int:
            return (await tx.run(PRUNE, before, limit)).affected

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)


async def _tokens(tx: Transaction) -> dict[str, Token]:
    found = map(_token, (await tx.run(TOKENS)).rows)
    return {token.id: token for token in found}


def _row(token: Token) -> list[Parameter]:
    values = token._asdict() | {"scopes": scopes_text(token.scopes)}
    return list(values.values())


def _token(row: Row) -> Token:
    key, name, digest, scopes, created_at, created_by, expires_at, used_at, revoked_at, old_digest, old_until = row
    made = text(key), text(name), raw(digest), scopes_of(text(scopes)), number(created_at), text(created_by)
    ends = number_or_none(expires_at), number_or_none(used_at), number_or_none(revoked_at)
    return Token(*made, *ends, old_digest, number_or_none(old_until))


def _entry(row: Row) -> Entry:
    key, at, who, token, address, action, method, path, subject, status = row
    words = text(action), text(method), text(path), text(subject)
    said = text(who), text_or_none(token), text(address)
    return Entry(rows.id_text(raw(key)), number(at), *said, *words, number_or_none(status))
