"""When the last job is final in the store: asked of the store itself, by a process that nobody is charged for.

Comes in: since when jobs count, and how many have to succeed. Goes out: the instant at which no job was due or running
any more, and what became of them. The question costs an index look-up, however long the history is.
"""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple
from urllib.parse import unquote

import trio

from bench.load.address import Address
from bench.stage.remote import orders
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection as Mysql

LOOK_S = 0.02
"""Pause between two looks into the store: the error of the clock that stops, in seconds."""
LOOK_OUTSIDE_S = 0.2
"""The same for a Tickr that is asked over HTTP, which costs the server more."""

# States: 1 ready, 2 retrying, 4 running, 5 succeeded (tickr/store/contract).
OPEN = (
    "SELECT EXISTS(SELECT 1 FROM jobs WHERE state = 4) "
    "OR EXISTS(SELECT 1 FROM jobs WHERE state = 1 AND queue = '{queue}' AND priority = 5 AND run_at <= {now}) "
    "OR EXISTS(SELECT 1 FROM jobs WHERE state = 2)"
)
BEGUN = "SELECT EXISTS(SELECT 1 FROM jobs WHERE state IN (4, 5) AND queue = '{queue}')"
ENDED = (
    "SELECT COUNT(*), MIN(started_at), MAX(finished_at) FROM jobs "
    "WHERE created_at >= {since} AND state = 5 AND queue = '{queue}'"
)


class Ended(NamedTuple):
    """What became of the jobs; instants in microseconds since 1970, by clocks of this machine.

    ``seen_at``: when nothing was due or running any more. ``first_started``, ``last_finished``: by the store.
    """

    succeeded: int
    seen_at: int
    first_started: int
    last_finished: int


class Watch(NamedTuple):
    """What to wait for: ``expected`` jobs of ``queue``, created since ``since_us``, for at most ``within_s``.

    ``tell_begin``: say "begun" first, once one of the jobs of an otherwise empty store has been started.
    """

    since_us: int
    expected: int
    within_s: float
    queue: str = "default"
    tell_begin: bool = False


Ask = Callable[[str], Awaitable[tuple[int, ...]]]


def watch(pipe: Connection, store_url: str) -> None:
    """The process: for each ``Watch`` on ``pipe`` send its ``Ended``, with fewer ``succeeded`` if not all made it."""
    for order in orders(pipe):
        pipe.send(trio.run(partial(_watch, pipe, store_url, order)))


async def _watch(pipe: Connection, store_url: str, order: Watch) -> Ended:
    if not store_url.startswith("sqlite:"):
        mysql = Mysql(parse(store_url), None)
        await mysql.open(10)
        try:
            return await _until_ended(partial(_ask_mysql, mysql), order, pipe)
        finally:
            mysql._force_close()
    path = unquote(store_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
        db.execute("PRAGMA query_only = ON")
        return await _until_ended(partial(_ask_sqlite, db), order, pipe)


async def _ask_mysql(mysql: Mysql, sql: str) -> tuple[int, ...]:
    (row,) = (await mysql.execute(sql.replace("%", "%%"))).rows
    return tuple(int(cell or 0) for cell in row)


async def _ask_sqlite(db: sqlite3.Connection, sql: str) -> tuple[int, ...]:
    return tuple(cell or 0 for cell in db.execute(sql).fetchone())


async def _until_ended(ask: Ask, order: Watch, pipe: Connection) -> Ended:
    ended_sql = ENDED.format(since=order.since_us, queue=order.queue)
    deadline = trio.current_time() + order.within_s
    if order.tell_begin:
        while not (await ask(BEGUN.format(queue=order.queue)))[0] and trio.current_time() < deadline:  # noqa: ASYNC110
            await trio.sleep(LOOK_S)
        pipe.send("begun")
    while True:
        (still_open,) = await ask(OPEN.format(queue=order.queue, now=_now_us()))
        seen_at = _now_us()
        if not still_open:
            count, first, last = await ask(ended_sql)
            if count >= order.expected or trio.current_time() > deadline:
                return Ended(count, seen_at, first, last)
        elif trio.current_time() > deadline:
            return Ended(0, seen_at, 0, 0)
        await trio.sleep(LOOK_S)


def _now_us() -> int:
    return time.time_ns() // 1000


def watch_outside(address: Address, queue: str, within_s: float) -> int:
    """Wait until nothing of ``queue`` waits or runs at a Tickr that is asked over HTTP; return when, in µs since 1970.

    Raises: SystemExit: that did not come about within ``within_s``.
    """
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with urllib.request.urlopen(urllib.request.Request(f"{address.url}/queues", headers=headers)) as answer:
            found = next((one for one in json.load(answer)["items"] if one["name"] == queue), None)
        if found and not found["ready"] + found["retrying"] + found["running"] + found["scheduled"]:
            return _now_us()
        time.sleep(LOOK_OUTSIDE_S)
    raise SystemExit(f"jobs of the queue {queue} were not final within {within_s:g} s")
