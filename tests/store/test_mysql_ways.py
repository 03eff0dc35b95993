"""Which index each of the hot statements goes by, and how many rows it reads, one by one, in a small database.

``test_explain.py`` asks the same of whatever the store sends, in a larger one; here each statement has its own answer.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from tests.servers import mysql_execute
from tests.store.backends import OOPS, SECOND, join, new_job, put, transactions_on
from tickr.reports import Outcome
from tickr.store import (
    mysql_claims,
    mysql_feed,
    mysql_jobs,
    mysql_lists,
    mysql_nodes,
    mysql_queues,
    mysql_reads,
    mysql_waiting,
)
from tickr.store.contract import MAX_BATCH
from tickr.store.mysql import open_mysql
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Parameter, number, text

NOW = 2_000_000_000 * SECOND


@asynccontextmanager
async def filled(url: str) -> AsyncIterator[Transactions]:
    """Open a database that holds some thousand jobs in all states, and knows it."""
    async with open_mysql(url) as store:
        for _ in range(4):
            new = [
                new_job("mail" if n % 2 else "sms", queue=f"q{n % 3}", priority=n % 10, delay_us=n % 4 * 3600 * SECOND)
                for n in range(MAX_BATCH)
            ]
            jobs = await put(store, *new)
        await join(store, "n1")
        running = await store.claim([job.id for job in jobs], node="n1", types=["mail", "sms"])
        await store.finish([Outcome(job=job, kind="succeeded") for job in running[:100]])
        await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in running[100:200]])
    async with transactions_on(url) as transactions:
        await transactions.run(fill_log, within_s=10)
        await trio.to_thread.run_sync(mysql_execute, url, "ANALYZE TABLE jobs, events, nodes")
        yield transactions


async def fill_log(tx: Transaction) -> None:
    """Three thousand rows of events with numbers, and two without."""
    await tx.run("DELETE FROM events")
    await tx.run(
        "INSERT INTO events (seq, created_at, count, body) SELECT x.seq, 0, 1, REPEAT('x', 200) FROM "
        "JSON_TABLE(%s, '$[*]' COLUMNS (seq BIGINT PATH '$')) AS x",
        msgspec.json.encode([*range(1, 3001), None, None]).decode(),
    )
    await tx.run("UPDATE feed_head SET seq = 3000")


async def explain(tx: Transaction, sql: str, *parameters: Parameter) -> list[tuple[str | None, ...]]:
    """Return (table, way, index) for each table read; the JSON parameter and temporary results left out."""
    ways = []
    for row in (await tx.run("EXPLAIN " + sql, *parameters)).rows:
        cells = [None if cell is None else text(cell) for cell in row]
        if len(cells) == 12:  # MySQL has a column more for partitions, and one for the share that passes
            del cells[10], cells[3]
        table, way, index = cells[2], cells[3], cells[5]
        if table and table != "x" and not table.startswith("<"):
            ways.append((table, way, index))
    return ways


KEYS = tuple(uuid.UUID(int=number).bytes for number in range(500))
BY_KEY = [
    (mysql_claims.CLAIMABLE, (KEYS, NOW, ("mail",), 3, "n1")),
    (mysql_claims.START, ("n1", NOW, KEYS)),
    (mysql_claims.LOCK_BY_IDS, (KEYS,)),
    (mysql_feed.LOCK_BEGUN, (KEYS,)),
    (mysql_jobs.SUCCEED_JOBS, (None, NOW, KEYS, 2, 1, "n")),
    (mysql_jobs.BY_IDS, (KEYS,)),
    (mysql_jobs.ROWS_BY_IDS, (KEYS,)),
    (mysql_nodes.LOCK_RUNNING, (KEYS,)),
]
IN_ORDER = [
    *((statement, (*("q1", NOW, 50) * 20, 50)) for statement in mysql_waiting.DUE_IN_QUEUE),
    *((statement, (*("q1", NOW, ("mail",), 50) * 20, 50)) for statement in mysql_waiting.DUE_IN_QUEUE_OF_TYPES),
    *(
        (statement, (*("q1", NOW, ("mail",), ("acme",), 50) * 20, 50))
        for statement in mysql_waiting.DUE_IN_QUEUE_BUT_KEYS
    ),
    (mysql_queues.RUNNING, (("q1",),)),
    (mysql_waiting.REST_OF_RANGE, (1, "q1", 3, NOW, bytes(16), 50, 1, "q1", 3, NOW, 2**62, 50, 50)),
    (mysql_waiting.NEXT_RANGE, (1, "q1", 3, 1, "q1")),
    (mysql_reads.DEPTHS, (NOW,)),
    (mysql_nodes.HELD, ("n1",)),
]

IN_THE_LOG = [
    (mysql_feed.UNNUMBERED, (100,)),
    (mysql_feed.UNNUMBERED_BODIES, (100, 100)),
    (mysql_feed.LENGTHS, (0, 100)),
    (mysql_feed.BODIES, (0, 100)),
    (mysql_feed.FRONT, (100,)),
    (mysql_feed.PRUNE, (1, 3)),
]


async def test_hot_statements_go_by_their_index(mysql_url: str) -> None:
    async def work(tx: Transaction) -> None:
        if (await tx.run("SELECT VERSION() LIKE '%%MariaDB%%'")).rows == ((b"0",),):
            await tx.run("SET explain_format = 'TRADITIONAL'")
        for sql, parameters in BY_KEY:
            ways = await explain(tx, sql, *parameters)
            if sql == mysql_claims.CLAIMABLE:
                ways.remove(("n", "const", "PRIMARY"))
                ways.remove(("queue_controls", "ALL", None))  # those that are not plain, few or none
            assert [way[1:] for way in ways] == [("range", "PRIMARY")], sql
        for sql, parameters in IN_ORDER:
            for _, way, index in await explain(tx, sql, *parameters):
                assert way in ("range", "ref"), sql
                assert index == "jobs_order", sql
        for sql, parameters in IN_THE_LOG:
            for table, way, index in await explain(tx, sql, *parameters):
                if (table, way) != ("h", "const"):
                    assert (way, index) in (("range", "events_seq"), ("ref", "events_seq")), sql
        for sql in (mysql_jobs.MOVE_JOBS, mysql_jobs.SHOW_PROGRESS):
            assert await explain(tx, sql, "[[1,2]]") == [("j", "eq_ref", "PRIMARY")], sql
        assert await explain(tx, mysql_jobs.SUCCEED_EACH, "[[1,2]]", NOW) == [("j", "eq_ref", "PRIMARY")]
        ((head,),) = (await tx.run("SELECT seq FROM feed_head")).rows
        numbering = await explain(tx, mysql_feed.NUMBER, "[[1,2]]", 2, number(head))
        assert sorted(numbering) == [("e", "eq_ref", "PRIMARY"), ("h", "const", "PRIMARY")]
        ways = await explain(tx, mysql_waiting.DUE_QUEUES, *[NOW] * 20)
        assert {way for way in ways if way[0] == "jobs"} == {("jobs", "ref", "jobs_order")}
        lost = await explain(tx, mysql_nodes.LOST, 50)
        # The nodes are few; MySQL may read them all once rather than look each up.
        assert [(table, index) for table, _, index in lost] in (
            [("j", "jobs_order"), ("n", "PRIMARY")],
            [("j", "jobs_order"), ("n", None)],
        )
        newest = mysql_lists.NEWEST + mysql_lists.NEWEST_FIRST
        ((_, way, index),) = await explain(tx, newest, 50)
        assert (way, index) == ("index", "jobs_newest")
        ((_, way, index),) = await explain(
            tx, mysql_lists.NEWEST + mysql_lists.OLDER + mysql_lists.NEWEST_FIRST, NOW, NOW, bytes(16), 50
        )
        assert (way, index) in (("range", "jobs_newest"), ("index", "jobs_newest"))

    async with filled(mysql_url) as transactions:
        await transactions.run(work, within_s=10)


async def rows_read(tx: Transaction, sql: str, *parameters: Parameter) -> int:
    """Return how many rows and index entries the server looked at for one statement."""
    status = "SHOW SESSION STATUS LIKE 'Handler_read%%'"
    before = sum(int(value or 0) for _, value in (await tx.run(status)).rows)
    await tx.run(sql, *parameters)
    after = sum(int(value or 0) for _, value in (await tx.run(status)).rows)
    return after - before


async def test_questions_cost_no_more_than_their_answer(mysql_url: str) -> None:
    async def work(tx: Transaction) -> None:
        overhead = await rows_read(tx, "SELECT 1")
        for sql, parameters, most in (
            (mysql_waiting.DUE_QUEUES, [0] * 20, 150),  # three queues, nothing due: each range's first entry
            *((statement, [*("q1", NOW, 5) * 20, 5], 400) for statement in mysql_waiting.DUE_IN_QUEUE),
            (mysql_waiting.REST_OF_RANGE, [1, "q1", 3, 0, bytes(16), 5, 1, "q1", 3, 0, 2**62, 5, 5], 50),
            (mysql_waiting.NEXT_RANGE, [1, "q1", 3, 1, "q1"], 20),
            (mysql_lists.NEWEST + mysql_lists.NEWEST_FIRST, [5], 20),
            (mysql_feed.UNNUMBERED, [5000], 12),
            (mysql_feed.UNNUMBERED_BODIES, [100, 32], 12),
            (mysql_feed.STATE, [], 10),
            (mysql_feed.LENGTHS, [2900, 5], 20),
            (mysql_feed.BODIES, [2900, 5], 20),
            (mysql_feed.FRONT, [5], 20),
            (mysql_feed.PRUNE, [1, 5], 30),
        ):
            count = await rows_read(tx, sql, *parameters) - overhead
            assert count <= most, f"{count} rows or entries read by {sql}"

    async with filled(mysql_url) as transactions:
        await transactions.run(work, within_s=10)
