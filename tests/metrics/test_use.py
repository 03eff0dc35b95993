"""How a store's connections are in use, and what was done again: told while it is so."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.servers import MariaDB
from tests.store.backends import put_one
from tests.waiting import eventually, happens
from tickr.store.contract import Lane, StoreUse
from tickr.store.memory import MemoryStore
from tickr.store.mysql import open_mysql
from tickr.store.sqlite import open_sqlite


async def test_a_memory_store_has_no_connections() -> None:
    assert MemoryStore().use() == StoreUse((), 0)


async def test_who_writes_and_who_waits_for_it_is_told_of_sqlite(tmp_path: Path) -> None:
    gate = threading.Event()
    async with open_sqlite(tmp_path / "t.db") as store:
        assert store.use() == StoreUse((Lane("write", 0, 1, 0), Lane("read", 0, 2, 0), Lane("lists", 0, 2, 0)))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(store._file.write, lambda db: gate.wait(30))
            nursery.start_soon(store._file.read, lambda db: gate.wait(30))
            nursery.start_soon(store._file.read_long, lambda db: gate.wait(30))
            await trio.testing.wait_all_tasks_blocked()
            assert store.use().lanes == (Lane("write", 1, 1, 2), Lane("read", 1, 2, 0), Lane("lists", 1, 2, 0))
            gate.set()
        assert [lane.busy for lane in store.use().lanes] == [0, 0, 0]


async def test_who_has_a_connection_to_mysql_and_who_waits_is_told(mysql_url: str) -> None:
    gate = trio.Event()
    async with open_mysql(mysql_url, connections=5) as store:
        assert store.use() == StoreUse((Lane("jobs", 0, 5, 0), Lane("nodes", 0, 2, 0)))
        async with trio.open_nursery() as nursery:
            for _ in range(7):
                nursery.start_soon(partial(store._run, lambda _: gate.wait(), within_s=60))
            await eventually(happens(lambda: store.use().lanes[0] == Lane("jobs", 5, 5, 2)))
            gate.set()
        assert [lane.busy for lane in store.use().lanes] == [0, 0]


@pytest.mark.slow
async def test_transactions_done_again_are_counted(mysql_private_server: MariaDB) -> None:
    async with open_mysql(mysql_private_server.url) as store:
        await put_one(store)
        assert store.use().repeated == 0
        mysql_private_server.kill()
        mysql_private_server.start()
        await put_one(store)  # its connection is found to be dead
        assert store.use().repeated == 1
