"""Redis is killed, frozen, flushed, rolled back, full, read-only or not let in: the index says so and comes back.

Each test has a server of its own. Nothing sleeps: what takes time is awaited by ``wait_available`` and its opposite.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from tests.children import NotReady, free_port
from tests.servers import Redis
from tests.waiting import eventually
from tickr.errors import IndexUnavailable
from tickr.index.contract import Index, Sizes
from tickr.index.open import open_index
from tickr.jobs import Entry

pytestmark = pytest.mark.slow

NOW = 1_795_287_896_000_000
JOB = Entry("a", "default", 5, NOW)
NOTICED_S = 3.0
"""A frozen Redis is noticed within so many seconds."""

Log = list[MutableMapping[str, Any]]


@pytest.fixture
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as log:
        yield log


@asynccontextmanager
async def index_at(url: str) -> AsyncIterator[Index]:
    with trio.fail_after(30):
        async with open_index(url) as index:
            yield index


async def assert_works(index: Index) -> None:
    await index.push([JOB], now=NOW)
    assert await index.pop(["default"], 10) == ["a"]
    await index.set_epoch("works")
    assert await index.epoch() == "works"


async def assert_refuses_at_once(index: Index) -> None:
    started = trio.current_time()
    for call in (
        lambda: index.push([JOB], now=NOW),
        lambda: index.park([JOB], until=NOW),
        lambda: index.pop(["default"], 1),
        lambda: index.remove([JOB]),
        lambda: index.missing([JOB]),
        lambda: index.promote(NOW, 1),
        index.epoch,
        index.sizes,
    ):
        with pytest.raises(IndexUnavailable):
            await call()
    assert trio.current_time() - started < 0.5


async def assert_pop_breaks(index: Index) -> None:
    """Wait in a pop until it fails."""
    with pytest.raises(IndexUnavailable):
        await index.pop(["default"], 1)
    assert not index.available


async def pop_waits(server: Redis) -> None:
    """Return once a pop has reached the server and waits there."""

    async def blocked() -> bool:
        with server.client() as client:
            return bool(client.info("clients")["blocked_clients"])

    await eventually(blocked)


def events(log: Log) -> list[str]:
    return [line["event"] for line in log]


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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_pop_breaks, index)
            await pop_waits(redis_server)
            redis_server.stop()
            with trio.fail_after(NOTICED_S):
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


# -- there, but of no use -------------------------------------------------------------------------------------------


async def assert_stays_away(server: Redis, index: Index, log: Log, *, reason: str, tries: str = "set") -> None:
    """Wait until the index has been tried again in vain."""
    await index.wait_unavailable()
    before = rejected(server, tries)

    async def tried_again() -> bool:
        return rejected(server, tries) > before

    await eventually(tried_again)
    assert not index.available
    assert events(log) == ["index.away"]
    assert reason in log[0]["reason"]


def rejected(server: Redis, command: str) -> int:
    with server.client() as client:
        stats = client.info("commandstats").get(f"cmdstat_{command}", {})
        return int(stats.get("rejected_calls", 0)) + int(stats.get("failed_calls", 0))


async def test_a_read_only_replica(redis_server: Redis, log: Log) -> None:
    async with index_at(redis_server.url) as index:
        with redis_server.client() as client:
            client.replicaof("127.0.0.1", free_port())
            with pytest.raises(IndexUnavailable, match="read-only replica"):
                await index.push([JOB], now=NOW)
            await assert_stays_away(redis_server, index, log, reason="read-only replica")
            client.replicaof("NO", "ONE")
        await index.wait_available()
        await assert_works(index)
    assert events(log) == ["index.away", "index.back"]


async def test_turned_into_a_replica_while_a_pop_waits(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_pop_breaks, index)
            await pop_waits(redis_server)
            with redis_server.client() as client:
                client.replicaof("127.0.0.1", free_port())
                await index.wait_unavailable()
                client.replicaof("NO", "ONE")
        await index.wait_available()
        await assert_works(index)


async def test_out_of_memory(redis_server: Redis, log: Log) -> None:
    async with index_at(redis_server.url) as index:
        with redis_server.client() as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(IndexUnavailable, match="maxmemory"):
                await index.push([JOB], now=NOW)
            await assert_stays_away(redis_server, index, log, reason="maxmemory")
            client.config_set("maxmemory", "0")
        await index.wait_available()
        await assert_works(index)
    assert events(log) == ["index.away", "index.back"]


async def test_a_refused_password(redis_server: Redis, log: Log) -> None:
    with redis_server.client() as client:
        client.config_set("requirepass", "right")
        async with index_at(redis_server.url.replace("//", "//:wr%2Fng@")) as index:
            await assert_refuses_at_once(index)
            client.config_set("requirepass", "wr/ng")
            await index.wait_available()
            await assert_works(index)
    assert "refuses our user name or password" in log[0]["reason"]
    assert "wr/ng" not in str(log)


async def test_a_redis_without_the_pop(tmp_path: Path, log: Log) -> None:
    (tmp_path / "old.conf").write_text('rename-command ZMPOP ""\nrename-command BZMPOP ""\n')
    with Redis({"include": str(tmp_path / "old.conf")}) as old:
        async with index_at(old.url) as index:
            await assert_refuses_at_once(index)
    assert "needs Redis >= 7" in log[0]["reason"]


async def test_something_else_than_a_redis(log: Log) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, talk, 0, host="127.0.0.1"))
        async with index_at(f"redis://127.0.0.1:{listener.socket.getsockname()[1]}") as index:
            await assert_refuses_at_once(index)
        nursery.cancel_scope.cancel()
    assert "Protocol error" in log[0]["reason"]


async def test_keys_of_another_type(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        with redis_server.client() as client:
            client.set("tickr:{t}:ready:default", "not ours")
            with pytest.raises(IndexUnavailable, match="WRONGTYPE"):
                await index.push([JOB], now=NOW)
            client.delete("tickr:{t}:ready:default")
        await index.wait_available()
        await assert_works(index)


# -- the pop's own traps --------------------------------------------------------------------------------------------


async def test_ids_popped_as_the_cancellation_came_are_put_back(redis_server: Redis) -> None:
    entries = [Entry(f"{n}", "default", n, NOW - n) for n in range(5)]
    async with index_at(redis_server.url) as index:
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index.pop, ["default"], 4)
                await pop_waits(redis_server)
                with redis_server.client() as client:  # blocks this thread: the reply is there before the cancellation
                    scores = {entry.id: entry.priority * 2**43 + entry.run_at // 1000 for entry in entries}
                    client.zadd("tickr:{t}:ready:default", scores)
                    assert client.zcard("tickr:{t}:ready:default") == 1
                nursery.cancel_scope.cancel()
            with redis_server.client() as client:
                assert dict(client.zrange("tickr:{t}:ready:default", 0, -1, withscores=True)) == scores
            await index.remove(entries)


async def test_many_pops_cancelled_before_they_reach_the_server(redis_server: Redis) -> None:
    chance = random.Random(3)
    async with index_at(redis_server.url) as index:
        for _ in range(100):
            with trio.move_on_after(chance.random() * 0.001):
                await index.pop(["default"], 1)
        with redis_server.client() as client:
            assert client.info("clients")["blocked_clients"] == 0
            assert client.info("clients")["connected_clients"] < 10


async def test_more_pops_than_lines(redis_server: Redis) -> None:
    popped: list[str] = []

    async def pop(index: Index) -> None:
        popped.extend(await index.pop(["default"], 1))

    async with index_at(redis_server.url) as index, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(pop, index)
        await wait_all_tasks_blocked()
        await index.push([Entry(f"{n:02d}", "default", 5, NOW) for n in range(50)], now=NOW)
    assert sorted(popped) == [f"{n:02d}" for n in range(50)]


# -- TLS ------------------------------------------------------------------------------------------------------------


async def test_over_tls(tmp_path: Path, log: Log) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    port = free_port()
    options = {"tls-port": str(port), "tls-auth-clients": "no", "tls-ca-cert-file": str(tmp_path / "ca.pem")}
    options |= {"tls-cert-file": str(tmp_path / "cert.pem"), "tls-key-file": str(tmp_path / "key.pem")}
    with ExitStack() as stack:
        try:
            server = stack.enter_context(Redis(options))
        except NotReady as error:
            pytest.skip(f"this redis-server has no TLS: {error}")
        async with index_at(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") as index:
            await assert_works(index)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(assert_pop_breaks, index)
                await pop_waits(server)
                server.stop()
            server.cont()
            await index.wait_available()
            await assert_works(index)
        async with index_at(f"rediss://localhost:{port}/0") as index:
            assert not index.available
    assert "certificate verify failed" in log[-1]["reason"]
