"""The statements on a real server: large values, split batches, and which index each of the hot ones goes by."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from tests.servers import MariaDB, mysql_execute
from tests.store.backends import OOPS, SECOND, join, new_job, put, start, told, transactions_on
from tickr.errors import SchemaMismatch, StoreError, StoreUnavailable
from tickr.events import MAX_RESULT_BYTES
from tickr.jobs import Failure, Outcome
from tickr.store import migrate, mysql_claims, mysql_feed, mysql_jobs, mysql_nodes, mysql_reads, mysql_waiting
from tickr.store.contract import MAX_BATCH, Filter
from tickr.store.migrate import migrations
from tickr.store.mysql import open_mysql
from tickr.store.mysql_jobs import INLINE_BYTES, documents
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import Parameter, number, text

NASTY = '"\\\\\\"é漢😀\'%s'


def text_of(size: int) -> str:
    """Return JSON text of about ``size`` bytes that grows most on its way through JSON and SQL."""
    return f'"{(NASTY[1:] * (size // 8 + 1))[:size].rstrip(chr(92))}"'


# -- large values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, INLINE_BYTES - 2, INLINE_BYTES, INLINE_BYTES * 3, 70_000, 900_000])
async def test_a_batch_with_large_values_comes_back_exactly(mysql_url: str, size: int) -> None:
    async with open_mysql(mysql_url, asked_within_s=10) as store:
        some = [new_job(payload=text_of(size + number), labels='{"a":"b"}') for number in range(6)]
        small = [new_job(), new_job()]
        jobs = await put(store, *some, *small)
        assert [job.payload for job in jobs] == [one.payload for one in (*some, *small)]
        claimed = await start(store, *jobs)
        assert [job.payload for job in claimed] == [one.payload for one in (*some, *small)]
        result, traceback = text_of(size), text_of(min(size, 16_000))
        done = await store.finish(
            [Outcome(job=job, kind="succeeded", result=result + " " * n) for n, job in enumerate(claimed[:-1])]
            + [Outcome(job=claimed[-1], kind="retried", failure=Failure("exception", "no", traceback))]
        )
        assert done == [await store.get(job.id) for job in claimed]
        assert {job.id: job for job in await store.list_jobs(Filter(), limit=10)} == {
            job.id: job for job in done if job
        }
        assert await store.still_waiting([job.id for job in claimed]) == done[-1:]
        last = [event for commit in (await told(store))[2:] for event in commit]
        assert [event.result for event in last] == [
            job and job.result if size < MAX_RESULT_BYTES else None for job in done
        ]


@pytest.mark.parametrize("mysql_private_server", [{"options": ["--max-allowed-packet=1M"]}], indirect=True)
async def test_a_batch_larger_than_a_packet_is_one_transaction_in_parts(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url, asked_within_s=10) as store:
        new = [new_job(payload=text_of(40_000)) for _ in range(60)]
        jobs = await put(store, *new)
        assert len(await told(store)) == 1
        claimed = await start(store, *jobs)
        assert [job.payload for job in claimed] == [one.payload for one in new]
        taken = new_job(payload=text_of(40_000))
        again = await store.insert([*(new_job(payload=text_of(40_000)) for _ in range(40)), new[0], taken])
        assert [created for _, created in again] == [True] * 40 + [False, True]


@pytest.mark.parametrize("mysql_private_server", [{"options": ["--max-allowed-packet=1M"]}], indirect=True)
async def test_a_value_larger_than_a_packet_is_refused_and_is_no_outage(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        big, small = await start(store, *await put(store, new_job(), new_job()))
        too_big = Outcome(job=big, kind="succeeded", result=text_of(1_100_000))
        for outcomes in ([too_big, Outcome(job=small, kind="succeeded")], [too_big]):
            with pytest.raises(StoreError, match=r"3\d{6} bytes .* max_allowed_packet of 1048576 bytes") as caught:
                await store.finish(outcomes)
            assert not isinstance(caught.value, StoreUnavailable)
        assert [await store.get(job.id) for job in (big, small)] == [big, small]
        (done,) = await store.finish([Outcome(job=small, kind="succeeded")])
        assert done == await store.get(small.id)


async def test_the_longest_statement_the_server_takes_is_not_refused(mysql_url: str) -> None:
    async with transactions_on(mysql_url) as transactions:

        async def work(tx: Transaction) -> None:
            ((cell,),) = (await tx.run("SELECT @@max_allowed_packet")).rows
            most = int(cell or 0) - len("SELECT LENGTH('')") - 2
            assert (await tx.run("SELECT LENGTH(%s)", "x" * most)).rows == ((str(most).encode(),),)
            with pytest.raises(StoreError, match="max_allowed_packet"):
                await tx.run("SELECT LENGTH(%s)", "x" * (most + 1))

        await transactions.run(work, within_s=20)


def test_documents_hold_everything_and_stay_short() -> None:
    values = [(number, "x" * (number % 50), "'\\") for number in range(500)]
    parts = list(documents(values, 1000))
    assert [row for part in parts for row in msgspec.json.decode(part)] == [list(value) for value in values]
    assert len(parts) > 10
    for part in parts:
        assert len(part.replace("\\", "\\\\").replace("'", "\\'")) <= 1002
    assert len(list(documents([("y" * 5000,), ("z",)], 1000))) == 2
    assert list(documents([], 1000)) == []


async def test_the_events_of_a_commit_with_large_results_fill_several_rows(mysql_url: str) -> None:
    async with open_mysql(mysql_url, worked_within_s=20) as store:
        jobs = await start(store, *await put(store, *(new_job() for _ in range(52))))
        result = text_of(150_000)
        await store.finish([Outcome(job=job, kind="succeeded", result=result) for job in jobs])
        ends = (await told(store))[2:]
        assert len(ends) == 4  # each of 8 MB, as results grow on their way
        assert sorted(event.job for commit in ends for event in commit) == sorted(job.id for job in jobs)


async def test_what_sql_says_of_a_start_is_what_the_record_says(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        jobs = await start(store, *await put(store, *(new_job() for _ in range(20))))
        await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in jobs])
        again = await start(store, *jobs, node="n2")
        assert again == [await store.get(job.id) for job in jobs]
        done = await store.finish([Outcome(job=job, kind="succeeded", result="1") for job in again])
        assert done == [await store.get(job.id) for job in jobs]


async def test_nothing_is_claimed_for_nobody(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        (job,) = await put(store, new_job())
        assert await store.claim([job.id], node="n", types=[]) == []
        assert await store.claim_due(5, node="n", types=[]) == []
        assert await store.claim(["", "nonsense", "00" * 16], node="n", types=["mail"]) == []


async def test_claims_without_an_index_are_fair_to_the_queues(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        await put(
            store, *(new_job(queue="busy", priority=0) for _ in range(100)), new_job(queue="a"), new_job(queue="z")
        )
        await join(store, "n1")
        claimed = await store.claim_due(9, node="n1", types=["mail"])
        assert len(claimed) == 9
        claimed += await store.claim_due(9, node="n1", types=["mail"])
        assert sorted(job.queue for job in claimed) == ["a", *["busy"] * 16, "z"]


# -- ways through the tables ------------------------------------------------------------------------------------------


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
    (mysql_feed.LOCK_FENCES, (KEYS,)),
    (mysql_jobs.SUCCEED_JOBS, (None, NOW, KEYS, 2, 1)),
    (mysql_jobs.BY_IDS, (KEYS,)),
    (mysql_jobs.ROWS_BY_IDS, (KEYS,)),
    (mysql_nodes.LOCK_RUNNING, (KEYS,)),
]
IN_ORDER = [
    (mysql_waiting.DUE_IN_QUEUE, (*("q1", NOW, 50) * 20, 50)),
    (mysql_waiting.DUE_IN_QUEUE_OF_TYPES, (*("q1", NOW, ("mail",), 50) * 20, 50)),
    (mysql_waiting.REST_OF_RANGE, (1, "q1", 3, NOW, bytes(16), 50, 1, "q1", 3, NOW, 50, 50)),
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
        newest = mysql_reads.LIST + mysql_reads.NEWEST_FIRST
        ((_, way, index),) = await explain(tx, newest, 50)
        assert (way, index) == ("index", "jobs_newest")
        ((_, way, index),) = await explain(
            tx, mysql_reads.LIST + mysql_reads.OLDER + mysql_reads.NEWEST_FIRST, NOW, NOW, bytes(16), 50
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
            (mysql_waiting.DUE_IN_QUEUE, [*("q1", NOW, 5) * 20, 5], 400),
            (mysql_waiting.REST_OF_RANGE, [1, "q1", 3, 0, bytes(16), 5, 1, "q1", 3, 0, 5, 5], 50),
            (mysql_waiting.NEXT_RANGE, [1, "q1", 3, 1, "q1"], 20),
            (mysql_reads.LIST + mysql_reads.NEWEST_FIRST, [5], 20),
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


# -- the schema -------------------------------------------------------------------------------------------------------


async def test_many_who_open_an_empty_database_at_once_all_find_it_ready(mysql_url: str) -> None:
    async def open_and_use() -> None:
        async with open_mysql(mysql_url, asked_within_s=10) as store:
            await store.insert([new_job()])

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(open_and_use)
    newest = str(migrations("mysql")[-1].version)
    found = mysql_execute(mysql_url, "SELECT COUNT(*), MAX(version) FROM schema_version")
    assert found == [[newest, newest]]


async def test_a_start_cut_in_the_middle_of_a_migration_is_taken_up_again(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        before = await store.feed_state()
    mysql_execute(mysql_url, "DELETE FROM schema_version WHERE version > 1")  # all is there already but the record
    async with open_mysql(mysql_url, migrate=True) as store:
        assert await store.feed_state() == before
    mysql_execute(mysql_url, "DELETE FROM schema_version; DROP TABLE meta; DROP TABLE nodes")
    async with open_mysql(mysql_url) as store:
        assert await store.epoch("mine") == "mine"
        assert (await store.feed_state()).history != before.history


async def test_a_migration_that_goes_wrong_is_not_taken_for_done(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [migrate.Migration(1, "start", ("CREATE TABLE t (id INT)", "ALTER TABLE t ADD COLUMN id2 NONSENSE"))]
    monkeypatch.setattr(migrate, "migrations", lambda dialect: steps)
    with pytest.raises(StoreError):
        async with open_mysql(mysql_url):
            pass
    assert mysql_execute(mysql_url, "SELECT COUNT(*) FROM schema_version") == [["0"]]


async def test_a_database_of_something_else_is_left_alone(mysql_url: str) -> None:
    mysql_execute(mysql_url, "CREATE TABLE jobs (title TEXT)")
    with pytest.raises(SchemaMismatch, match="not Tickr's"):
        async with open_mysql(mysql_url):
            pass
    assert mysql_execute(mysql_url, "SHOW TABLES") == [["jobs"]]


async def test_an_error_in_the_block_leaves_as_it_is(mysql_url: str) -> None:
    with pytest.raises(KeyError):
        async with open_mysql(mysql_url):
            raise KeyError("mine")


# -- the doctor -------------------------------------------------------------------------------------------------------


async def test_a_healthy_server_is_found_healthy(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        found = {check.name: check for check in await store.diagnose()}
    assert {"server", "schema", "durability", "isolation", "max_allowed_packet", "clock", "tls"} <= found.keys()
    assert {check.level for name, check in found.items() if name != "binlog"} == {"ok"}, found
    assert all(check.advice for check in found.values() if check.level != "ok")


@pytest.mark.parametrize(
    "mysql_private_server",
    [{"options": ["--innodb-flush-log-at-trx-commit=2", "--max-allowed-packet=1M", "--log-bin=b", "--sync-binlog=0"]}],
    indirect=True,
)
async def test_a_server_that_forgets_is_found_out(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        levels = {check.name: check.level for check in await store.diagnose()}
    assert (levels["durability"], levels["binlog"], levels["max_allowed_packet"]) == ("fail", "warn", "warn")


async def test_the_stores_clock_is_the_servers(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        told_us = int(mysql_execute(mysql_url, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")[0][0])
        assert abs(store.now_us() - told_us) < 5 * SECOND
        (job,) = await put(store, new_job())
        assert abs(store.now_us() - job.created_at) < 5 * SECOND
