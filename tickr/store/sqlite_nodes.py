"""Nodes in SQLite, as an operator sees them: part of ``SqliteStore``. The one writer makes orders come in turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tickr import events
from tickr.errors import NodeNotFound
from tickr.jobs import Job, State
from tickr.store import orders, rows, sqlite_feed
from tickr.store.contract import STATE_CODES, Clock
from tickr.store.node_answers import AtWork, Node
from tickr.store.orders import Order
from tickr.store.sqlite_file import SqliteFile

_ONE = "SELECT lease_until, lease_us, body FROM nodes WHERE id = ?"
_CHANGE = "UPDATE nodes SET body = ? WHERE id = ?"
_AT_WORK = f"""
SELECT id, type, queue, attempt, started_at, node, cancel_requested FROM jobs INDEXED BY jobs_order
WHERE state = {STATE_CODES[State.RUNNING]} AND (?1 IS NULL OR node = ?1) ORDER BY queue, priority, run_at, id LIMIT ?2
"""  # noqa: S608 -- static text
_GONE = """
SELECT name FROM queues WHERE name >= '@' AND name < 'A' AND substr(name, 2) NOT IN (SELECT id FROM nodes) LIMIT ?
"""
_WAITING_IN = f"""
SELECT {", ".join(rows.COLUMNS)} FROM jobs INDEXED BY jobs_order WHERE state IN (1, 2) AND queue = ? LIMIT ?
"""  # noqa: S608 -- static text
_FORGET_QUEUE = """
DELETE FROM queues WHERE name = ?1
  AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_order WHERE state IN (1, 2, 3, 4) AND queue = ?1)
"""


class SqliteNodes:
    """``Nodes`` of the contract."""

    _file: SqliteFile
    _clock: Clock
    _on_events: Callable[[], None]

    async def node(self, node_id: str) -> Node | None:
        return await self._file.read(lambda db: _found(db, node_id))

    async def at_work(self, limit: int, *, node: str | None = None) -> list[AtWork]:
        def work(db: sqlite3.Connection) -> list[AtWork]:
            return [rows.at_work(row) for row in db.execute(_AT_WORK, (node, limit))]

        return await self._file.read_long(work)

    async def order_node(self, node_id: str, order: Order) -> Node:
        def work(db: sqlite3.Connection) -> tuple[Node, bool]:
            now, before = self._clock(), _found(db, node_id)
            if before is None:
                raise NodeNotFound(node_id)
            after, told = orders.apply(before, order, now)
            if after != before:
                db.execute(_CHANGE, (rows.of_node(after), node_id))
            if told:
                sqlite_feed.tell(db, now, len(told), events.encode(told))
            return after, bool(told)

        after, told = await self._file.write(work)
        if told:
            self._on_events()
        return after


def abandoned(db: sqlite3.Connection, limit: int) -> list[Job]:
    """Return what waits for nodes that are gone, and forget their queues when nothing is left in them.

    A queue of a node is registered with every job that is put into it: so whatever waits there is found by it.
    """
    found: list[Job] = []
    for (queue,) in db.execute(_GONE, (limit,)).fetchall():
        found += [rows.job(row) for row in db.execute(_WAITING_IN, (queue, limit))]
        db.execute(_FORGET_QUEUE, (queue,))
    return found[:limit]


def _found(db: sqlite3.Connection, node_id: str) -> Node | None:
    row = db.execute(_ONE, (node_id,)).fetchone()
    return None if row is None else rows.node(*row)
