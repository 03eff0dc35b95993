"""The statements on a real server: large values, split batches, the schema, and what the doctor finds."""

from __future__ import annotations

import msgspec
import pytest
import trio

from tests.servers import MariaDB, mysql_execute
from tests.store.backends import OOPS, SECOND, join, new_job, put, start, told, transactions_on
from tickr.errors import SchemaMismatch, StoreError, StoreUnavailable
from tickr.events import MAX_RESULT_BYTES
from tickr.jobs import Failure
from tickr.reports import Outcome
from tickr.store import migrate
from tickr.store.contract import Filter
from tickr.store.migrate import migrations
from tickr.store.mysql import open_mysql
from tickr.store.mysql_jobs import INLINE_BYTES, documents
from tickr.store.mysql_transactions import Transaction

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
        assert {job.id: job for job in (await store.list_jobs(Filter(), limit=10)).jobs} == {
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
        # Written as JSON inside SQL where there are several, as it is where there is one.
        for outcomes, digit in (([too_big, Outcome(job=small, kind="succeeded")], 3), ([too_big], 2)):
            said = rf"{digit}\d{{6}} bytes .* max_allowed_packet of 1048576 bytes"
            with pytest.raises(StoreError, match=said) as caught:
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


# -- the schema -------------------------------------------------------------------------------------------------------


async def test_many_who_open_an_empty_database_at_once_all_find_it_ready(mysql_url: str) -> None:
    async def open_and_use() -> None:
        async with open_mysql(mysql_url, asked_within_s=10) as store:
            await store.insert([new_job()])

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(open_and_use)
    known = migrations("mysql")
    found = mysql_execute(mysql_url, "SELECT COUNT(*), MAX(version) FROM schema_version")
    assert found == [[str(len(known)), str(known[-1].version)]]


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
