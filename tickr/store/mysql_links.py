"""Links in MySQL: part of ``MysqlStore``.

Whoever changes the links of a job that waits holds that job's row: so of two nodes that settle it for two others, the
second sees what the first has done, and a job never waits for what both believe the other will do. A job that a new one
depends on is locked while the link is written: its end is either seen then, or comes after the link. What links make of
jobs is decided in ``links.py``. All SQL is static.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tickr.events import Change
from tickr.jobs import FINAL, Job, State
from tickr.links import WAITS, Kind, Link
from tickr.store import links, rows, sequences
from tickr.store.key_rows import Key
from tickr.store.link_answers import LinkPage, LinkPlace, Settled, to_settle
from tickr.store.mysql_claims import LOCK_BY_IDS
from tickr.store.mysql_jobs import documents, keys_of, read, write
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, raw
from tickr.store.sequences import Sequences

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
ON = "SELECT on_id, waiter, kind FROM links FORCE INDEX (PRIMARY) WHERE on_id IN %s"
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

    async def waits_of(self, waiter: str) -> list[Link]:
        async def work(tx: Transaction) -> list[Link]:
            return sorted(link for link in await of(tx, keys_of([waiter])) if link.kind in WAITS)

        return await self._transactions.run(work, within_s=self._worked_s, exact_now=False, atomic=False)

    async def open_links(self, limit: int, after: LinkPlace | None = None) -> LinkPage:
        return await self._transactions.run(
            lambda tx: _look(tx, limit, after), within_s=self._worked_s, exact_now=False, atomic=False
        )


async def put(tx: Transaction, some: Iterable[Link]) -> None:
    """Write links of jobs that are locked, or new."""
    for document in _documents(tx, some):
        await tx.run(INSERT, document)


async def of(tx: Transaction, keys: tuple[bytes, ...], sql: str = OF) -> list[Link]:
    """Return whom the jobs ``keys`` wait for; with ``ON`` who waits for them."""
    return [_link(row) for row in (await tx.run(sql, keys)).rows] if keys else []


async def remove(tx: Transaction, some: Iterable[Link]) -> None:
    """Delete links of jobs that are locked."""
    for document in _documents(tx, some):
        await tx.run(DELETE, document)


async def needed(tx: Transaction, keys: tuple[bytes, ...]) -> set[str]:
    """See ``deletions.delete``; ``keys``: of jobs that are locked."""
    if not keys:
        return set()
    turns = {link.waiter for link in await of(tx, keys) if link.kind is Kind.SEQUENCE}
    return turns | {rows.id_text(raw(on)) for (on,) in (await tx.run(NEEDED, keys)).rows}


async def redrive(
    tx: Transaction, made: list[Change], kept: dict[str, Key], stored: Iterable[Job]
) -> tuple[list[Change], list[Key]]:
    """Return what starting jobs over comes to, with the rows of their sequences, and write their links.

    Args:
      made: of jobs that are locked.
      kept: the rows of their keys, locked, by name. stored: the jobs of these, locked where they are of a sequence.
    """
    keys = keys_of({id_ for change in made for id_ in links.awaits(change.after)})
    ordered = {job.id for job in sequences.named(change.after for change in made)}
    if not keys and not ordered:
        return made, []
    states = dict(map(_state, (await tx.run(LOCK_STATES, keys)).rows)) if keys else {}
    turns = Sequences(kept, {job.id: job for job in stored}, await _turns(tx, ordered, kept), tx.now)
    after, opened = links.redrive(made, states, turns)
    await put(tx, opened)
    await remove(tx, turns.gone)
    return after, [*turns.written.values()]


async def _turns(tx: Transaction, ordered: Collection[str], kept: Mapping[str, Key]) -> list[Link]:
    """Return whom ``ordered`` and the last of their sequences wait for, and who waits for ``ordered``, locked."""
    if not ordered:
        return []
    keys = keys_of(ordered)
    if waiters := keys_of({link.waiter for link in await of(tx, keys, ON)}):
        await tx.run(LOCK_STATES, waiters)
    return await of(tx, keys_of({*ordered} | sequences.last_of(kept))) + await of(tx, keys, ON)


async def _concerned(tx: Transaction, ended: Collection[str], after: str | None) -> list[str]:
    """Return the first of those who wait for one of ``ended``, or are one of them and wait."""
    keys, place = keys_of(ended), b"" if after is None else rows.id_bytes(after)
    found = {
        raw(key) for sql in (WAIT_FOR, WAIT) for (key,) in (await tx.run(sql, keys, place, links.MAX_SETTLED)).rows
    }
    return [rows.id_text(key) for key in sorted(found)[: links.MAX_SETTLED]]


async def _settle(tx: Transaction, waiters: Sequence[str], ended: Collection[str]) -> Settled:
    """See ``Store.settle_links``; of ``waiters``, who are looked at again under lock."""
    keys = keys_of({*waiters} | sequences.predecessors(await of(tx, keys_of(waiters)), ended))
    jobs = await read(tx, LOCK_BY_IDS, keys)
    held = await of(tx, keys)
    found = map(_state, (await tx.run(STATES, keys_of(ended))).rows)
    made = links.settle(jobs, held, {id_: state for id_, state in found if state in FINAL}, tx.now)
    await write(tx, made.changes)
    await remove(tx, made.gone)
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
