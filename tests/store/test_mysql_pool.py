"""The pool: what comes back clean, what is thrown away, what the server is told of a cancelled statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio_mysql import err

from tests.faults.proxy import proxy_before
from tests.servers import MariaDB, mysql_execute
from tests.waiting import eventually
from tickr.store import mysql_pool
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_values import number


@asynccontextmanager
async def a_pool(url: str, *, size: int = 2) -> AsyncIterator[Pool]:
    async with trio.open_nursery() as nursery:
        pool = Pool(parse(url), None, nursery, size=size)
        yield pool
        await pool.aclose()


async def id_of_a_connection(pool: Pool) -> int:
    async with pool.connection() as connection:
        return int((await connection.execute("SELECT CONNECTION_ID()")).rows[0][0] or 0)


async def test_a_connection_is_used_again(mysql_url: str) -> None:
    async with a_pool(mysql_url) as pool:
        assert await id_of_a_connection(pool) == await id_of_a_connection(pool)


async def test_every_session_is_set_up_the_same_way(mysql_url: str) -> None:
    async with a_pool(mysql_url) as pool, pool.connection() as connection:
        isolation = "tx_isolation" if connection.is_mariadb else "transaction_isolation"
        (row,) = (
            await connection.execute(
                f"SELECT @@{isolation}, @@time_zone, @@autocommit, @@innodb_lock_wait_timeout, @@character_set_client, "
                "@@group_concat_max_len >= 67108864, @@sql_mode LIKE '%%STRICT_ALL_TABLES%%'"
            )
        ).rows
        assert row == (b"READ-COMMITTED", b"+00:00", b"0", b"5", b"utf8mb4", b"1", b"1")


async def test_a_connection_in_the_wanted_mode_is_taken_and_another_is_changed(mysql_url: str) -> None:
    async with a_pool(mysql_url) as pool:
        async with pool.connection() as one, pool.connection(autocommit=True) as other:
            assert (await mode_of(one), await mode_of(other)) == (0, 1)
        for _ in range(3):
            async with pool.connection(autocommit=True) as again:
                assert again is other
            async with pool.connection() as again:
                assert again is one
        async with pool.connection() as first, pool.connection() as second:
            assert {first, second} == {one, other}
            assert (await mode_of(first), await mode_of(second)) == (0, 0)


async def mode_of(connection: Connection) -> int:
    ((mode,),) = (await connection.execute("SELECT @@autocommit")).rows
    return number(mode)


async def test_no_more_connections_than_allowed(mysql_url: str) -> None:
    seen: set[int] = set()
    out = most = 0
    three = trio.Event()

    async def borrow(pool: Pool) -> None:
        nonlocal out, most
        async with pool.connection() as connection:
            out += 1
            most = max(most, out)
            seen.add(connection.thread_id())
            await connection.execute("SELECT 1")
            if out == 3:
                three.set()
            await three.wait()
            out -= 1

    async with a_pool(mysql_url, size=3) as pool:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(borrow, pool)
        assert most == 3
        assert len(seen) == 3


class Unexpected(Exception):
    pass


async def test_who_leaves_with_an_exception_takes_the_connection_along(mysql_url: str) -> None:
    async with a_pool(mysql_url, size=1) as pool:
        first = await id_of_a_connection(pool)

        async def leave_in_the_middle() -> None:
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE t (n INT)")
                await connection.execute("INSERT INTO t VALUES (1)")
                raise Unexpected

        with pytest.raises(Unexpected):
            await leave_in_the_middle()
        async with pool.connection() as connection:
            assert connection.thread_id() != first
            assert (await connection.execute("SELECT COUNT(*) FROM t")).rows == ((b"0",),)


async def test_a_transaction_left_open_does_not_come_back(mysql_url: str) -> None:
    async with a_pool(mysql_url, size=1) as pool:
        first = await id_of_a_connection(pool)
        async with pool.connection() as connection:
            await connection.execute("CREATE TABLE t (n INT)")
            await connection.execute("INSERT INTO t VALUES (1)")
        assert await id_of_a_connection(pool) != first


async def test_a_cancelled_statement_is_killed_on_the_server(mysql_url: str) -> None:
    async with a_pool(mysql_url) as pool:
        async with pool.connection() as connection:
            thread_id = connection.thread_id()
        scope = trio.CancelScope()

        async def borrow() -> None:
            with scope:
                async with pool.connection() as connection:
                    assert connection.thread_id() == thread_id
                    await connection.execute("SELECT SLEEP(60)")

        query = f"SELECT COUNT(*) FROM information_schema.processlist WHERE id = {thread_id}"

        async def connections_with_it() -> str:
            return (await trio.to_thread.run_sync(mysql_execute, mysql_url, query))[0][0]

        async def sleeping() -> bool:
            return (
                await trio.to_thread.run_sync(mysql_execute, mysql_url, f"{query} AND info LIKE '%SLEEP(60)%'")
            ) == [["1"]]

        async def gone() -> bool:
            return await connections_with_it() == "0"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(borrow)
            await eventually(sleeping)
            scope.cancel()
        await eventually(gone)


async def test_a_connection_idle_for_long_is_not_trusted(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_pool(mysql_url) as pool:
        first = await id_of_a_connection(pool)
        monkeypatch.setattr(mysql_pool, "MAX_IDLE_S", -1.0)
        assert await id_of_a_connection(pool) != first


async def test_one_lost_connection_makes_the_idle_ones_suspect(mysql_private_server: MariaDB) -> None:
    async with a_pool(mysql_private_server.url, size=3) as pool:
        async with pool.connection(), pool.connection(), pool.connection():
            pass
        mysql_private_server.kill()
        mysql_private_server.start()
        with pytest.raises(err.OperationalError):
            await id_of_a_connection(pool)
        await id_of_a_connection(pool)  # a new one at once


async def test_a_closed_pool_closes_what_comes_back(mysql_url: str) -> None:
    async with proxy_before(mysql_url) as proxy, a_pool(proxy.url) as pool:
        async with pool.connection() as connection:
            await pool.aclose()
            assert connection.usable
        assert not connection.usable
