"""The pool and the driver cut at every checkpoint: logins, changes of mode, transactions under TLS, closing, opening.

What every method of the store does is in ``tests/store/test_contract_cuts.py``. Here it is what lies below, and what
must be left after each cut: all turns, clean idle connections, no socket, no task, nothing on the server.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.faults.cutting import cut_at
from tests.faults.mysql_checks import assert_clean, connections_to
from tests.servers import mysql_execute
from tests.store.backends import new_job
from tests.waiting import eventually
from tickr.store.mysql import open_mysql
from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_transactions import ServerClock, Transaction, Transactions
from tickr.store.mysql_values import number

EVERY_OPENING = 5
"""An opening that makes all tables is cut at every so many checkpoints: each costs a database."""


def sockets() -> int:
    """How many sockets this process has open."""
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(str(link).startswith("socket:") for link in links)


@asynccontextmanager
async def a_pool(url: str, *, size: int = 2) -> AsyncIterator[tuple[Pool, trio.Nursery]]:
    """A pool and the nursery of its own tasks. At its end no task and no socket of it are left."""
    before = sockets()
    address = parse(url)
    async with trio.open_nursery() as nursery:
        pool = Pool(address, address.tls_context(), nursery, size=size)
        yield pool, nursery
        await assert_clean(pool)
        await pool.aclose()

        async def quiet() -> bool:
            await trio.lowlevel.checkpoint()
            return not nursery.child_tasks

        await eventually(quiet)
    assert sockets() == before


async def at_each(call: Callable[[], Awaitable[object]], then: Callable[[], Awaitable[object]]) -> int:
    """Cut ``call`` at its 1st, 2nd, 3rd … checkpoint, each time followed by ``then``. Returns how many there were."""
    for checkpoint in itertools.count(1):
        too_late = await cut_at(checkpoint, call)
        await then()
        if too_late:
            break
    return checkpoint - 1


def encrypted(url: str, tls: bool) -> str:
    return f"{url}?tls=required" if tls else url


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_login_cut_anywhere_leaves_no_socket(mysql_url: str, tls: bool) -> None:
    before = sockets()
    async with a_pool(encrypted(mysql_url, tls)) as (pool, _):

        async def borrow() -> None:
            async with pool.connection():
                pass

        async def nothing_is_left() -> None:
            await assert_clean(pool)
            while pool._idle:
                pool._idle.pop()[0].close()
            assert sockets() == before

        assert await at_each(borrow, nothing_is_left) > (10 if tls else 6)
        await borrow()
        assert len(pool._idle) == 1

        async def the_server_has_forgotten_the_rest() -> bool:
            return await connections_to(mysql_url) == 1

        await eventually(the_server_has_forgotten_the_rest)


async def test_a_change_of_mode_cut_anywhere_confuses_nobody(mysql_url: str) -> None:
    async with a_pool(mysql_url) as (pool, _):
        modes = itertools.cycle([True, False])

        async def mode_of_next() -> None:
            wanted = next(modes)
            async with pool.connection(autocommit=wanted) as connection:
                ((mode,),) = (await connection.execute("SELECT @@autocommit")).rows
                assert bool(number(mode)) == wanted

        async def clean_and_one_idle() -> None:
            await assert_clean(pool)
            async with pool.connection(autocommit=next(modes)):  # so that the next must change it
                pass

        await clean_and_one_idle()
        assert await at_each(mode_of_next, clean_and_one_idle) >= 4
        await mode_of_next()
        await mode_of_next()


async def test_who_leaves_the_line_takes_no_turn_along(mysql_url: str) -> None:
    async with a_pool(mysql_url, size=1) as (pool, _):
        for checkpoint in (1, 2):
            async with pool.connection():
                with trio.move_on_after(1):
                    await cut_at(checkpoint, pool.connection().__aenter__)
                assert pool._turns.value == 0
            assert pool._turns.value == 1
            await assert_clean(pool)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_transaction_cut_anywhere_is_whole_or_nothing(mysql_url: str, tls: bool) -> None:
    mysql_execute(mysql_url, "CREATE TABLE t (id INT PRIMARY KEY)")
    async with a_pool(encrypted(mysql_url, tls)) as (pool, _):
        transactions = Transactions(pool, ServerClock(None), 8_000_000)
        tried = 0

        async def insert_two(tx: Transaction) -> None:
            await tx.run("INSERT INTO t VALUES (%s)", 2 * tried)
            await tx.run("INSERT INTO t VALUES (%s)", 2 * tried + 1)

        async def write() -> None:
            nonlocal tried
            tried += 1
            await transactions.run(insert_two, within_s=5)

        async def both_or_none() -> None:
            await assert_clean(pool)
            question = "SELECT COUNT(*) FROM t WHERE id DIV 2 = %s"
            found = await transactions.run(lambda tx: tx.run(question, tried), within_s=5, atomic=False)
            assert found.rows in (((b"0",),), ((b"2",),))
            for connection, _ in pool._idle[1:]:
                connection.close()
            del pool._idle[1:]

        assert await at_each(write, both_or_none) >= 10


async def test_a_pool_whose_closing_is_cut_is_closed_all_the_same(mysql_url: str) -> None:
    for checkpoint in itertools.count(1):
        async with a_pool(mysql_url) as (pool, _):
            async with pool.connection(), pool.connection():
                pass
            with trio.move_on_after(0.2) as scope:  # leaves a statement to be killed
                async with pool.connection() as connection:
                    scope.cancel()
                    await connection.execute("SELECT SLEEP(20)")
            too_late = await cut_at(checkpoint, pool.aclose)
            assert pool._idle == []
        if too_late:
            break


async def test_an_opening_that_is_cut_can_be_taken_up_again(mysql_url: str) -> None:
    database = mysql_url.rpartition("/")[2]
    before = sockets()

    async def open_and_use() -> None:
        async with open_mysql(mysql_url) as store:
            assert len(await store.insert([new_job()])) == 1

    for checkpoint in itertools.count(1, EVERY_OPENING):
        too_late = await cut_at(checkpoint, open_and_use)
        assert sockets() == before
        with trio.fail_after(5):  # the lock that keeps others from the schema is let go
            await open_and_use()
        if too_late:
            break
        mysql_execute(mysql_url, f"DROP DATABASE {database}; CREATE DATABASE {database} CHARACTER SET utf8mb4")
