"""What is set on queues in MySQL, and who may start in them.

A queue that is not plain has a row in ``queue_controls``. Whoever claims in one with a gate holds that row to the end
of its transaction, so that claims of all nodes come one after the other there, and each counts what the ones before it
have started. The count itself is a read along ``jobs_order``. A queue on which nothing is set but that its newest jobs
go first has no gate, and its row is nobody's to hold. All SQL is static.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from tickr import events
from tickr.errors import QueueNotEmpty, QueueNotFound
from tickr.jobs import UNENDED, Job
from tickr.queues import (
    NO_STARTS,
    Controls,
    Gate,
    Hold,
    JobOrder,
    Limits,
    Setting,
    Standing,
    Window,
    counted_together,
    deleted,
    gates,
    shares_keys,
    told,
)
from tickr.store import mysql_jobs, rows
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Row, number, text, text_or_none

CONTROLLED = (
    "(SELECT JSON_ARRAYAGG(JSON_ARRAY(CONVERT(name USING utf8mb4), "  # noqa: S608
    f"JSON_EXTRACT(controls, '$.limits.shared_keys') IS NOT NULL)) FROM queue_controls WHERE {rows.GATED})"
)
"""The names of the queues with gates, each with whether it shares its keys, as one value; NULL if there are none."""
READ_CONTROLLED = f"SELECT {CONTROLLED}"
NEWEST_FIRST = "SELECT name FROM queue_controls WHERE JSON_EXTRACT(controls, '$.order') IS NOT NULL"
LOCK_CONTROLS = "SELECT name, controls, starts FROM queue_controls WHERE name IN %s ORDER BY name FOR UPDATE"
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
_names = msgspec.json.Decoder(list[tuple[str, int | bool]]).decode


class MysqlQueues:
    """``Queues`` of the contract, apart from how deep they are."""

    _transactions: Transactions
    _asked_s: float

    async def control(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        until: int | None = None,
        limits: Limits | None = None,
        order: JobOrder | None = None,
        mark: str = "",
    ) -> Controls:
        setting = Setting(paused, until, limits, order)
        return await self._transactions.run(lambda tx: control(tx, queue, setting, mark), within_s=self._asked_s)

    async def standings(self, queues: Collection[str] | None = None) -> list[Standing]:
        return await self._transactions.run(
            lambda tx: standings(tx, queues), within_s=self._asked_s, exact_now=False, atomic=False
        )

    async def newest_first(self) -> frozenset[str]:
        return await self._transactions.run(newest_first, within_s=self._asked_s, exact_now=False, atomic=False)


Controlled = Mapping[str, bool]
"""The queues with gates, and whether each shares its keys."""


def names(document: bytes | None) -> Controlled:
    """Return what the value of ``CONTROLLED`` says."""
    return {name: bool(shares) for name, shares in _names(document)} if document else {}


async def controlled(tx: Transaction) -> Controlled:
    """Return the queues with gates."""
    ((document,),) = (await tx.run(READ_CONTROLLED)).rows
    return names(document)


async def newest_first(tx: Transaction) -> frozenset[str]:
    """See ``Store.newest_first``."""
    return frozenset([text(name) for (name,) in (await tx.run(NEWEST_FIRST)).rows])


async def control(tx: Transaction, queue: str, setting: Setting, mark: str) -> Controls:
    """See ``Store.control``."""
    await tx.run(REGISTER, queue, tx.now)
    return await _change(tx, queue, lambda before: before.but(setting), mark)


async def hold(tx: Transaction, holds: Iterable[Hold]) -> None:
    """Hold up queues, in the order of their names."""
    for one in holds:
        until = tx.now + one.length_us
        await _change(tx, one.queue, lambda before, until=until: before.held(until), one.mark)  # type: ignore[misc]


async def _change(tx: Transaction, queue: str, make: Callable[[Controls], Controls], mark: str) -> Controls:
    """Make other controls of those of a queue, which is registered. Returns: what holds now."""
    await tx.run(ADD_CONTROLS, queue)
    ((_, document, _),) = (await tx.run(LOCK_CONTROLS, (queue,))).rows
    before = _controls(text(document)).at(tx.now)
    controls = make(before)
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
    if queues is not None and not queues:
        return []
    found = await _standings(tx, (await tx.run(ALL_CONTROLS)).rows, queues)
    return [standing for standing in found if queues is None or standing.name in queues]


async def lock_gates(tx: Transaction, found: Iterable[Job], controlled: Controlled) -> dict[str, Gate]:
    """Return the gates that ``found`` have to go through, and hold them to the end of the transaction.

    Those of all queues that share their keys, if one of them is among them: what starts in any of them counts.
    """
    queues = {job.queue for job in found}.intersection(controlled)
    if not queues:
        return {}
    if any(controlled[name] for name in queues):
        queues |= {name for name, shares in controlled.items() if shares}
    locked = (await tx.run(LOCK_CONTROLS, tuple(sorted(queues)))).rows
    return gates(await _standings(tx, locked, None), tx.now)


async def keep_starts(tx: Transaction, passed: Mapping[str, Gate]) -> None:
    """Write what was started through gates that count it."""
    for gate in passed.values():
        if gate.limits.rate is not None and gate.admitted:
            await tx.run(KEEP_STARTS, msgspec.json.encode(gate.window).decode(), gate.name)


async def _standings(tx: Transaction, found: Sequence[Row], queues: Collection[str] | None) -> list[Standing]:
    """Return where the queues of ``found`` stand; those that are not among ``queues`` may be left out."""
    read = [_standing(row) for row in found]
    counted = [one for one in read if queues is None or one.name in queues]
    if any(shares_keys(one) for one in counted):
        counted = [one for one in read if one in counted or shares_keys(one)]
    if not counted:
        return []
    running: defaultdict[str, dict[str | None, int]] = defaultdict(dict)
    for queue, key, count in (await tx.run(RUNNING, tuple(one.name for one in counted))).rows:
        running[text(queue)][text_or_none(key)] = number(count)
    return counted_together([_with_running(one, running[one.name]) for one in counted])


def _standing(row: Row) -> Standing:
    name, controls, starts = row
    window = NO_STARTS if starts is None else _window(starts)
    return Standing(name=text(name), controls=_controls(text(controls)), window=window)


def _with_running(standing: Standing, running: Mapping[str | None, int]) -> Standing:
    keys = {key: count for key, count in running.items() if key is not None}
    return msgspec.structs.replace(standing, running=sum(running.values()), keys=keys)
