"""A Redis that answers and is of no use: read-only, full, not letting us in, too old, or none at all."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from tests.children import NotReady, free_port
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
from tests.waiting import eventually
from tickr.errors import IndexUnavailable
from tickr.index.contract import Index

pytestmark = pytest.mark.slow


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
        redis_server.readonly(True)
        with pytest.raises(IndexUnavailable, match="read-only replica"):
            await index.push([JOB], now=NOW)
        await assert_stays_away(redis_server, index, log, reason="read-only replica")
        redis_server.readonly(False)
        await index.wait_available()
        await assert_works(index)
    assert events(log) == ["index.away", "index.back"]


async def test_turned_into_a_replica_while_a_pop_waits(redis_server: Redis) -> None:
    async with index_at(redis_server.url) as index:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_pop_breaks, index)
            await pop_waits(redis_server)
            redis_server.readonly(True)
            await index.wait_unavailable()
            redis_server.readonly(False)
        await index.wait_available()
        await assert_works(index)


async def test_out_of_memory(redis_server: Redis, log: Log) -> None:
    async with index_at(redis_server.url) as index:
        redis_server.limit_memory(1)
        with pytest.raises(IndexUnavailable, match="maxmemory"):
            await index.push([JOB], now=NOW)
        await assert_stays_away(redis_server, index, log, reason="maxmemory")
        redis_server.limit_memory(0)
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
