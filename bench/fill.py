"""Fills a store with jobs as months of use would leave them: ten million finished ones take minutes, not hours.

    python -m bench.fill --store mysql://… --finished 10000000 --waiting 1000000

The rows are made inside the database, chunk by chunk, past ``Store``, so nothing is told in the feed and no index hears
of it (an audit finds what waits). They look as the program itself would have left them: ids are time-ordered UUIDs,
attempts spent, instants in order. With its indexes a row takes about 200 bytes of disk:
10,000,000 are 2 GB, so give a private server a ``innodb_buffer_pool_size`` and redo log worth the name
(``--innodb-buffer-pool-size=1G --innodb-log-file-size=1G``) and look at the disk first.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import trio

from tickr.jobs import WAITING, State
from tickr.store.contract import STATE_CODES
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection
from tickr.store.open import open_store

CHUNK = 20_000
"""Rows of one statement and transaction."""
SECOND_US = 1_000_000
RAN_US = 2_000
"""For how long each finished job ran, in microseconds."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Jobs alike: number ``n`` of ``count`` was made ``n * step_us`` after ``first_us``, and due ``due_in_us`` later.

    ``state``: any but RUNNING, which would need a node; READY also for scheduled ones.
    """

    count: int
    state: State = State.SUCCEEDED
    type: str = "noop"
    queue: str = "default"
    priority: int = 5
    first_us: int = 0
    step_us: int = 1
    due_in_us: int = 0
    payload: str = "{}"


async def fill(
    url: str,
    *,
    finished: int = 0,
    waiting: int = 0,
    type: str = "noop",
    queue: str = "default",
    finished_over_s: float = 6 * 86_400,
    due_in_s: float = 86_400,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Add jobs to the store at ``url`` (mysql:// or sqlite:///), which gets its tables if need be.

    Args:
      finished: so many SUCCEEDED jobs, made evenly over the ``finished_over_s`` seconds that ended just now.
      waiting: so many more, made just now and due ``due_in_s`` from now on, a microsecond apart; 0 or less: due.
      tell: called after each chunk with how many rows are there, and of how many.
    Cancellation: whole chunks stay.
    """
    now = time.time_ns() // 1000
    alike = {"type": type, "queue": queue}
    step_us = max(1, int(finished_over_s * SECOND_US / max(1, finished)))
    old = Rows(count=finished, first_us=now - step_us * finished, step_us=step_us, **alike)
    new = Rows(count=waiting, state=State.READY, first_us=now, due_in_us=int(due_in_s * SECOND_US), **alike)
    await add(url, [old, new], tell)


async def add(url: str, several: list[Rows], tell: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Add jobs of several kinds; see ``fill``."""
    async with open_store(url):
        pass
    total, done = sum(rows.count for rows in several), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        tell(done, total)

    await (_into_mysql if url.startswith(("mysql:", "mariadb:")) else _into_sqlite)(url, several, count)


# -- MySQL and MariaDB ------------------------------------------------------------------------------------------------

_REGISTER = "INSERT IGNORE INTO queues (name, created_at) VALUES (%s, %s)"
_INSERT = (
    "INSERT INTO jobs (id, type, queue, priority, state, run_at, created_at, version, fence, attempt, crashes, "
    "max_attempts, timeout_us, cancel_requested, started_at, finished_at, node, payload) "
    "SELECT UNHEX(CONCAT(LPAD(HEX(r.at DIV 1000), 12, '0'), '7', LPAD(HEX(r.at MOD 1000), 3, '0'), '8', "
    "LPAD(HEX(r.n + %s), 15, '0'))), %s, %s, %s, %s, r.at + %s, r.at, %s, %s, %s, 0, 3, 300000000, 0, "
    "r.at + %s, r.at + %s, %s, %s FROM (SELECT x.n, %s + x.n * %s AS at FROM "
    "JSON_TABLE(%s, '$[*]' COLUMNS (n INT PATH '$')) AS x) AS r"
)


async def _into_mysql(url: str, several: list[Rows], count: Callable[[int], None]) -> None:
    connection = Connection(parse(url), parse(url).tls_context())
    await connection.open(5.0)
    try:
        await connection.execute("SET autocommit=1, unique_checks=0, time_zone='+00:00', wait_timeout=28800")
        number = time.time_ns() // 1000 << 20
        for rows in several:
            await connection.execute(_REGISTER, rows.queue, rows.first_us)
            for start in range(0, rows.count, CHUNK):
                numbers = msgspec.json.encode(list(range(min(CHUNK, rows.count - start)))).decode()
                at = rows.first_us + start * rows.step_us
                await connection.execute(_INSERT, number % 2**59, *_mysql_values(rows), at, rows.step_us, numbers)
                number += CHUNK
                count(min(CHUNK, rows.count - start))
    finally:
        connection.close()


def _mysql_values(rows: Rows) -> tuple[str | int | None, ...]:
    ran = rows.state not in WAITING
    started, ended, node = (rows.due_in_us, rows.due_in_us + RAN_US, "bench") if ran else (None, None, None)
    times = (3, 1, 1) if ran else (1, 0, 0)
    code = STATE_CODES[rows.state]
    return (rows.type, rows.queue, rows.priority, code, rows.due_in_us, *times, started, ended, node, rows.payload)


# -- SQLite -----------------------------------------------------------------------------------------------------------

_INSERT_LITE = (
    "INSERT INTO jobs (id, type, queue, priority, state, run_at, created_at, version, fence, attempt, crashes, "
    "max_attempts, timeout_us, cancel_requested, started_at, finished_at, node, payload) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 3, 300000000, 0, ?, ?, ?, ?)"
)


async def _into_sqlite(url: str, several: list[Rows], count: Callable[[int], None]) -> None:
    db = sqlite3.connect(Path(url.removeprefix("sqlite:///")), isolation_level=None, check_same_thread=False)
    try:
        salt = itertools.count(time.time_ns() // 1000 << 20)
        for rows in several:
            db.execute("INSERT OR IGNORE INTO queues (name, created_at) VALUES (?, ?)", (rows.queue, rows.first_us))
            for start in range(0, rows.count, CHUNK):
                size = min(CHUNK, rows.count - start)
                await trio.to_thread.run_sync(_insert_chunk, db, rows, start, size, salt)
                count(size)
    finally:
        db.close()


def _insert_chunk(db: sqlite3.Connection, rows: Rows, start: int, size: int, salt: Iterator[int]) -> None:
    type_, queue, priority, code, _, *times, started, ended, node, payload = _mysql_values(rows)

    def values() -> Iterator[tuple[object, ...]]:
        for n in range(start, start + size):
            at = rows.first_us + n * rows.step_us
            id_ = at // 1000 << 80 | 7 << 76 | at % 1000 << 64 | 8 << 60 | next(salt) % 2**60
            ran = (None, None) if started is None else (at + int(started), at + int(ended or 0))
            key = id_.to_bytes(16, "big")
            yield (key, type_, queue, priority, code, at + rows.due_in_us, at, *times, *ran, node, payload)

    db.execute("BEGIN IMMEDIATE")
    db.executemany(_INSERT_LITE, values())
    db.execute("COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fill", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", required=True, help="mysql://… or sqlite:///…")
    parser.add_argument("--finished", type=int, default=0)
    parser.add_argument("--waiting", type=int, default=0)
    parser.add_argument("--type", default="noop")
    parser.add_argument("--queue", default="default")
    parser.add_argument("--due-in", type=float, default=86_400, metavar="SECONDS", help="of those that wait")
    given = parser.parse_args()
    last = 0.0

    def tell(done: int, of: int) -> None:
        nonlocal last
        if done == of or time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{done:,} of {of:,} rows", file=sys.stderr, flush=True)

    sizes = {"finished": given.finished, "waiting": given.waiting}
    kind = {"type": given.type, "queue": given.queue}
    trio.run(partial(fill, given.store, **sizes, **kind, due_in_s=given.due_in, tell=tell))


if __name__ == "__main__":
    main()
