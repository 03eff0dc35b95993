"""No statement on MySQL or MariaDB reads more than it answers: plans, rows really read, and the indexes named.

Every statement that any method of the store sends is recorded on its way, in a database with 60,000 skewed jobs. Its
plan may not scan a table that grows, and the server may not have read more rows for it than its limits explain.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import pytest
import trio

from tests.servers import mysql_execute
from tests.store import explained
from tests.store.backends import transactions_on
from tests.store.explained import Asking
from tests.store.filled import fill
from tickr.store import (
    mysql_backlog,
    mysql_claims,
    mysql_ended,
    mysql_feed,
    mysql_inbox,
    mysql_jobs,
    mysql_keys,
    mysql_lists,
    mysql_reads,
    mysql_retention,
    mysql_schedules,
    mysql_statistics,
    mysql_transactions,
    mysql_waiting,
)
from tickr.store.mysql import open_mysql
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Result, number, text

GROWING = {
    *("jobs", "j", "attempts", "a", "events", "e", "unique_keys", "k", "expiries", "w", "schedules", "s"),
    *("links", "l", "v", "children", "c", "checkpoints", "job_log", "g", "inbox", "i"),
    *("removals", "tallies", "t", "trail", "backlogs", "b"),
}
"""Tables that grow with history or backlog, and how the statements call them; and that of the schedules, which is asked
every few seconds. The others have a row for each node, queue or setting, and may be read whole."""
ANALYZE = (
    "ANALYZE TABLE jobs, attempts, events, nodes, queues, unique_keys, schedules, links, children, checkpoints, "
    "job_log, inbox, removals, tallies, trail, backlogs"
)
GOOD_WAYS = {"const", "eq_ref", "ref", "range", "index_subquery"}
IN_ORDER_OF_A_LIST = ("jobs", "index", "jobs_newest")
"""The newest first, from the end of the index, as far as the limit goes: the one walk along a whole index."""
COUNTED = {mysql_schedules.IS_FULL}
"""Walks along the names of the schedules for one more, as far as there may be schedules."""
MOST_READ = 6_000
"""Rows and index entries that one statement may read here. The limits are 20 jobs in 20 ranges, or 500 in 7, which
are put into a table and read again."""

LOOKS_PAST_OTHERS = {*mysql_waiting.DUE_IN_QUEUE_OF_TYPES, *mysql_waiting.DUE_IN_QUEUE_BUT_KEYS}
"""What a node without an index claims by goes past due jobs in the index: of types that it has no handlers for, and of
keys that are full."""

NAMED_BY_KEY = {
    *(mysql_jobs.BY_ID, mysql_jobs.BY_ID + mysql_reads.LOCKED, mysql_reads.ATTEMPTS),
    mysql_schedules.DELETE,
    *(mysql_inbox.RETRY, mysql_inbox.DROP),
    mysql_transactions.READ_RECEIPT,
    *(mysql_statistics.PRUNE, mysql_backlog.PRUNE),  # no DELETE takes a hint, and there is no other index
}
"""Statements by the whole primary key or its beginning: no optimizer goes another way."""
UNNAMED = re.compile(
    r"\b(?:FROM|(?:STRAIGHT_)?JOIN|UPDATE) "
    r"(?:jobs|attempts|events|unique_keys|expiries|schedules|links|children|checkpoints|job_log|inbox|tallies|backlogs)\b"
    r"(?! (?:AS \w )?FORCE INDEX)"
)


class Sent(NamedTuple):
    """A statement, its parameters, and how many rows the server read for it."""

    sql: str
    parameters: tuple[Parameter, ...]
    read: int


class Recorder:
    """Records what goes over the connections of the store under test, while it is ``on``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[Sent] = []
        self.on = False
        execute = Connection.execute

        async def rows_read(connection: Connection) -> int:
            status = await execute(connection, "SHOW SESSION STATUS LIKE 'Handler_read%%'")
            return sum(number(count) for _, count in status.rows)

        async def recording(connection: Connection, sql: str, *parameters: Parameter) -> Result:
            if not self.on or not re.match(r"\(?(SELECT|INSERT|UPDATE|DELETE|REPLACE)\b", sql):
                return await execute(connection, sql, *parameters)
            own = await rows_read(connection)
            before = await rows_read(connection)
            try:
                return await execute(connection, sql, *parameters)
            finally:
                with trio.CancelScope(shield=True):
                    if connection.usable:
                        read = await rows_read(connection) - before - (before - own)
                        self.sent.append(Sent(sql, parameters, read))

        monkeypatch.setattr(Connection, "execute", recording)


@pytest.fixture
async def sent(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """What a store sends that is asked everything once; the database, with its statistics, is at ``mysql_url``."""
    monkeypatch.setattr(mysql_lists, "FEW", explained.LOOK_AT)
    monkeypatch.setattr(mysql_reads, "FEW_HELD", explained.LOOK_AT)
    now = await fill(mysql_url)
    async with transactions_on(mysql_url) as transactions:
        await transactions.run(fill_the_rest, within_s=20)
    await trio.to_thread.run_sync(mysql_execute, mysql_url, ANALYZE)
    recorder = Recorder(monkeypatch)
    async with open_mysql(mysql_url, asked_within_s=20, worked_within_s=20) as store:
        asking = Asking(store, now)
        recorder.on = True
        await asking.everything()
        recorder.on = False
    assert explained.unasked(asking.asked) == set()
    return recorder.sent


async def fill_the_rest(tx: Transaction) -> None:
    """Attempts of jobs that failed, a log of events, of which two have no number yet, and a key for each job."""
    await tx.run(
        "INSERT INTO attempts (job_id, fence, number, outcome) SELECT id, 1, 1, 'failed' FROM jobs WHERE state >= 5"
    )
    await tx.run(
        "INSERT INTO events (seq, created_at, count, body) SELECT x.seq, 0, 1, REPEAT('x', 200) FROM "
        "JSON_TABLE(%s, '$[*]' COLUMNS (seq BIGINT PATH '$')) AS x",
        msgspec.json.encode([*range(1, 10_001), None, None]).decode(),
    )
    await tx.run("UPDATE feed_head SET seq = 10000")
    await tx.run(
        "INSERT INTO backlogs (step, at, queue, age) SELECT x.step, x.at, x.queue, 1 FROM "
        "JSON_TABLE(%s, '$[*]' COLUMNS ("
        "step TINYINT PATH '$[0]', at BIGINT PATH '$[1]', queue VARCHAR(9) PATH '$[2]')) AS x",
        msgspec.json.encode(
            [(step, at, f"q{q}") for step in (1, 2, 3) for at in range(200) for q in range(20)]
        ).decode(),
    )
    await tx.run(explained.KEYS_OF_ALL)
    await tx.run(explained.LINKS_OF_ALL)
    await tx.run(explained.CHILDREN_OF_ALL)


@asynccontextmanager
async def explaining(url: str) -> AsyncIterator[Transaction]:
    """Open a transaction, with the settings that the store has, whose EXPLAIN gives a table."""
    async with transactions_on(url) as transactions, trio.open_nursery() as nursery:
        opened = trio.Event()
        done = trio.Event()
        found: list[Transaction] = []

        async def work(tx: Transaction) -> None:
            if (await tx.run("SELECT VERSION() LIKE '%%MariaDB%%'")).rows == ((b"0",),):
                await tx.run("SET explain_format = 'TRADITIONAL'")
            found.append(tx)
            opened.set()
            await done.wait()

        async def run() -> None:
            await transactions.run(work, within_s=60)

        nursery.start_soon(run)
        await opened.wait()
        yield found[0]
        done.set()


async def ways(tx: Transaction, sql: str, *parameters: Parameter) -> list[tuple[str | None, str | None, str | None]]:
    """Return (table, way, index) of each table that grows and that ``sql`` reads; not of those it only inserts into."""
    plan = []
    for row in (await tx.run("EXPLAIN " + sql, *parameters)).rows:
        cells = [None if cell is None else text(cell) for cell in row]
        if len(cells) == 12:  # MySQL has a column more for partitions, and one for the share that passes
            del cells[10], cells[3]
        select, table, way, index = cells[1], cells[2], cells[3], cells[5]
        if table in GROWING and not (sql.startswith("INSERT") and (select == "INSERT" or not index)):
            plan.append((table, way, index))
    return plan


async def test_each_statement_goes_by_an_index_that_it_names_and_reads_no_more_than_its_limits_explain(
    mysql_url: str, sent: list[Sent]
) -> None:
    """One test, as what is sent is long to make."""
    await assert_nothing_scans_what_grows(mysql_url, sent)
    assert_nothing_reads_too_much(sent)
    assert_each_names_its_index(sent)


async def assert_nothing_scans_what_grows(mysql_url: str, sent: list[Sent]) -> None:
    scans: list[str] = []
    seen = 0
    async with explaining(mysql_url) as tx:
        for sql, parameters, _ in {(one.sql, one.parameters): one for one in sent}.values():
            for way in await ways(tx, sql, *parameters):
                seen += 1
                fine = way[1] in GOOD_WAYS and way[2] is not None
                if not fine and not (
                    sql in COUNTED
                    or (way == IN_ORDER_OF_A_LIST and sql.startswith((mysql_lists.NEWEST, mysql_lists.END)))
                ):
                    scans.append(f"{way}: {sql[:300]}")
    assert not scans, "\n".join(scans)
    assert seen > 100


def assert_nothing_reads_too_much(sent: list[Sent]) -> None:
    bounded = [one for one in sent if one.sql not in LOOKS_PAST_OTHERS]
    many = [f"{one.read}: {one.sql[:300]}" for one in bounded if one.read > MOST_READ]
    assert not many, "\n".join(many)


def assert_each_names_its_index(sent: list[Sent]) -> None:
    """What the optimizer chooses without being told depends on its statistics, on a bad day on old ones."""
    unnamed = {one.sql for one in sent if UNNAMED.search(one.sql)} - NAMED_BY_KEY
    assert not unnamed, "\n".join(unnamed)
    hot = {mysql_claims.CLAIMABLE, mysql_claims.START, mysql_jobs.MOVE_JOBS, mysql_jobs.SUCCEED_JOBS, mysql_feed.NUMBER}
    hot |= {mysql_jobs.SUCCEED_EACH, mysql_jobs.SHOW_PROGRESS, mysql_retention.DELETE_JOBS}
    hot |= {mysql_keys.LOCK, mysql_keys.BY_NAMES, mysql_keys.WRITE, mysql_keys.DUE, mysql_keys.DELETE}
    hot |= {mysql_keys.ALIVE, mysql_keys.LOOK_LATER}
    hot |= {mysql_ended.FIND, mysql_ended.FORGET, mysql_ended.OVER, mysql_ended.PRUNE}
    hot |= {mysql_inbox.SIZES, mysql_inbox.TAKE, mysql_inbox.PRUNE}
    assert hot <= {one.sql for one in sent}
