"""What callers of the store see of cut connections, restarts, a frozen server."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from trio_mysql import err

from tests.faults.proxy import proxy_before
from tests.servers import MariaDB, mysql_execute
from tests.store.backends import a_node, end, new_job, put, put_one, start, told, told_of
from tests.waiting import eventually
from tickr.errors import StoreUnavailable
from tickr.jobs import State
from tickr.reports import Outcome
from tickr.store import mysql_pool
from tickr.store.contract import Filter, Running
from tickr.store.mysql import open_mysql
from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool

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
        held = Running.of(running[0])._replace(cancel_requested=True)
        assert await with_a_cut(lambda: store.heartbeat("n1", lease_s=60)) == [held]
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


LOCK_WAITS = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'"


async def lock_waits(url: str) -> int:
    return int((await trio.to_thread.run_sync(mysql_execute, url, LOCK_WAITS))[0][1])


async def test_a_lock_wait_that_times_out_does_not_answer_for_the_commit(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_pool, "LOCK_WAIT_S", 1)
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url, asked_within_s=15) as store:
        before = await lock_waits(mysql_url)
        proxy.cut = "late"
        new = new_job()

        async def asked_again() -> bool:
            return await lock_waits(mysql_url) >= before + 2

        async def commit_late() -> None:
            await eventually(asked_again)
            proxy.let_go.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit_late)
            ((job, created),) = await store.insert([new])
        assert (job.id, created) == (new.id, True)
        assert [len(commit) for commit in await told(store)] == [1]


async def test_a_commit_that_stays_undecided_is_unknown(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_pool, "LOCK_WAIT_S", 1)
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url, asked_within_s=1.5) as store:
        proxy.cut = "late"
        new = new_job()
        with pytest.raises(StoreUnavailable) as caught:
            await store.insert([new])
        assert caught.value.outcome_unknown
        proxy.let_go.set()
        ((job, created),) = await store.insert([new])
        assert (job.id, created) == (new.id, False)


# -- a restart, a server that is down ---------------------------------------------------------------------------------


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
        hog.push_async_callback(pool.aclose)
        with contextlib.suppress(err.OperationalError):
            for _ in range(20):
                await hog.enter_async_context(pool.connection())
        with trio.fail_after(10), pytest.raises(StoreUnavailable):
            async with open_mysql(url):
                pass
