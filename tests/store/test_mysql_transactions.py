"""What callers of the store see of deadlocks, cut connections, restarts, a frozen server, their own cancellation."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio_mysql import err

from tests.servers import MariaDB, mysql_execute
from tests.store.backends import OOPS, a_node, end, new_job, put, put_one, put_running, start, told, told_of
from tests.store.mysql_proxy import proxy_before
from tests.waiting import eventually
from tickr.errors import JobNotFound, StoreError, StoreUnavailable
from tickr.jobs import Job, Outcome, State
from tickr.store.contract import Filter
from tickr.store.mysql import MysqlStore, open_mysql
from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_schema import bring_up
from tickr.store.mysql_transactions import ServerClock, Transaction, Transactions


@asynccontextmanager
async def transactions_on(url: str) -> AsyncIterator[Transactions]:
    async with trio.open_nursery() as nursery:
        pool = Pool(parse(url), None, nursery)
        await bring_up(pool, asked=False)
        yield Transactions(pool, ServerClock(None), 8_000_000)
        await pool.aclose()


# -- a lost connection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_an_insert_whose_commit_is_cut_is_done_once(mysql_url: str, cut: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as store:
        proxy.cut = cut  # type: ignore[assignment]
        new = [new_job() for _ in range(20)]
        answers = await store.insert(new)
        assert proxy.cuts == 1
        assert [(job.id, created) for job, created in answers] == [(one.id, True) for one in new]
        assert [len(commit) for commit in await told(store)] == [20]
        assert await store.still_waiting([new[0].id]) == [answers[0][0]]


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_every_other_write_whose_commit_is_cut_is_done_once(mysql_url: str, cut: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as store:
        await store.register(a_node(id="n1"), lease_s=60)
        first, second, third = await put(store, new_job(), new_job(), new_job())

        async def with_a_cut(call: Callable[[], Awaitable[object]]) -> object:
            before = proxy.cuts
            proxy.cut = cut  # type: ignore[assignment]
            answer = await call()
            assert proxy.cuts == before + 1
            return answer

        ids = [first.id, second.id]
        claimed = await with_a_cut(lambda: store.claim(ids, node="n1", types=["mail"]))
        assert isinstance(claimed, list)
        assert [job.fence for job in claimed] == [1, 1]
        done = await with_a_cut(lambda: store.finish([Outcome(job=job, kind="succeeded") for job in claimed]))
        assert isinstance(done, list)
        assert [job.version for job in done] == [3, 3]
        assert await with_a_cut(lambda: store.cancel(third.id)) == await store.get(third.id)
        assert await with_a_cut(lambda: store.redrive(third.id)) == await store.get(third.id)
        running = await start(store, third)
        assert (await with_a_cut(lambda: store.cancel(third.id))).cancel_requested  # type: ignore[attr-defined]
        assert await with_a_cut(lambda: store.heartbeat("n1", lease_s=60)) == [(third.id, running[0].fence, True)]
        await with_a_cut(lambda: store.deregister("n1"))
        (reaped,) = await with_a_cut(lambda: store.reap(10))  # type: ignore[misc]
        assert reaped == await store.get(third.id)
        assert await with_a_cut(lambda: store.epoch("mine")) == "mine"
        assert await told_of(store, first) == ["created", "started", "succeeded"]
        assert await told_of(store, third) == ["created", "cancelled", "redriven", "started", "cancelled"]


async def test_a_commit_nobody_can_be_asked_about_is_unknown(mysql_private_server: MariaDB) -> None:
    async with proxy_before(mysql_private_server.url) as proxy, open_mysql(proxy.url) as store:
        await put_one(store)
        proxy.cut = "after"
        new = new_job()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def freeze() -> None:
                while not proxy.cuts:
                    await trio.lowlevel.checkpoint()
                mysql_private_server.stop()

            with pytest.raises(StoreUnavailable) as caught:
                await store.insert([new])
        assert caught.value.outcome_unknown
        mysql_private_server.cont()
        ((job, created),) = await store.insert([new])
        assert (job.id, created) == (new.id, False)


async def test_a_restart_between_two_calls_is_nobodys_business(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        job = await put_one(store)
        async with trio.open_nursery() as nursery:
            for _ in range(6):  # so that there are several idle connections
                nursery.start_soon(store.queues)
        mysql_private_server.kill()
        mysql_private_server.start()
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(store.ping)
            nursery.start_soon(store.insert, [new_job()])
        (claimed,) = await start(store, job)
        assert await end(store, claimed, "succeeded") == await store.get(job.id)


async def test_a_server_that_is_down_is_unavailable_at_once_and_back_when_it_is(
    mysql_private_server: MariaDB,
) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        job = await put_one(store)
        mysql_private_server.kill()
        for call in (lambda: store.insert([new_job()]), lambda: store.get(job.id), lambda: store.reap(1), store.ping):
            with trio.fail_after(2), pytest.raises(StoreUnavailable) as caught:
                await call()
            assert not caught.value.outcome_unknown
        mysql_private_server.start()
        assert await store.get(job.id) == job


async def has_stopped(pid: int) -> bool:
    """Whether SIGSTOP has reached every thread of ``pid``."""
    await trio.lowlevel.checkpoint()
    return _is_stopped(pid)


def _is_stopped(pid: int) -> bool:
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


async def test_a_frozen_server_is_unavailable_within_two_seconds(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        job = await put_one(store)
        mysql_private_server.stop()
        await eventually(lambda: has_stopped(mysql_private_server.pid))
        try:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.insert([new_job()]), lambda: store.get(job.id), lambda: store.cancel(job.id),
                lambda: store.list_jobs(Filter(), limit=1), store.queues, store.ping,
            ] * 3  # fmt: skip

            async def fails(call: Callable[[], Awaitable[object]]) -> None:
                with pytest.raises(StoreUnavailable):
                    await call()

            with trio.fail_after(2):
                async with trio.open_nursery() as nursery:
                    for call in calls:
                        nursery.start_soon(fails, call)
        finally:
            mysql_private_server.cont()
        assert await store.get(job.id) == job
        assert (await store.cancel(job.id)).state is State.CANCELLED


@pytest.mark.parametrize("mysql_private_server", [{"options": ["--max-connections=10"]}], indirect=True)
async def test_too_many_connections_pass_when_there_is_room_again(mysql_private_server: MariaDB) -> None:
    url = mysql_private_server.url
    async with open_mysql(url, connections=20) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(store.insert, [new_job()])
        assert len(await told(store)) == 60
    async with trio.open_nursery() as nursery, AsyncExitStack() as hog:
        pool = Pool(parse(url), None, nursery, size=20)
        with contextlib.suppress(err.OperationalError):
            for _ in range(20):
                await hog.enter_async_context(pool.connection())
        with trio.fail_after(3), pytest.raises(StoreUnavailable):
            async with open_mysql(url):
                pass


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

        async def hold(tx: Transaction) -> list[Job]:
            lock = "SELECT 1 FROM jobs WHERE id = %s FOR UPDATE"
            await tx.run(lock, bytes.fromhex(best.id.replace("-", "")))
            assert await store.claim([best.id], node="n1", types=["mail"]) == []
            return await store.claim_due(1, node="n1", types=["mail"])

        (claimed,) = await rival.run(hold, within_s=5)
        assert claimed.id == next_best.id


async def test_an_outcome_that_meets_a_cancel_request_is_looked_at_again(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        plain, asked = await start(store, *await put(store, new_job(), new_job()))
        await store.cancel(asked.id)
        done = await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in (plain, asked)])
        assert [job and job.state for job in done] == [State.RETRYING, State.CANCELLED]
        assert done == [await store.get(plain.id), await store.get(asked.id)]


# -- cancellation -----------------------------------------------------------------------------------------------------


class CutAfter(trio.abc.Instrument):
    """Cancels ``scope`` when the task that runs in it has been parked so many times."""

    def __init__(self, task: trio.lowlevel.Task, parks: int, scope: trio.CancelScope) -> None:
        self.task, self.left, self.scope = task, parks, scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def cut_at(parks: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Call, and cancel at the ``parks``-th await that really waits. Return whether that came too late."""
    scope = trio.CancelScope()
    instrument = CutAfter(trio.lowlevel.current_task(), parks, scope)
    trio.lowlevel.add_instrument(instrument)
    try:
        with scope:
            await call()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return not scope.cancel_called


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
        assert parks > 10
        await eventually(nothing_open)
        versions = {job.id: job.version for job in await store.list_jobs(Filter(), limit=1000)}
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
