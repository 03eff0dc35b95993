"""Nodes in MySQL: their rows, and the jobs of those that have none any more."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tickr.events import Change
from tickr.jobs import Job, NewJob
from tickr.names import node_of_queue
from tickr.store import changes, mysql_ended, rows
from tickr.store.contract import Node, Running, Start, us_of
from tickr.store.mysql_jobs import BY_IDS, keys_of, read, write
from tickr.store.mysql_queues import CONTROLLED, names
from tickr.store.mysql_transactions import NOW, Transaction
from tickr.store.mysql_values import number, raw, text

REGISTER = "REPLACE INTO nodes (id, lease_until, lease_us, started_at, body) VALUES (%s, %s, %s, %s, %s)"
EXTEND = "UPDATE nodes SET lease_until = %s WHERE id = %s"
HELD = (
    "SELECT id, fence, cancel_requested, started_at, timeout_us, crashes FROM jobs FORCE INDEX (jobs_order) "
    "WHERE state = 4 AND node = %s"
)
FORGET = "DELETE FROM nodes WHERE id = %s"
EXPIRE = "DELETE FROM nodes WHERE id = %s AND lease_until = %s"
MAY_START = f"SELECT EXISTS (SELECT 1 FROM nodes WHERE id = %s), {CONTROLLED}, {NOW}"  # noqa: S608 -- static text
NODES = "SELECT lease_until, lease_us, body FROM nodes ORDER BY started_at, id"
LOST = (
    "SELECT j.id, j.fence FROM jobs AS j FORCE INDEX (jobs_order) LEFT JOIN nodes AS n ON n.id = j.node "
    "WHERE j.state = 4 AND n.id IS NULL LIMIT %s"
)
QUEUES_OF_NODES = "SELECT name FROM queues WHERE name >= '@' AND name < 'A' ORDER BY name LIMIT %s"
IDS = "SELECT id FROM nodes"
WAITING_IN = "SELECT id FROM jobs FORCE INDEX (jobs_order) WHERE state IN (1, 2) AND queue = %s LIMIT %s"
LOCK_WAITING = BY_IDS + " AND state IN (1, 2) FOR UPDATE SKIP LOCKED"
LOCK_QUEUE = "SELECT name FROM queues WHERE name = %s FOR UPDATE"
ANY_IN = "SELECT id FROM jobs FORCE INDEX (jobs_order) WHERE state IN (1, 2, 3, 4) AND queue = %s LIMIT 1"
FORGET_QUEUE = "DELETE FROM queues WHERE name = %s"
LOCK_RUNNING = BY_IDS + " AND state = 4 FOR UPDATE SKIP LOCKED"


async def register(tx: Transaction, node: Node, lease_s: float) -> None:
    """See ``Store.register``."""
    started_at = tx.now if node.started_at is None else node.started_at
    body = msgspec.json.encode(msgspec.structs.replace(node, started_at=started_at, lease_until=None)).decode()
    await tx.run(REGISTER, node.id, tx.now + us_of(lease_s), us_of(lease_s), started_at, body)


async def heartbeat(tx: Transaction, node_id: str, lease_s: float) -> list[Running] | None:
    """See ``Store.heartbeat``."""
    extended = await tx.run(EXTEND, tx.now + us_of(lease_s), node_id)
    if not extended.affected:
        return None
    return [
        Running(rows.id_text(raw(key)), number(fence), requested == b"1", *map(number, rest))
        for key, fence, requested, *rest in (await tx.run(HELD, node_id)).rows
    ]


async def may_start(tx: Transaction, start: Start | None, new: Iterable[NewJob]) -> Start | None:
    """Return which of ``new`` may begin as ``start`` wishes: its node has a row, and their queues have no gates.

    ``tx.now`` may be an estimate; it is exact afterwards.
    """
    ((known, controlled, _),) = (await tx.run_telling_now(MAY_START, start and start.node)).rows
    return changes.past_gates(start, new, names(controlled)) if start and known == b"1" else None


async def deregister(tx: Transaction, node_id: str) -> None:
    await tx.run(FORGET, node_id)


async def expire(tx: Transaction, node_id: str, lease_until: int) -> bool:
    """See ``Store.expire``."""
    return (await tx.run(EXPIRE, node_id, lease_until)).affected == 1


async def nodes(tx: Transaction) -> list[Node]:
    """See ``Store.nodes``."""
    found = (await tx.run(NODES)).rows
    return [rows.node(number(until), number(lease_us), raw(body)) for until, lease_us, body in found]


async def reap(tx: Transaction, limit: int) -> list[Job]:
    """See ``Store.reap``. Looks without locks first: usually there is nothing.

    A node's row that is gone stays gone (ids are never used again), so the second look need only see that the job is
    still in that attempt.
    """
    lost = {rows.id_text(raw(key)): number(fence) for key, fence in (await tx.run(LOST, limit)).rows}
    made: list[Change] = []
    if lost:
        locked = await read(tx, LOCK_RUNNING, keys_of(lost))
        still = [job for job in locked if job.fence == lost[job.id]]
        made = changes.reap(still, tx.now, await mysql_ended.take(tx, still))
        await write(tx, made)
    return [change.after for change in [*made, *await _abandon(tx, limit)]]


async def _abandon(tx: Transaction, limit: int) -> list[Change]:
    """End what waits for nodes that are gone, and forget their queues when nothing is left in them.

    A queue of a node is registered with every job that is put into it: so whatever waits there is found by it.
    """
    queues = [text(name) for (name,) in (await tx.run(QUEUES_OF_NODES, limit)).rows]
    if not queues:
        return []
    live = {text(node_id) for (node_id,) in (await tx.run(IDS)).rows}
    made: list[Change] = []
    for queue in [one for one in queues if node_of_queue(one) not in live]:
        waiting = [raw(key) for (key,) in (await tx.run(WAITING_IN, queue, limit)).rows]
        if waiting:
            made += changes.abandon(await read(tx, LOCK_WAITING, tuple(sorted(waiting))), tx.now)
        else:
            await tx.run(LOCK_QUEUE, queue)  # whoever puts a job into it just now holds it, and is waited for
            if not (await tx.run(ANY_IN, queue)).rows:
                await tx.run(FORGET_QUEUE, queue)
    await write(tx, made)
    return made
