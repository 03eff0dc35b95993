"""Links in SQLite: part of ``SqliteStore``. There is one writer, so nothing has to be locked.

What they make of jobs is decided in ``links.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.links import MAX_CHILDREN, WAITS, Kind, Link
from tickr.store import children, links, rows, sequences
from tickr.store.contract import Clock
from tickr.store.key_rows import Key
from tickr.store.link_answers import LinkPage, LinkPlace, Settled, to_settle
from tickr.store.sequences import Sequences
from tickr.store.sqlite_file import SqliteFile
from tickr.store.sqlite_reads import BY_IDS, jobs_by_id

_IDS = BY_IDS.partition("WHERE id IN ")[2]
_STATES = f"SELECT id, state FROM jobs WHERE id IN {_IDS}"  # noqa: S608 -- static text
_INSERT = "INSERT OR REPLACE INTO links (on_id, waiter, kind) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM links WHERE on_id = ? AND waiter = ?"
_OF = f"SELECT on_id, waiter, kind FROM links WHERE waiter IN {_IDS}"  # noqa: S608
_ON = f"SELECT on_id, waiter, kind FROM links WHERE on_id IN {_IDS}"  # noqa: S608
_NEEDED = f"SELECT DISTINCT on_id FROM links WHERE waiter <> on_id AND on_id IN {_IDS}"  # noqa: S608
_CONCERNED = f"""
SELECT waiter FROM (
  SELECT waiter FROM links WHERE on_id IN {_IDS} AND waiter > ?3
  UNION SELECT waiter FROM links WHERE waiter IN {_IDS} AND waiter > ?3
) ORDER BY waiter LIMIT ?4
"""  # noqa: S608
_PAGE = """
SELECT on_id, waiter FROM links WHERE (on_id, waiter) > (?, ?) AND kind <= 2 ORDER BY on_id, waiter LIMIT ?
"""
_BORN = "SELECT ifnull(max(place) + 1, 0) FROM children WHERE parent = ?"
_BEAR = "INSERT INTO children (parent, place, child) VALUES (?, ?, ?)"
_CHILDREN = f"SELECT child FROM children WHERE parent IN {_IDS} ORDER BY parent, place LIMIT ?"  # noqa: S608


Answer = TypeVar("Answer")


class SqliteLinks:
    """``Links`` of the contract."""

    _file: SqliteFile
    _clock: Clock

    async def _change(self, work: Callable[[sqlite3.Connection, int], tuple[Answer, list[Change]]]) -> Answer:
        raise NotImplementedError

    async def settle_links(self, ended: Collection[str], after: str | None = None) -> Settled:
        found = await self._file.read(lambda db: _concerned(db, ended, after))
        return (
            await self._change(lambda db, now: _settle(db, ended, after, now))
            if found
            else Settled([], None, self._clock(), [])
        )

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        return await self._change(lambda db, now: _spawn(db, attempt, new, now))

    async def children(self, parents: Collection[str], limit: int = MAX_CHILDREN) -> list[Job]:
        return await self._file.read(lambda db: _children(db, parents, limit))

    async def waits_of(self, waiter: str) -> list[Link]:
        return await self._file.read(lambda db: sorted(one for one in of(db, [waiter]) if one.kind in WAITS))

    async def open_links(self, limit: int, after: LinkPlace | None = None) -> LinkPage:
        return await self._file.read(lambda db: _look(db, limit, after))


def put(db: sqlite3.Connection, some: Sequence[Link]) -> None:
    if some:
        db.executemany(_INSERT, [(rows.id_bytes(on), rows.id_bytes(waiter), int(kind)) for on, waiter, kind in some])


def remove(db: sqlite3.Connection, some: Iterable[Link]) -> None:
    db.executemany(_DELETE, [(rows.id_bytes(link.on), rows.id_bytes(link.waiter)) for link in some])


def needed(db: sqlite3.Connection, ids: Collection[str]) -> set[str]:
    """See ``deletions.delete``."""
    turns = {link.waiter for link in of(db, ids) if link.kind is Kind.SEQUENCE}
    return turns | {rows.id_text(key) for (key,) in db.execute(_NEEDED, _packed(ids))}


def redrive(
    db: sqlite3.Connection, made: list[Change], kept: dict[str, Key], now: int
) -> tuple[list[Change], list[Key]]:
    """Return what starting jobs over comes to, with the rows of their sequences, and write their links.

    Args:
      kept: the rows of their keys, by name.
    """
    ids = {id_ for change in made for id_ in links.awaits(change.after)}
    ordered = {job.id for job in sequences.named(change.after for change in made)}
    if not ids and not ordered:
        return made, []
    last = sequences.last_of(kept)
    turns = Sequences(kept, jobs_by_id(db, last), of(db, ordered | last) + of(db, ordered, _ON), now)
    after, opened = links.redrive(made, _states(db, ids), turns)
    put(db, opened)
    remove(db, turns.gone)
    return after, [*turns.written.values()]


def _settle(
    db: sqlite3.Connection, ended: Collection[str], after: str | None, now: int
) -> tuple[Settled, list[Change]]:
    """See ``Store.settle_links``."""
    waiters = _concerned(db, ended, after)
    states = {id_: state for id_, state in _states(db, ended).items() if state in FINAL}
    held = {*waiters} | sequences.predecessors(of(db, waiters), states)
    made = links.settle(jobs_by_id(db, held).values(), of(db, held), states, now)
    remove(db, made.gone)
    put(db, made.kept)
    after = waiters[-1] if len(waiters) == links.MAX_SETTLED else None
    return Settled([change.after for change in made.changes], after, now, made.orphans), made.changes


def _spawn(db: sqlite3.Connection, attempt: Job, new: Sequence[NewJob], now: int) -> tuple[list[Job], list[Change]]:
    """See ``Store.spawn``."""
    stored = jobs_by_id(db, children.needed(attempt.id, new))
    held = of(db, [attempt.id])
    ((born,),) = db.execute(_BORN, (rows.id_bytes(attempt.id),))
    made = children.spawn(attempt, new, stored, held, born, now)
    put(db, made.links)
    places = [(rows.id_bytes(parent), place, rows.id_bytes(child)) for parent, place, child in made.places]
    db.executemany(_BEAR, places)
    return made.answers, made.changes


def _children(db: sqlite3.Connection, parents: Collection[str], limit: int) -> list[Job]:
    ids = [rows.id_text(child) for (child,) in db.execute(_CHILDREN, (*_packed(sorted(set(parents))), limit))]
    stored = jobs_by_id(db, ids)
    return [stored[id_] for id_ in ids if id_ in stored]


def _look(db: sqlite3.Connection, limit: int, after: LinkPlace | None) -> LinkPage:
    """See ``Store.open_links``."""
    first = (b"", b"") if after is None else tuple(map(rows.id_bytes, after))
    page = [(rows.id_text(on), rows.id_text(waiter)) for on, waiter in db.execute(_PAGE, (*first, limit))]
    states = _states(db, {id_ for place in page for id_ in place})
    return LinkPage(len(page), to_settle(page, states), page[-1] if len(page) == limit else None)


def _concerned(db: sqlite3.Connection, ended: Collection[str], after: str | None) -> list[str]:
    """Return the first of those who wait for one of ``ended``, or are one of them and wait."""
    place = b"" if after is None else rows.id_bytes(after)
    found = db.execute(_CONCERNED, (*_packed(ended), place, links.MAX_SETTLED))
    return [rows.id_text(key) for (key,) in found]


def of(db: sqlite3.Connection, ids: Collection[str], sql: str = _OF) -> list[Link]:
    """Return whom ``ids`` wait for; with ``_ON`` who waits for them."""
    found = db.execute(sql, _packed(ids)) if ids else ()
    return [Link(rows.id_text(on), rows.id_text(waiter), Kind(kind)) for on, waiter, kind in found]


def _states(db: sqlite3.Connection, ids: Collection[str]) -> dict[str, State]:
    """Return the states of those of ``ids`` that are stored."""
    found = db.execute(_STATES, _packed(ids))
    return {rows.id_text(key): rows.state(code) for key, code in found}


def _packed(ids: Collection[str]) -> tuple[int, bytes]:
    """Return ``ids`` as the parameters of ``_IDS``."""
    keys = [key for key in map(rows.id_bytes, ids) if key]
    return len(keys), b"".join(keys)
