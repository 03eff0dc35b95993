"""The traps of a pop that blocks at the server and is cancelled from outside."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.index.redis_checks import (
    NOW,
    index_at,
    pop_waits,
)
from tests.ports import pop_ids
from tests.servers import Redis
from tickr.index.contract import Index
from tickr.jobs import Entry

pytestmark = pytest.mark.slow


async def test_ids_popped_as_the_cancellation_came_are_put_back(redis_server: Redis) -> None:
    entries = [Entry(f"{n}", "default", n, NOW - n) for n in range(5)]
    async with index_at(redis_server.url) as index:
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index.pop, ["default"], 4)
                await pop_waits(redis_server)
                with redis_server.client() as client:  # blocks this thread: the reply is there before the cancellation
                    scores = {entry.id: entry.priority * 2**49 + entry.run_at // 16 for entry in entries}
                    client.zadd("tickr:{t}:ready:default", scores)
                    assert client.zcard("tickr:{t}:ready:default") == 1
                nursery.cancel_scope.cancel()
            with redis_server.client() as client:
                assert dict(client.zrange("tickr:{t}:ready:default", 0, -1, withscores=True)) == scores
            await index.remove(entries)


async def test_many_pops_cancelled_before_they_reach_the_server(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        async with trio.open_nursery() as nursery:  # one connection is open then, and one to end it with
            nursery.start_soon(index.pop, ["default"], 1)
            await pop_waits(redis_server)
            nursery.cancel_scope.cancel()
        with redis_server.client() as client:
            before = client.info("stats")["total_connections_received"]
        for turns in range(300):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index.pop, ["default"], 1)
                for _ in range(turns % 6):  # the pop gets as many turns before it is cancelled
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        with redis_server.client() as client:
            assert client.info("clients")["blocked_clients"] == 0
            # All on one line: none was cut, which would lose what it had popped.
            assert client.info("stats")["total_connections_received"] - before < 10


async def test_more_pops_than_lines(redis_server: Redis) -> None:
    popped: list[str] = []

    async def pop(index: Index) -> None:
        popped.extend(await pop_ids(index, ["default"], 1))

    async with index_at(redis_server.url) as index, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(pop, index)
        await wait_all_tasks_blocked()
        await index.push([Entry(f"{n:02d}", "default", 5, NOW) for n in range(50)], now=NOW)
    assert sorted(popped) == [f"{n:02d}" for n in range(50)]
