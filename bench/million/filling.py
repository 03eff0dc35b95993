"""Puts the million into a store: past ``Store``, straight into the tables, in the rows that the adapters write.

The node is started afterwards: it fills the index by itself. What the tables do not hold yet then (schedules, marks,
operations, jobs that run) goes in over HTTP (``furnish.py``).
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import trio

from bench.million.mix import CHUNK, QUEUES, WORK, Chunk, chunks
from tickr import events
from tickr.store import rows
from tickr.store.contract import Store
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_jobs import INSERT_ATTEMPTS, json_table
from tickr.store.open import open_store
from tickr.store.sums import Span, SumPlace, Tallied
from tickr.tallies import COUNTED, Part, Step, times

Value = TypeVar("Value")

SUMS = {Step.MINUTE: 2 * 1_440, Step.HOUR: 60 * 24, Step.DAY: 2 * 365}
"""So many steps of each length have sums, as long as they are kept; of fewer jobs than ``WHOLE``, so many fewer."""
WHOLE = 1_000_000
SUMS_AT_ONCE = 1_000


async def fill(url: str, count: int, tell: Callable[[str], None] = lambda words: None) -> None:
    """Make the tables of the store at ``url``, pause the queues of the million, and fill them with ``count`` jobs."""
    now = time.time_ns() // 1000
    async with open_store(url, migrate=True) as store:
        for queue in QUEUES:
            await store.control(queue, paused=True)
    table = _Sqlite(url) if url.startswith("sqlite:") else _Mysql(url)
    await table.open(now)
    try:
        for number, chunk in enumerate(chunks(count, now), start=1):
            await table.write(chunk)
            tell(f"{min(count, number * CHUNK):,} of {count:,} jobs")
    finally:
        await table.close()
    async with open_store(url, migrate=True) as store:
        await _add(store, _sums(now, min(1.0, count / WHOLE)), time.time_ns() // 1000)


async def catch_up(url: str) -> None:
    """Add sums from where those of the store at ``url`` end until now, so that the charts hold as much as then."""
    now = time.time_ns() // 1000
    async with open_store(url, migrate=True) as store:
        newest = {step: (await store.weights(Span(step, 0, now)) or [(0, 0)])[-1][0] for step in SUMS}
        await _add(store, ((place, part) for place, part in _sums(now, 1.0) if place.at > newest[place.step]), now)


async def _add(store: Store, sums: Iterable[tuple[SumPlace, Part]], now: int) -> None:
    after = (await store.tallied()).seq
    for some in _parts(sums, SUMS_AT_ONCE):
        assert await store.add_tallies(dict(some), after=after, upto=Tallied(after, now)), "somebody else works here"


def _sums(now: int, share: float) -> Iterator[tuple[SumPlace, Part]]:
    chance = random.Random(5)
    for step, count in SUMS.items():
        for ago in range(int(count * share)):
            at = step.begin(now) - ago * step.length_us
            for type_, queue in WORK.items():
                yield SumPlace(step, at, queue, type_), _part(queue, type_, chance)


def _part(queue: str, type_: str, chance: random.Random) -> Part:
    jobs = chance.randrange(20, 60)
    counts = {"created": jobs, "started": jobs, "succeeded": jobs - 2, "failed": 2}
    waits, runs = ([int(chance.expovariate(1 / mean)) for _ in range(jobs)] for mean in (20_000, 400_000))
    return Part(queue, type_, [counts.get(name, 0) for name in COUNTED], times(waits), times(runs))


def _parts(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


class _Table(Protocol):
    async def open(self, now: int) -> None: ...
    async def write(self, chunk: Chunk) -> None: ...
    async def close(self) -> None: ...


# -- SQLite -----------------------------------------------------------------------------------------------------------


class _Sqlite(_Table):
    def __init__(self, url: str) -> None:
        self._db = sqlite3.connect(Path(url.removeprefix("sqlite:///")), isolation_level=None, check_same_thread=False)

    async def open(self, now: int) -> None:
        self._db.execute("PRAGMA synchronous = OFF")

    async def close(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    async def write(self, chunk: Chunk) -> None:
        await trio.to_thread.run_sync(self._write, chunk)

    def _write(self, chunk: Chunk) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._many("jobs", rows.COLUMNS, map(rows.of_job, chunk.jobs))
        attempt = ("job_id", "fence", "number", "node", "started_at", "finished_at", "outcome", "error")
        self._many("attempts", attempt, (rows.of_attempt(*one) for one in chunk.attempts))
        self._many("job_log", LOG, ((rows.id_bytes(id_), *rows.of_log_part(part)) for id_, part in chunk.logs))
        self._many("links", LINK, ((*map(rows.id_bytes, one[:2]), int(one.kind)) for one in chunk.links))
        self._many("children", CHILD, _children(chunk))
        told = ((one[-1].time, len(one), events.encode(one)) for one in chunk.events)
        self._many("events", ("created_at", "count", "body"), told)
        self._db.execute("COMMIT")

    def _many(self, table: str, columns: tuple[str, ...], values: Iterable[tuple[object, ...]]) -> None:
        places = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values)  # noqa: S608


LOG = ("job_id", "fence", "attempt", "last", "count", "size", "marks", "messages")
LINK = ("on_id", "waiter", "kind")
CHILD = ("parent", "place", "child")


def _children(chunk: Chunk) -> Iterator[tuple[bytes, int, bytes]]:
    key = rows.id_bytes
    return ((key(parent), place, key(id_)) for parent, born in chunk.children for place, id_ in enumerate(born))


# -- MySQL and MariaDB ------------------------------------------------------------------------------------------------

_TEXT = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_ID = "CHAR(32) CHARACTER SET ascii"
_RESERVED = {"node": f"'{'-' * 36}'", "started_at": "0", "finished_at": "0"}
"""What stands in a row for values that are to come (``tickr/store/mysql_jobs.py``)."""


def _insert(table: str, columns: tuple[str, ...], kinds: dict[str, str]) -> str:
    """Return what inserts the rows of a JSON array; ``kinds``: of columns that hold no number."""
    paths = (f"{name} {kinds.get(name, 'BIGINT')} PATH '$[{at}]'" for at, name in enumerate(columns))
    values = (f"UNHEX(x.{name})" if kinds.get(name) == _ID else f"x.{name}" for name in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "  # noqa: S608 -- static text
        f"FROM JSON_TABLE(%s, '$[*]' COLUMNS ({', '.join(paths)})) AS x"
    )


_JOBS = (
    f"INSERT INTO jobs ({', '.join(rows.COLUMNS)}) SELECT UNHEX(x.id), "  # noqa: S608 -- static text
    + ", ".join(
        f"COALESCE(x.{name}, {_RESERVED[name]})" if name in _RESERVED else f"x.{name}" for name in rows.COLUMNS[1:]
    )
    + f" FROM {json_table(rows.COLUMNS)}"
)
_INSERTS = {
    "job_log": _insert("job_log", LOG, {"job_id": _ID, "marks": _TEXT, "messages": _TEXT}),
    "links": _insert("links", LINK, {"on_id": _ID, "waiter": _ID}),
    "children": _insert("children", CHILD, {"parent": _ID, "child": _ID}),
    "events": _insert("events", ("seq", "created_at", "count", "body"), {"body": _TEXT}),
}


class _Mysql(_Table):
    def __init__(self, url: str) -> None:
        self._connection = Connection(parse(url), parse(url).tls_context())
        self._seq = 0

    async def open(self, now: int) -> None:
        await self._connection.open(5.0)
        await self._connection.execute("SET autocommit=1, unique_checks=0, time_zone='+00:00', wait_timeout=28800")
        ((seq,),) = (await self._connection.execute("SELECT COALESCE(MAX(id), 0) FROM events")).rows
        self._seq = int(seq or 0)

    async def close(self) -> None:
        await self._connection.execute("UPDATE feed_head SET seq = %s WHERE id = 1", self._seq)
        await self._connection.execute("UPDATE tallied SET seq = %s WHERE id = 1", self._seq)
        self._connection.close()

    async def write(self, chunk: Chunk) -> None:
        await self._many(_JOBS, map(rows.of_job, chunk.jobs))
        await self._many(INSERT_ATTEMPTS, (rows.of_attempt(*one) for one in chunk.attempts))
        logs = ((rows.id_bytes(id_), *rows.of_log_part(part)) for id_, part in chunk.logs)
        await self._many(_INSERTS["job_log"], logs)
        links = ((*map(rows.id_bytes, one[:2]), int(one.kind)) for one in chunk.links)
        await self._many(_INSERTS["links"], links)
        await self._many(_INSERTS["children"], _children(chunk))
        numbered = enumerate(chunk.events, start=self._seq + 1)
        told = [(seq, one[-1].time, len(one), events.encode(one)) for seq, one in numbered]
        self._seq += len(told)
        await self._many(_INSERTS["events"], told)

    async def _many(self, sql: str, values: Iterable[tuple[object, ...]]) -> None:
        for some in _parts(values, 500):
            plain = [[cell.hex() if isinstance(cell, bytes) else cell for cell in row] for row in some]
            await self._connection.execute(sql, msgspec.json.encode(plain).decode())
