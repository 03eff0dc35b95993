"""Nodes in MySQL, as an operator sees them: part of ``MysqlStore``. An order locks the node's row before it looks."""

from __future__ import annotations

from tickr import events
from tickr.errors import NodeNotFound
from tickr.store import mysql_jobs, orders, rows
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, number_or_none, raw, text, text_or_none
from tickr.store.node_answers import AtWork, Node
from tickr.store.orders import Order

ONE = "SELECT lease_until, lease_us, body FROM nodes WHERE id = %s"
LOCK_NODE = ONE + " FOR UPDATE"
CHANGE_NODE = "UPDATE nodes SET body = %s WHERE id = %s"
_AT_WORK = (
    "SELECT id, type, queue, attempt, started_at, node, cancel_requested FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state = 4 "
)
AT_WORK = _AT_WORK + "ORDER BY queue, priority, run_at, id LIMIT %s"
AT_WORK_ON = _AT_WORK + "AND node = %s ORDER BY queue, priority, run_at, id LIMIT %s"


class MysqlNodes:
    """``Nodes`` of the contract."""

    _transactions: Transactions
    _asked_s: float

    async def node(self, node_id: str) -> Node | None:
        async def work(tx: Transaction) -> Node | None:
            return await _found(tx, ONE, node_id)

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def at_work(self, limit: int, *, node: str | None = None) -> list[AtWork]:
        async def work(tx: Transaction) -> list[AtWork]:
            found = await (tx.run(AT_WORK, limit) if node is None else tx.run(AT_WORK_ON, node, limit))
            return [
                AtWork(
                    rows.id_text(raw(key)),
                    text(type_),
                    text(queue),
                    number(attempt),
                    number_or_none(started_at),
                    text_or_none(of),
                    requested == b"1",
                )
                for key, type_, queue, attempt, started_at, of, requested in found.rows
            ]

        return await self._transactions.run(work, within_s=self._asked_s, exact_now=False, atomic=False)

    async def order_node(self, node_id: str, order: Order) -> Node:
        return await self._transactions.run(lambda tx: _order(tx, node_id, order), within_s=self._asked_s)


async def _order(tx: Transaction, node_id: str, order: Order) -> Node:
    before = await _found(tx, LOCK_NODE, node_id)
    if before is None:
        raise NodeNotFound(node_id)
    after, told = orders.apply(before, order, tx.now)
    if after != before:
        await tx.run(CHANGE_NODE, rows.of_node(after), node_id)
    if told:
        await mysql_jobs.add_events(tx, len(told), events.encode(told))
    return after


async def _found(tx: Transaction, sql: str, node_id: str) -> Node | None:
    found = (await tx.run(sql, node_id)).rows
    return rows.node(number(found[0][0]), number(found[0][1]), raw(found[0][2])) if found else None
