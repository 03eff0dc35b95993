"""Many at once on one MySQL: who waits for whom, who is kept out, deadlocks; and callers who are cancelled."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import trio

from tests.faults.cutting import cut_at
from tests.faults.proxy import proxy_before
from tests.servers import mysql_execute
from tests.store.backends import OOPS, a_node, join, new_job, put, put_one, put_running, start, told, transactions_on
from tests.waiting import eventually
from tickr.errors import JobNotFound, StoreError, StoreUnavailable
from tickr.jobs import Job, State
from tickr.reports import Outcome
from tickr.store import mysql_claims
from tickr.store.contract import Filter
from tickr.store.mysql import MysqlStore, open_mysql
from tickr.store.mysql_claims import Claimant
from tickr.store.mysql_transactions import Transaction

# -- rivals -----------------------------------------------------------------------------------------------------------


async def test_a_deadlock_is_fought_out_unseen(mysql_url: str) -> None:
    async with transactions_on(mysql_url) as transactions:
        await transactions.run(lambda tx: tx.run("CREATE TABLE t (id INT PRIMARY KEY, n INT)"), within_s=5)
        await transactions.run(lambda tx: tx.run("INSERT INTO t VALUES (1, 0), (2, 0)"), within_s=5)
        runs = 0
        both = [trio.Event(), trio.Event()]

        async def one_way(me: int) -> None:
            async def work(tx: Transaction) -> None:
                nonlocal runs
                runs += 1
                await tx.run("UPDATE t SET n = n + 1 WHERE id = %s", me + 1)
                both[me].set()
                await both[1 - me].wait()
                await tx.run("UPDATE t SET n = n + 1 WHERE id = %s", 2 - me)

            await transactions.run(work, within_s=5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one_way, 0)
            nursery.start_soon(one_way, 1)
        assert runs >= 3
        found = await transactions.run(lambda tx: tx.run("SELECT n FROM t"), within_s=5)
        assert found.rows == ((b"2",), (b"2",))


async def test_a_transaction_that_never_gets_through_is_given_up(mysql_url: str) -> None:
    async with transactions_on(mysql_url) as transactions:
        runs = 0

        async def work(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await tx.run("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'")

        with pytest.raises(StoreUnavailable) as caught:
            await transactions.run(work, within_s=5)
        assert not caught.value.outcome_unknown
        assert runs == 6


async def test_a_refusal_costs_no_connection(mysql_url: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as store:
        before = proxy.opened
        for _ in range(3):
            with pytest.raises(JobNotFound):
                await store.cancel(new_job().id)
        assert proxy.opened == before


async def test_a_faulty_statement_is_no_outage(mysql_url: str) -> None:
    async with transactions_on(mysql_url) as transactions:
        with pytest.raises(StoreError) as caught:
            await transactions.run(lambda tx: tx.run("SELEKT 1"), within_s=5)
        assert not isinstance(caught.value, StoreUnavailable)


async def test_claims_from_two_stores_share_nothing_and_wait_for_nothing(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as one, open_mysql(mysql_url) as other:
        jobs = await put(one, *(new_job(queue=f"q{n % 3}") for n in range(300)))
        await join(one, "n0", "n1", "n2", "n3", "last")
        claimed: list[Job] = []

        async def claim(store: MysqlStore, node: str) -> None:
            while got := await store.claim_due(7, node=node, types=["mail"]):
                claimed.extend(got)

        async with trio.open_nursery() as nursery:
            for number, store in enumerate((one, other) * 2):
                nursery.start_soon(claim, store, f"n{number}")
        while got := await one.claim_due(100, node="last", types=["mail"]):
            claimed += got  # candidates that all were locked when asked for
        assert sorted(job.id for job in claimed) == sorted(job.id for job in jobs)
        assert {job.fence for job in claimed} == {1}


async def test_a_job_locked_by_one_is_passed_over_by_the_other(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as rival:
        best, next_best = await put(store, new_job(priority=0), new_job(priority=1))
        await join(store, "n1")

        async def hold(tx: Transaction) -> list[Job]:
            lock = "SELECT 1 FROM jobs WHERE id = %s FOR UPDATE"
            await tx.run(lock, bytes.fromhex(best.id.replace("-", "")))
            assert await store.claim([best.id], node="n1", types=["mail"]) == []
            return await store.claim_due(1, node="n1", types=["mail"])

        (claimed,) = await rival.run(hold, within_s=5)
        assert claimed.id == next_best.id


async def test_a_claim_neither_takes_nor_awaits_the_lock_of_its_nodes_row(mysql_url: str) -> None:
    async with open_mysql(mysql_url, worked_within_s=3) as store, transactions_on(mysql_url) as rival:
        jobs = await put(store, *(new_job() for _ in range(2)))
        await join(store, "n1")

        async def hold(tx: Transaction) -> list[Job]:
            await tx.run("UPDATE nodes SET lease_until = lease_until + 1 WHERE id = 'n1'")
            return await store.claim([jobs[0].id], node="n1", types=["mail"])

        assert [job.id for job in await rival.run(hold, within_s=5)] == [jobs[0].id]

        async def claim_and_wait(tx: Transaction) -> None:
            assert await mysql_claims.claim(tx, [jobs[1].id], Claimant("n1", ["mail"], None))
            assert await store.heartbeat("n1", lease_s=15) is not None
            assert await store.expire("n1", lease_until=(await store.nodes())[0].lease_until or 0)

        await rival.run(claim_and_wait, within_s=5)
        assert {job.id for job in await store.reap(10)} == {job.id for job in jobs}


async def test_an_outcome_that_meets_a_cancel_request_is_looked_at_again(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        plain, asked = await start(store, *await put(store, new_job(), new_job()))
        await store.cancel(asked.id)
        done = await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in (plain, asked)])
        assert [job and job.state for job in done] == [State.RETRYING, State.CANCELLED]
        assert done == [await store.get(plain.id), await store.get(asked.id)]


# -- many who ask -----------------------------------------------------------------------------------------------------

SLOW_QUEUES = "RENAME TABLE queues TO all_queues; CREATE VIEW queues AS SELECT * FROM all_queues WHERE SLEEP(30) = 0"
SLEEPING = (
    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT name FROM queues%'"
)


async def test_long_reads_leave_room_for_everybody_else(mysql_url: str) -> None:
    async with open_mysql(mysql_url, connections=6, asked_within_s=1.5, worked_within_s=20) as store:
        job = await put_one(store)
        await join(store, "n1")
        await trio.to_thread.run_sync(mysql_execute, mysql_url, SLOW_QUEUES)
        given_up: list[StoreUnavailable] = []

        async def ask() -> None:
            try:
                await store.queues()
            except StoreUnavailable as error:
                given_up.append(error)

        async def sleeping() -> bool:
            return await trio.to_thread.run_sync(mysql_execute, mysql_url, SLEEPING) == [["2"]]

        async def others_gave_up() -> bool:
            await trio.lowlevel.checkpoint()
            return len(given_up) == 6

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(ask)
            await eventually(sleeping)
            assert await store.get(job.id) == job
            assert len(await start(store, job)) == 1
            with pytest.raises(StoreUnavailable):
                await store.list_jobs(Filter(), limit=1)
            await eventually(others_gave_up)
            assert await sleeping()
            nursery.cancel_scope.cancel()


async def test_a_heartbeat_waits_for_no_other_call(mysql_url: str) -> None:
    async with open_mysql(mysql_url, connections=2, worked_within_s=20) as store:
        await join(store, "n1")
        begun = 0

        async def hold(tx: Transaction) -> None:
            nonlocal begun
            begun += 1
            await trio.sleep_forever()

        async def all_taken() -> bool:
            await trio.lowlevel.checkpoint()
            return begun == 2

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(partial(store._run, hold, within_s=60))
            await eventually(all_taken)
            with trio.fail_after(5):
                assert await store.heartbeat("n1", lease_s=15) == []
                (node,) = await store.nodes()
                await store.register(a_node(id="n2"), lease_s=15)
                assert await store.expire("n1", lease_until=node.lease_until or 0)
                await store.deregister("n2")
                assert await store.nodes() == []
            nursery.cancel_scope.cancel()


# -- cancellation -----------------------------------------------------------------------------------------------------


async def test_a_cut_at_any_await_leaves_nothing_half_done(mysql_url: str) -> None:
    """Connections come back to the pool in no transaction, locks are let go, and each write is whole or not at all."""
    query = "SELECT COUNT(*) FROM information_schema.innodb_trx"

    async def nothing_open() -> bool:
        return await trio.to_thread.run_sync(mysql_execute, mysql_url, query) == [["0"]]

    async with open_mysql(mysql_url, connections=2) as store:
        await put_running(store)
        for parks in itertools.count(1):
            new = [new_job(queue="cut"), new_job(queue="cut")]
            too_late = await cut_at(parks, lambda new=new: store.insert(new))  # type: ignore[misc]
            assert len(await store.still_waiting([one.id for one in new])) in (0, 2)
            jobs = [job for job, _ in await store.insert(new)]
            claims_too_late = await cut_at(
                parks,
                lambda jobs=jobs: store.claim([job.id for job in jobs], node="n1", types=["mail"]),  # type: ignore[misc]
            )
            now = [await store.get(job.id) for job in jobs]
            assert len({job and job.state for job in now}) == 1
            if too_late and claims_too_late:
                break
        assert parks > 8
        await eventually(nothing_open)
        versions = {job.id: job.version for job in (await store.list_jobs(Filter(), limit=1000)).jobs}
        events = [event for commit in await told(store) for event in commit]
        assert len(events) == sum(versions.values())


async def test_a_caller_cancelled_during_commit_still_gets_its_answer(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        await put_one(store)
        for parks in itertools.count(1):
            new, answered = new_job(), []

            async def call() -> None:
                answered.append(await store.insert([new]))  # noqa: B023

            too_late = await cut_at(parks, call)
            assert bool(answered) == (await store.get(new.id) is not None), f"cut at await {parks}"
            if too_late:
                break
