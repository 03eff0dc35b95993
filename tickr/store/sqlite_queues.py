"""What is set on queues in SQLite, and who may start in them. Run inside ``SqliteFile``'s transactions.

A queue that is not plain has a row in ``queue_controls``. Claims come one after the other, as all writes do; so each
counts what the ones before it have started. A queue on which nothing is set but that its newest jobs are first has no
gate.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from tickr import events
from tickr.errors import QueueNotEmpty, QueueNotFound
from tickr.jobs import UNENDED, Job, State
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
    told,
)
from tickr.store import rows, sqlite_feed
from tickr.store.contract import STATE_CODES, Clock
from tickr.store.sqlite_file import SqliteFile

_NAMES = f"SELECT name FROM queue_controls WHERE {rows.GATED}"  # noqa: S608 -- static text
_NEWEST_FIRST = "SELECT name FROM queue_controls WHERE json_extract(controls, '$.order') IS NOT NULL"
_CONTROLS = "SELECT name, controls, starts FROM queue_controls ORDER BY name"
_ONE = "SELECT controls FROM queue_controls WHERE name = ?"
_REGISTER = "INSERT OR IGNORE INTO queues (name, created_at) VALUES (?, ?)"
_SET = "INSERT INTO queue_controls (name, controls) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET controls = ?2"
_SET_PLAIN = "DELETE FROM queue_controls WHERE name = ?"
_DROP = "DELETE FROM queues WHERE name = ?"
_UNENDED = ", ".join(str(code) for code in sorted(STATE_CODES[state] for state in UNENDED))
_IN_USE = f"SELECT 1 FROM jobs INDEXED BY jobs_order WHERE state IN ({_UNENDED}) AND queue = ? LIMIT 1"  # noqa: S608
_KEEP_STARTS = "UPDATE queue_controls SET starts = ? WHERE name = ?"
_RUNNING = f"""
SELECT limit_key, count(*) FROM jobs INDEXED BY jobs_order WHERE state = {STATE_CODES[State.RUNNING]} AND queue = ?
GROUP BY limit_key
"""  # noqa: S608 -- static text

_controls = msgspec.json.Decoder(Controls).decode
_window = msgspec.json.Decoder(Window).decode


class SqliteQueues:
    """Part of ``SqliteStore``: what an operator sets on queues, and where they stand."""

    _file: SqliteFile
    _clock: Clock
    _on_events: Callable[[], None]

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
        controls, told = await self._file.write(
            lambda db: change(db, queue, lambda before: before.but(setting), self._clock(), mark)
        )
        if told:
            self._on_events()
        return controls

    async def drop_queue(self, queue: str, *, mark: str = "") -> None:
        await self._file.write(lambda db: drop(db, queue, mark, self._clock()))
        self._on_events()

    async def standings(self, queues: Collection[str] | None = None) -> list[Standing]:
        return await self._file.read(lambda db: standings(db, queues))

    async def newest_first(self) -> frozenset[str]:
        return await self._file.read(newest_first)


def controlled(db: sqlite3.Connection) -> frozenset[str]:
    """Return the names of the queues with gates."""
    return frozenset(name for (name,) in db.execute(_NAMES))


def newest_first(db: sqlite3.Connection) -> frozenset[str]:
    """See ``Store.newest_first``."""
    return frozenset(name for (name,) in db.execute(_NEWEST_FIRST))


def change(
    db: sqlite3.Connection, queue: str, make: Callable[[Controls], Controls], now: int, mark: str
) -> tuple[Controls, bool]:
    """Make other controls of those of a queue. Returns: what holds now, and whether there was something to tell."""
    db.execute(_REGISTER, (queue, now))
    found = db.execute(_ONE, (queue,)).fetchone()
    before = (_controls(found[0]) if found else Controls()).at(now)
    controls = make(before)
    if controls.plain:
        db.execute(_SET_PLAIN, (queue,))
    else:
        db.execute(_SET, (queue, msgspec.json.encode(controls).decode()))
    if news := told(queue, before, controls, now, mark):
        sqlite_feed.tell(db, now, len(news), events.encode(news))
    return controls, bool(news)


def hold(db: sqlite3.Connection, holds: Iterable[Hold], now: int) -> None:
    """Hold up queues."""
    for one in holds:
        until = now + one.length_us
        change(db, one.queue, lambda before, until=until: before.held(until), now, one.mark)  # type: ignore[misc]


def drop(db: sqlite3.Connection, queue: str, mark: str, now: int) -> None:
    """See ``Store.drop_queue``."""
    found = db.execute(_ONE, (queue,)).fetchone()
    if not db.execute(_DROP, (queue,)).rowcount:
        raise QueueNotFound(queue)
    if db.execute(_IN_USE, (queue,)).fetchone():
        raise QueueNotEmpty(queue)
    db.execute(_SET_PLAIN, (queue,))
    before = _controls(found[0]) if found else Controls()
    sqlite_feed.tell(db, now, 1, events.encode([deleted(queue, before, now, mark)]))


def standings(db: sqlite3.Connection, queues: Collection[str] | None) -> list[Standing]:
    """See ``Store.standings``."""
    found = [(name, _controls(document), starts) for name, document, starts in db.execute(_CONTROLS)]
    wanted = {name for name, _, _ in found if queues is None or name in queues}
    shared = {name for name, controls, _ in found if controls.limits.shared_keys}
    counted = wanted | shared if wanted & shared else wanted
    standings = [_standing(db, *row) for row in found if row[0] in counted]
    return [standing for standing in counted_together(standings) if standing.name in wanted]


def gates_of(db: sqlite3.Connection, found: Iterable[Job], now: int) -> dict[str, Gate]:
    """Return the gates that ``found`` have to go through."""
    held = controlled(db)
    return gates(standings(db, {job.queue for job in found} & held), now) if held else {}


def keep_starts(db: sqlite3.Connection, passed: Mapping[str, Gate]) -> None:
    """Write what was started through gates that count it."""
    for gate in passed.values():
        if gate.limits.rate is not None and gate.admitted:
            db.execute(_KEEP_STARTS, (msgspec.json.encode(gate.window).decode(), gate.name))


def _standing(db: sqlite3.Connection, name: str, controls: Controls, starts: str | None) -> Standing:
    running: defaultdict[str | None, int] = defaultdict(int)
    for key, count in db.execute(_RUNNING, (name,)):
        running[key] += count
    return Standing(
        name=name,
        controls=controls,
        running=sum(running.values()),
        keys={key: count for key, count in running.items() if key is not None},
        window=NO_STARTS if starts is None else _window(starts),
    )
