"""Nodes in MySQL: their leases, and the jobs of those whose lease has ended."""

from __future__ import annotations

import msgspec

from tickr.events import Change
from tickr.jobs import Job
from tickr.store import changes, rows
from tickr.store.contract import Node, Running
from tickr.store.mysql_jobs import BY_IDS, keys_of, read, write
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import number, raw, text

REGISTER = "REPLACE INTO nodes (id, lease_until, started_at, body) VALUES (%s, %s, %s, %s)"
EXTEND = "UPDATE nodes SET lease_until = %s WHERE id = %s AND lease_until > %s"
HELD = "SELECT id, fence, cancel_requested FROM jobs WHERE state = 4 AND node = %s"
FORGET = "DELETE FROM nodes WHERE id = %s"
ALIVE = "SELECT lease_until, body FROM nodes WHERE lease_until > %s ORDER BY started_at, id"
ENDED = "SELECT id FROM nodes WHERE lease_until <= %s"
FORGET_ENDED = "DELETE FROM nodes WHERE id IN %s AND lease_until <= %s"
LOST = (
    "SELECT j.id, j.fence FROM jobs AS j LEFT JOIN nodes AS n ON n.id = j.node AND n.lease_until > %s "
    "WHERE j.state = 4 AND n.id IS NULL LIMIT %s"
)
LOCK_RUNNING = BY_IDS + " AND state = 4 FOR UPDATE SKIP LOCKED"


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)


async def register(tx: Transaction, node: Node, lease_s: float) -> None:
    started_at = tx.now if node.started_at is None else node.started_at
    body = msgspec.json.encode(msgspec.structs.replace(node, started_at=started_at, lease_until=None)).decode()
    await tx.run(REGISTER, node.id, tx.now + _us(lease_s), started_at, body)


async def heartbeat(tx: Transaction, node_id: str, lease_s: float) -> list[Running] | None:
    """See ``Store.heartbeat``."""
    extended = await tx.run(EXTEND, tx.now + _us(lease_s), node_id, tx.now)
    if not extended.affected:
        return None
    held = (await tx.run(HELD, node_id)).rows
    return [Running(rows.id_text(raw(key)), number(fence), requested == b"1") for key, fence, requested in held]


async def deregister(tx: Transaction, node_id: str) -> None:
    await tx.run(FORGET, node_id)


async def nodes(tx: Transaction) -> list[Node]:
    """See ``Store.nodes``."""
    alive = (await tx.run(ALIVE, tx.now)).rows
    return [
        msgspec.structs.replace(msgspec.json.decode(raw(body), type=Node), lease_until=number(until))
        for until, body in alive
    ]


async def reap(tx: Transaction, limit: int) -> list[Job]:
    """See ``Store.reap``. Looks without locks first: usually there is nothing, and a live node's row is never locked.

    A lease that has ended stays so (``heartbeat`` extends none), so the second look need only see that the job is
    still in that attempt.
    """
    lost = {rows.id_text(raw(key)): number(fence) for key, fence in (await tx.run(LOST, tx.now, limit)).rows}
    made: list[Change] = []
    if lost:
        locked = await read(tx, LOCK_RUNNING, keys_of(lost))
        made = changes.reap([job for job in locked if job.fence == lost[job.id]], tx.now)
        await write(tx, made)
    if len(lost) < limit and (ended := (await tx.run(ENDED, tx.now)).rows):
        await tx.run(FORGET_ENDED, tuple(sorted(text(key) for (key,) in ended)), tx.now)
    return [change.after for change in made]
