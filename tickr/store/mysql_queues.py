"""What is set on queues in MySQL, and who may start in them.

A queue that is not plain has a row in ``queue_controls``. Whoever claims in it holds that row to the end of its
transaction, so that claims of all nodes come one after the other there, and each counts what the ones before it have
started. The count itself is a read along ``jobs_order``. All SQL is static.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from tickr import events
from tickr.errors import QueueNotEmpty, QueueNotFound
from tickr.jobs import UNENDED, Job
from tickr.queues import NO_STARTS, Controls, Gate, Limits, Standing, Window, deleted, gates, told
from tickr.store import mysql_jobs
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Row, number, text, text_or_none

CONTROLLED = "(SELECT JSON_ARRAYAGG(CONVERT(name USING utf8mb4)) FROM queue_controls)"
"""The names of the queues that are not plain, as one value; NULL when all are."""
READ_CONTROLLED = f"SELECT {CONTROLLED}"
IS_PLAIN = " AND NOT EXISTS (SELECT 1 FROM queue_controls AS q WHERE q.name IN %s)"
CONTROLS = "SELECT name, controls, starts FROM queue_controls WHERE name IN %s ORDER BY name"
LOCK_CONTROLS = CONTROLS + " FOR UPDATE"
ALL_CONTROLS = "SELECT name, controls, starts FROM queue_controls ORDER BY name"
RUNNING = (
    "SELECT queue, limit_key, COUNT(*) FROM jobs FORCE INDEX (jobs_order) WHERE state = 4 AND queue IN %s "
    "GROUP BY queue, limit_key"
)
REGISTER = "INSERT IGNORE INTO queues (name, created_at) VALUES (%s, %s)"
ADD_CONTROLS = "INSERT IGNORE INTO queue_controls (name, controls) VALUES (%s, '{}')"
SET_CONTROLS = "UPDATE queue_controls SET controls = %s WHERE name = %s"
SET_PLAIN = "DELETE FROM queue_controls WHERE name = %s"
DROP = "DELETE FROM queues WHERE name = %s"
_UNENDED = ", ".join(str(code) for code in sorted(STATE_CODES[state] for state in UNENDED))
IN_USE = f"SELECT id FROM jobs FORCE INDEX (jobs_order) WHERE state IN ({_UNENDED}) AND queue = %s LIMIT 1"  # noqa: S608
KEEP_STARTS = "UPDATE queue_controls SET starts = %s WHERE name = %s"

_controls = msgspec.json.Decoder(Controls).decode
_window = msgspec.json.Decoder(Window).decode
_names = msgspec.json.Decoder(list[str]).decode


def names(document: bytes | None) -> frozenset[str]:
    """Return the names in the value of ``CONTROLLED``."""
    return frozenset(_names(document)) if document else frozenset()


async def controlled(tx: Transaction) -> frozenset[str]:
    """Return the names of the queues that are not plain."""
    ((document,),) = (await tx.run(READ_CONTROLLED)).rows
    return names(document)


async def control(tx: Transaction, queue: str, paused: bool | None, limits: Limits | None, mark: str) -> Controls:
    """See ``Store.control``."""
    await tx.run(REGISTER, queue, tx.now)
    await tx.run(ADD_CONTROLS, queue)
    ((_, document, _),) = (await tx.run(LOCK_CONTROLS, (queue,))).rows
    before = _controls(text(document))
    controls = before.but(paused, limits)
    if controls.plain:
        await tx.run(SET_PLAIN, queue)
    else:
        await tx.run(SET_CONTROLS, msgspec.json.encode(controls).decode(), queue)
    if news := told(queue, before, controls, tx.now, mark):
        await mysql_jobs.add_events(tx, len(news), events.encode(news))
    return controls


async def register(tx: Transaction, queues: Iterable[str]) -> None:
    for queue in sorted(queues):
        await tx.run(REGISTER, queue, tx.now)


async def drop(tx: Transaction, queue: str, mark: str) -> None:
    """See ``Store.drop_queue``."""
    if not (await tx.run(DROP, queue)).affected:
        raise QueueNotFound(queue)
    if (await tx.run(IN_USE, queue)).rows:
        raise QueueNotEmpty(queue)
    found = (await tx.run(LOCK_CONTROLS, (queue,))).rows
    before = _controls(text(found[0][1])) if found else Controls()
    if found:
        await tx.run(SET_PLAIN, queue)
    await mysql_jobs.add_events(tx, 1, events.encode([deleted(queue, before, tx.now, mark)]))


async def standings(tx: Transaction, queues: Collection[str] | None) -> list[Standing]:
    """See ``Store.standings``."""
    if queues is None:
        return await _standings(tx, (await tx.run(ALL_CONTROLS)).rows)
    return await _standings(tx, (await tx.run(CONTROLS, tuple(queues))).rows) if queues else []


async def lock_gates(tx: Transaction, found: Iterable[Job], controlled: Collection[str]) -> dict[str, Gate]:
    """Return the gates that ``found`` have to go through, and hold them to the end of the transaction."""
    queues = sorted({job.queue for job in found}.intersection(controlled))
    if not queues:
        return {}
    locked = (await tx.run(LOCK_CONTROLS, tuple(queues))).rows
    return gates(await _standings(tx, locked), tx.now)


async def keep_starts(tx: Transaction, passed: Mapping[str, Gate]) -> None:
    """Write what was started through gates that count it."""
    for gate in passed.values():
        if gate.limits.rate is not None and gate.admitted:
            await tx.run(KEEP_STARTS, msgspec.json.encode(gate.window).decode(), gate.name)


async def _standings(tx: Transaction, rows: Sequence[Row]) -> list[Standing]:
    running: defaultdict[str, dict[str | None, int]] = defaultdict(dict)
    if rows:
        for queue, key, count in (await tx.run(RUNNING, tuple(text(row[0]) for row in rows))).rows:
            running[text(queue)][text_or_none(key)] = number(count)
    return [_standing(row, running[text(row[0])]) for row in rows]


def _standing(row: Row, running: Mapping[str | None, int]) -> Standing:
    name, controls, starts = row
    return Standing(
        name=text(name),
        controls=_controls(text(controls)),
        running=sum(running.values()),
        keys={key: count for key, count in running.items() if key is not None},
        window=NO_STARTS if starts is None else _window(starts),
    )
