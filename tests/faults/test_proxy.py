"""The proxy does what it says, before a server in this process that sends back what it gets, and before real ones."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import redis
import trio
from trio.testing import wait_all_tasks_blocked

from tests.faults.proxy import CHUNK_BYTES, RESET_ON_CLOSE, Direction, Proxy, proxy_before
from tests.servers import mysql_execute

SETTLED_S = 0.05
"""When all tasks have waited for so long, nothing is on its way any more but what waits for a clock or for us."""
KERNEL_BYTES = 64 * 1024 * 1024
"""More than all buffers of the kernel between two programs take."""


class Echo:
    """Attributes:
    got: everything that came, over all connections.
    ends: how connections ended, as their streams told: "end" or "reset".
    opened: connections so far.
    reads: set when it shall read.
    """

    def __init__(self) -> None:
        self.got = bytearray()
        self.ends: list[str] = []
        self.opened = 0
        self.reads = trio.Event()
        self.reads.set()

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.opened += 1
        try:
            await self.reads.wait()
            async for data in stream:
                self.got += data
                await stream.send_all(data)
            self.ends.append("end")
        except trio.BrokenResourceError:
            self.ends.append("reset")


@pytest.fixture
def echo() -> Echo:
    return Echo()


@asynccontextmanager
async def proxied(server: Callable[[trio.SocketStream], Awaitable[object]]) -> AsyncIterator[Proxy]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, server, 0, host="127.0.0.1"))
            async with proxy_before(f"redis://127.0.0.1:{listener.socket.getsockname()[1]}/0") as proxy:
                yield proxy
            nursery.cancel_scope.cancel()


async def connect(proxy: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", proxy.port)


async def receive(stream: trio.SocketStream, n_bytes: int) -> bytes:
    got = bytearray()
    while len(got) < n_bytes and (data := await stream.receive_some(n_bytes - len(got))):
        got += data
    return bytes(got)


async def assert_works(stream: trio.SocketStream, data: bytes = b"works") -> None:
    await stream.send_all(data)
    assert await receive(stream, len(data)) == data


async def assert_reset(stream: trio.SocketStream) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()


# -- without a fault --------------------------------------------------------------------------------------------------


async def test_everything_is_carried_and_the_end_is_an_end(echo: Echo) -> None:
    data = bytes(range(256)) * 8_000
    async with proxied(echo) as proxy, await connect(proxy) as client:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send() -> None:
                await client.send_all(data)
                await client.send_eof()

            assert await receive(client, len(data) + 1) == data
        assert echo.got == data
        assert echo.ends == ["end"]
        assert proxy.opened == 1


async def test_a_reset_is_passed_on_and_so_is_a_server_that_is_not_there(echo: Echo) -> None:
    async def rude(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)  # of two: a close with something unread is a reset

    async with proxied(rude) as proxy, await connect(proxy) as client:
        await client.send_all(b"xx")
        await assert_reset(client)
    async with proxy_before("mysql://user:secret@127.0.0.1:1/tickr") as proxy, await connect(proxy) as client:
        await assert_reset(client)


async def test_no_more_is_read_than_the_other_side_takes(echo: Echo) -> None:
    echo.reads = trio.Event()
    sent = 0
    async with proxied(echo) as proxy, await connect(proxy) as client, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send() -> None:
            nonlocal sent
            while sent < KERNEL_BYTES:
                await client.send_all(bytes(CHUNK_BYTES))
                sent += CHUNK_BYTES

        await wait_all_tasks_blocked(SETTLED_S)
        assert sent < KERNEL_BYTES
        echo.reads.set()
        assert len(await receive(client, KERNEL_BYTES)) == KERNEL_BYTES
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["/0", "/tickr?namespace=a"])
def test_the_url_keeps_all_but_the_place(path: str) -> None:
    async def url(before: str) -> str:
        async with proxy_before(before, host="127.0.0.2") as proxy:
            return proxy.url.replace(str(proxy.port), "PORT")

    assert trio.run(url, f"mysql://us%40er:p%2Fw@127.0.0.1{path}") == f"mysql://us%40er:p%2Fw@127.0.0.2:PORT{path}"
    assert trio.run(url, f"redis://127.0.0.1:7{path}") == f"redis://127.0.0.2:PORT{path}"


async def test_before_real_servers(mysql_url: str, redis_url: str) -> None:
    async with proxy_before(mysql_url) as mysql, proxy_before(redis_url) as index:
        assert await trio.to_thread.run_sync(mysql_execute, mysql.url, "SELECT 1") == [["1"]]
        with redis.Redis(host="127.0.0.1", port=index.port) as client:
            assert await trio.to_thread.run_sync(client.ping)
            assert await trio.to_thread.run_sync(client.ping)
            assert index.opened == 1
            index.reset()
            assert await trio.to_thread.run_sync(client.ping)
            assert index.opened == 2


# -- faults -----------------------------------------------------------------------------------------------------------


async def test_latency_comes_in_each_direction(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as client:
        await assert_works(client)
        proxy.latency_s = 0.1
        started = trio.current_time()
        await assert_works(client)
        assert trio.current_time() - started >= 0.2


async def test_a_slow_line_carries_so_many_bytes_a_second(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as client:
        proxy.bytes_per_s = 100_000
        started = trio.current_time()
        await assert_works(client, bytes(20_000))
        assert trio.current_time() - started >= 0.2
        proxy.bytes_per_s = 10
        await client.send_all(bytes(10_000))
        await wait_all_tasks_blocked(SETTLED_S)
        proxy.heal()
        assert await receive(client, 10_000) == bytes(10_000)


async def test_a_black_hole_takes_everything_until_it_heals(echo: Echo) -> None:
    async with (
        proxied(echo) as proxy,
        await connect(proxy) as old,
        await connect(proxy) as leaves,
        await connect(proxy) as is_reset,
    ):
        for stream in (old, leaves, is_reset):
            await assert_works(stream, b"1")
        proxy.blackhole()
        async with await connect(proxy) as new:
            await old.send_all(b"2")
            await new.send_all(b"3")
            await leaves.aclose()
            is_reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            await is_reset.aclose()
            await wait_all_tasks_blocked(SETTLED_S)
            assert (proxy.opened, echo.opened) == (4, 3)
            assert echo.got == b"111"
            assert not echo.ends
            proxy.heal()
            assert await receive(old, 1) == b"2"
            assert await receive(new, 1) == b"3"
            await wait_all_tasks_blocked(SETTLED_S)
            assert sorted(echo.ends) == ["end", "reset"]


async def test_an_answer_stays_in_the_black_hole_too(echo: Echo) -> None:
    echo.reads = trio.Event()
    async with proxied(echo) as proxy, await connect(proxy) as client:
        await client.send_all(b"x")
        await wait_all_tasks_blocked(SETTLED_S)
        proxy.blackhole()
        echo.reads.set()
        with trio.move_on_after(4 * SETTLED_S) as silence:
            await client.receive_some()
        assert silence.cancelled_caught
        assert echo.got == b"x"
        proxy.heal()
        assert await receive(client, 1) == b"x"


async def test_whoever_is_refused_comes_in_again_at_the_same_place(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as open_one:
        await assert_works(open_one)
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(OSError, match="connect"):
            await connect(proxy)
        await assert_works(open_one)
        proxy.heal()
        async with await connect(proxy) as client:
            await assert_works(client)


async def test_a_reset_ends_all_open_connections_on_both_sides(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as one, await connect(proxy) as two:
        await assert_works(one)
        await assert_works(two)
        proxy.reset()
        await assert_reset(one)
        await assert_reset(two)
        await wait_all_tasks_blocked(SETTLED_S)
        assert echo.ends == ["reset", "reset"]
        proxy.blackhole()
        async with await connect(proxy) as held:
            await wait_all_tasks_blocked(SETTLED_S)
            proxy.reset()
            await assert_reset(held)
        proxy.heal()
        async with await connect(proxy) as new:
            await assert_works(new)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_one_connection_is_cut_in_the_middle_of_a_packet(echo: Echo, direction: Direction) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as one, await connect(proxy) as two:
        await assert_works(one, b"before")
        proxy.cut_after(1_010, direction)
        await assert_works(one, bytes(1_000))
        await assert_works(two, bytes(999))
        assert proxy.cuts == 0
        before = len(echo.got)
        await one.send_all(bytes(500))
        back = b""
        try:
            while data := await one.receive_some():
                back += data
        except trio.BrokenResourceError:
            pass
        await wait_all_tasks_blocked(SETTLED_S)
        if direction == "up":
            assert len(echo.got) - before == 10
            assert len(back) <= 10
        else:
            assert len(echo.got) - before == 500
            assert len(back) == 10
        assert proxy.cuts == 1
        await assert_works(two, bytes(5_000))


async def test_what_waits_for_its_moment_is_forgotten_when_all_heals(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as client:
        proxy.cut_after(10, "up")
        proxy.cut_after(10, "down")
        proxy.cut, proxy.at = "before", b"a pattern"
        proxy.heal()
        await assert_works(client, b"longer than that, and with a pattern")
        assert proxy.cuts == 0


async def test_a_late_packet_goes_on_when_all_heals(echo: Echo) -> None:
    async with proxied(echo) as proxy, await connect(proxy) as client:
        proxy.cut, proxy.at = "late", b"a pattern"
        await client.send_all(b"with a pattern")
        assert await client.receive_some() == b""
        assert proxy.cuts == 1
        assert not echo.got
        proxy.heal()
        await wait_all_tasks_blocked(SETTLED_S)
        assert echo.got == b"with a pattern"
