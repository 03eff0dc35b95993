"""Links in MySQL: part of ``MysqlStore``.

Whoever changes the links of a job that waits holds that job's row: so of two nodes that settle it for two others, the
second sees what the first has done, and a job never waits for what both believe the other will do. A job that a new one
depends on is locked while the link is written: its end is either seen then, or comes after the link. What links make of
jobs is decided in ``links.py``. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tickr.events import Change
from tickr.jobs import FINAL, State
from tickr.links import Kind, Link
from tickr.store import links, rows
from tickr.store.link_answers import LinkPage, LinkPlace, Settled, to_settle
from tickr.store.mysql_claims import LOCK_BY_IDS
from tickr.store.mysql_jobs import documents, keys_of, read, write
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, raw

_ROWS = (
    "JSON_TABLE(%s, '$[*]' COLUMNS (on_id CHAR(32) CHARACTER SET ascii PATH '$[0]', "
    "waiter CHAR(32) CHARACTER SET ascii PATH '$[1]', kind TINYINT PATH '$[2]')) AS x "
)
INSERT = (
    "INSERT INTO links (on_id, waiter, kind) "  # noqa: S608
    f"SELECT UNHEX(x.on_id), UNHEX(x.waiter), x.kind FROM {_ROWS}ON DUPLICATE KEY UPDATE kind = x.kind"
)
DELETE = (
    f"DELETE l FROM {_ROWS}STRAIGHT_JOIN links AS l FORCE INDEX (PRIMARY) "
    "ON l.on_id = UNHEX(x.on_id) AND l.waiter = UNHEX(x.waiter)"
)
OF = "SELECT on_id, waiter, kind FROM links FORCE INDEX (links_waiter) WHERE waiter IN %s"
WAIT_FOR = (
    "SELECT DISTINCT waiter FROM links FORCE INDEX (PRIMARY) WHERE on_id IN %s AND waiter > %s ORDER BY waiter LIMIT %s"
)
WAIT = (
    "SELECT DISTINCT waiter FROM links FORCE INDEX (links_waiter) "
    "WHERE waiter IN %s AND waiter > %s ORDER BY waiter LIMIT %s"
)
NEEDED = "SELECT DISTINCT on_id FROM links FORCE INDEX (PRIMARY) WHERE on_id IN %s AND waiter <> on_id"
STATES = "SELECT id, state FROM jobs FORCE INDEX (PRIMARY) WHERE id IN %s"
LOCK_STATES = STATES + " FOR UPDATE"
PAGE = (
    "SELECT on_id, waiter FROM links FORCE INDEX (PRIMARY) WHERE on_id >= %s AND (on_id > %s OR waiter > %s) "
    "AND kind <= 2 ORDER BY on_id, waiter LIMIT %s"
)


class MysqlLinks:
    """``Links`` of the contract."""

    _transactions: Transactions
    _worked_s: float

    def now_us(self) -> int:
        raise NotImplementedError

    async def settle_links(self, ended: Collection[str], after: str | None = None) -> Settled:
        run = self._transactions.run
        found = await run(
            lambda tx: _concerned(tx, ended, after), within_s=self._worked_s, exact_now=False, atomic=False
        )
        if not found:
            return Settled([], None, self.now_us(), [])
        return await run(lambda tx: _settle(tx, found, ended), within_s=self._worked_s)

    async def open_links(self, limit: int, after: LinkPlace | None = None) -> LinkPage:
        return await self._transactions.run(
            lambda tx: _look(tx, limit, after), within_s=self._worked_s, exact_now=False, atomic=False
        )


async def put(tx: Transaction, some: Iterable[Link]) -> None:
    """Write links of jobs that are locked, or new."""
    for document in _documents(tx, some):
        await tx.run(INSERT, document)


async def of(tx: Transaction, keys: tuple[bytes, ...]) -> list[Link]:
    """Return the links of the jobs ``keys`` that wait."""
    return [_link(row) for row in (await tx.run(OF, keys)).rows]


async def needed(tx: Transaction, keys: tuple[bytes, ...]) -> set[str]:
    """Return those of the jobs ``keys``, which are locked, that other jobs have a link to."""
    return {rows.id_text(raw(on)) for (on,) in (await tx.run(NEEDED, keys)).rows} if keys else set()


async def redrive(tx: Transaction, made: list[Change]) -> list[Change]:
    """Return what starting jobs over comes to, and write their links. The jobs are locked."""
    keys = keys_of({id_ for change in made for id_ in links.awaits(change.after)})
    if not keys:
        return made
    after, opened = links.redrive(made, dict(map(_state, (await tx.run(LOCK_STATES, keys)).rows)))
    await put(tx, opened)
    return after


async def _concerned(tx: Transaction, ended: Collection[str], after: str | None) -> list[str]:
    """Return the first of those who wait for one of ``ended``, or are one of them and wait."""
    keys, place = keys_of(ended), b"" if after is None else rows.id_bytes(after)
    found = {
        raw(key) for sql in (WAIT_FOR, WAIT) for (key,) in (await tx.run(sql, keys, place, links.MAX_SETTLED)).rows
    }
    return [rows.id_text(key) for key in sorted(found)[: links.MAX_SETTLED]]


async def _settle(tx: Transaction, waiters: Sequence[str], ended: Collection[str]) -> Settled:
    """See ``Store.settle_links``; of ``waiters``, who are looked at again under lock."""
    keys = keys_of(waiters)
    jobs = await read(tx, LOCK_BY_IDS, keys)
    held = await of(tx, keys)
    found = map(_state, (await tx.run(STATES, keys_of(ended))).rows)
    made = links.settle(jobs, held, {id_: state for id_, state in found if state in FINAL}, tx.now)
    await write(tx, made.changes)
    for document in _documents(tx, made.gone):
        await tx.run(DELETE, document)
    await put(tx, made.kept)
    after = waiters[-1] if len(waiters) == links.MAX_SETTLED else None
    return Settled([change.after for change in made.changes], after, tx.now, made.orphans)


async def _look(tx: Transaction, limit: int, after: LinkPlace | None) -> LinkPage:
    """See ``Store.open_links``."""
    on, waiter = (b"", b"") if after is None else map(rows.id_bytes, after)
    found = (await tx.run(PAGE, on, on, waiter, limit)).rows
    page = [(rows.id_text(raw(one)), rows.id_text(raw(other))) for one, other in found]
    ids = {id_ for place in page for id_ in place}
    states = dict(map(_state, (await tx.run(STATES, keys_of(ids))).rows)) if ids else {}
    return LinkPage(len(page), to_settle(page, states), page[-1] if len(page) == limit else None)


def _documents(tx: Transaction, some: Iterable[Link]) -> Iterable[str]:
    values = [(rows.id_bytes(on).hex(), rows.id_bytes(waiter).hex(), int(kind)) for on, waiter, kind in some]
    return documents(sorted(values), tx.max_document_bytes)


def _link(row: Row) -> Link:
    on, waiter, kind = row
    return Link(rows.id_text(raw(on)), rows.id_text(raw(waiter)), Kind(number(kind)))


def _state(row: Row) -> tuple[str, State]:
    key, code = row
    return rows.id_text(raw(key)), rows.state(number(code))
