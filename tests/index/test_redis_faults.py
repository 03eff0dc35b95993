"""Redis is killed, frozen, flushed or rolled back while the index is open: the index says so and comes back.

Each test has a server of its own. Nothing sleeps: what takes time is awaited by ``wait_available`` and its opposite.
"""

from __future__ import annotations

import pytest
import trio

from tests.index.redis_checks import (
    JOB,
    NOW,
    Log,
    assert_pop_breaks,
    assert_refuses_at_once,
    assert_works,
    events,
    index_at,
    pop_waits,
)
from tests.servers import Redis
from tickr.errors import IndexUnavailable
from tickr.index.contract import Index, Sizes
from tickr.index.open import open_index

pytestmark = pytest.mark.slow

NOTICED_S = 3.0
"""A frozen Redis is noticed within so many seconds."""


# -- gone and back --------------------------------------------------------------------------------------------------


async def test_killed_while_a_pop_waits(redis_server: Redis, log: Log) -> None:
    async with index_at(redis_server.url) as index:
        await index.set_epoch("before")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_pop_breaks, index)
            await pop_waits(redis_server)
            redis_server.kill()
        await assert_refuses_at_once(index)
        redis_server.start()
        await index.wait_available()
        assert await index.epoch() is None
        await assert_works(index)
    assert events(log) == ["index.away", "index.back"]
    assert log[0]["log_level"] == "warning"
    assert log[0]["means"] == "jobs run straight from the store until it is back"
    assert log[0]["server"] == f"127.0.0.1:{redis_server.port}/0"


async def test_frozen_while_a_pop_waits(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        with trio.fail_after(NOTICED_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(assert_pop_breaks, index)
                await pop_waits(redis_server)
                redis_server.stop()
                await index.wait_unavailable()
        await assert_refuses_at_once(index)
        redis_server.cont()
        await index.wait_available()
        await assert_works(index)


async def test_frozen_under_a_push(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        await assert_works(index)
        redis_server.stop()
        with trio.fail_after(2), pytest.raises(IndexUnavailable):
            await index.push([JOB], now=NOW)
        assert not index.available
        redis_server.cont()


async def test_a_pop_cancelled_while_redis_is_frozen_ends(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        with trio.fail_after(NOTICED_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index.pop, ["default"], 1)
                await pop_waits(redis_server)
                redis_server.stop()
                nursery.cancel_scope.cancel()
        redis_server.cont()
        await index.wait_available()
        await assert_works(index)


async def test_closing_while_redis_is_frozen_ends(redis_server: Redis) -> None:
    with trio.fail_after(2 * NOTICED_S), trio.CancelScope() as scope:
        async with open_index(redis_server.url) as index, trio.open_nursery() as nursery:
            nursery.start_soon(index.pop, ["default"], 1)
            await pop_waits(redis_server)
            redis_server.stop()
            scope.cancel()
    redis_server.cont()


async def test_not_there_when_opened(redis_server: Redis, log: Log) -> None:
    redis_server.kill()
    async with index_at(redis_server.url) as index:
        assert not index.available
        await index.wait_unavailable()
        await assert_refuses_at_once(index)
        redis_server.start()
        await index.wait_available()
        await assert_works(index)
    assert events(log) == ["index.away", "index.back"]


async def test_frozen_when_opened(redis_server: Redis) -> None:
    redis_server.stop()
    with trio.fail_after(NOTICED_S):
        async with open_index(redis_server.url) as index:
            assert not index.available
            redis_server.cont()
            await index.wait_available()


async def test_all_connections_cut(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(assert_pop_breaks, index)
                await pop_waits(redis_server)
                with redis_server.client() as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await index.wait_available()
        await assert_works(index)


async def test_restarted_while_nobody_looked(redis_server: Redis, log: Log) -> None:
    async with index_at(redis_server.url) as index:
        await assert_works(index)
        redis_server.kill()
        redis_server.start()
        # All connections are dead, but nobody needs to be told: the next command opens new ones.
        assert index.available
        assert await index.epoch() is None
        await assert_works(index)
    assert log == []


# -- another content ------------------------------------------------------------------------------------------------


async def test_flushed(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        await index.push([JOB], now=NOW)
        await index.set_epoch("e")
        redis_server.flush()
        assert await index.epoch() is None
        assert await index.missing([JOB]) == [JOB]
        assert await index.sizes() == Sizes(0, 0)
        await assert_works(index)


async def test_rolled_back_to_an_old_snapshot(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        await index.push([JOB], now=NOW)
        await index.set_epoch("e")
        snapshot = redis_server.snapshot()
        assert await index.epoch() == "e"
        redis_server.restore(snapshot)
        await index.wait_available()
        with redis_server.client() as client:
            assert str(client.get("tickr:{t}:epoch")).startswith("e@")
        assert await epoch_of_the_new_server(index) is None
        await index.set_epoch("e")
        assert await index.epoch() == "e"


async def epoch_of_the_new_server(index: Index) -> str | None:
    """Ask for the epoch of the server that is there now, over new connections if the old ones turn out to be dead."""
    while True:
        await index.wait_available()
        try:
            return await index.epoch()
        except IndexUnavailable:
            await index.wait_unavailable()
