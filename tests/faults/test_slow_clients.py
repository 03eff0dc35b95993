"""Clients that take their time: they are let go when it is over, and hold up neither others nor the stop.

A few hundred of each kind against a server in this process, with its times made short; ten thousand that say nothing
against a real node, with the times that users have.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import repeat
from pathlib import Path

import httpx2
import pytest
import structlog
import trio

from tests.api.listening import open_socket
from tests.api.site import LONG_S, Site, open_site, read_all, read_answer
from tests.api.test_server import GatedStore
from tests.faults.raw_http import ALIVE, BYE, GOOD, head, statuses, whole
from tests.feed_clients import connect
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.api import connection, protocol, server

MANY = 100
SHORT_S = 0.5
"""In place of the time limits that users have."""
SOON_S = 15.0
"""Longer than a loaded machine needs for what is to happen after ``SHORT_S``; shorter than what was not shortened."""
DRIP_S = 0.05

Drop = tuple[bytes, Iterator[bytes]]


async def drip(stream: trio.SocketStream, drops: Iterator[bytes]) -> None:
    """Send a little now and then, for as long as somebody takes it."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for drop, pause_s in zip(drops, repeat(DRIP_S), strict=False):
            await stream.send_all(drop)
            await trio.sleep(pause_s)


async def none_left(site: Site) -> None:
    async def gone() -> bool:
        return not (site.app.links or site.app.in_flight or site.app.arriving)

    await site.http.aclose()
    await eventually(gone, within_s=SOON_S)


async def asked(site: Site) -> float:
    """Submit a job on a connection of its own; return how many seconds that took."""
    began = trio.current_time()
    assert statuses(await site.talk(whole(GOOD) + BYE)) == [201, 200]
    return trio.current_time() - began


def endless_head() -> Drop:
    return b"POST /jobs HTTP/1.1\r\n", repeat(b"X: y\r\n")


def endless_line() -> Drop:
    return b"GET /", repeat(b"a")


def slow_body() -> Drop:
    return head("/jobs", b"Content-Length: 1000\r\n\r\n"), repeat(b"x")


def slow_chunks() -> Drop:
    return head("/api/v2/jobs", b"Transfer-Encoding: chunked\r\n\r\n"), repeat(b"1\r\nx\r\n")


def slow_nothing() -> Drop:
    return head("/jobs/1/cancel", b"Content-Length: 1000\r\n\r\n"), repeat(b" ")


@pytest.mark.parametrize(
    ("make", "answer"),
    [(endless_head, []), (endless_line, []), (slow_body, [408]), (slow_chunks, [408]), (slow_nothing, [408])],
)
async def test_who_sends_a_byte_now_and_then_is_let_go_when_the_time_is_over(
    make: Callable[[], Drop], answer: list[int]
) -> None:
    heard: list[bytes] = []
    async with open_site(keep_alive_s=SHORT_S, body_timeout_s=SHORT_S) as site, trio.open_nursery() as nursery:

        async def linger() -> None:
            start, drops = make()
            async with await site.connect() as stream, trio.open_nursery() as dripping:
                await stream.send_all(start)
                dripping.start_soon(drip, stream, drops)
                got = b""
                with contextlib.suppress(trio.BrokenResourceError):  # closed in the face of a drop
                    got = await read_all(stream)
                heard.append(got)
                dripping.cancel_scope.cancel()

        with trio.fail_after(SOON_S):
            async with trio.open_nursery() as lingering:
                for _ in range(MANY):
                    lingering.start_soon(linger)
                await asked(site)
        await none_left(site)
        nursery.cancel_scope.cancel()
    assert len(heard) == MANY
    # An answer may be lost when a drop meets a connection that is closed already; most are not.
    assert sum(statuses(got) == answer for got in heard) > MANY / 2
    assert all(statuses(got) in (answer, []) for got in heard)


# -- no place is kept by being slow ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [slow_body, slow_chunks, slow_nothing])
async def test_bodies_on_their_way_keep_no_request_out(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Drop]
) -> None:
    monkeypatch.setattr(connection, "MAX_IN_FLIGHT", 5)
    monkeypatch.setattr(connection, "BODY_PATIENCE_S", 0.1)
    async with open_site() as site, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await site.connect()) for _ in range(5)]
        for number, stream in enumerate(streams):
            await stream.send_all(make()[0])
            await eventually(lambda most=number + 1: is_equal(lambda: len(site.app.arriving), most))  # type: ignore[misc]

        async def taken() -> bool:
            return (await site.post(type="a")).status_code == 201

        assert await eventually(taken)
        assert len(site.app.arriving) == 4
        with trio.fail_after(SOON_S):
            assert (await read_answer(streams[0])).startswith(b"HTTP/1.1 408 "), "the first has been slow for longest"
        assert await eventually(taken), "and the place of that one is free again"


async def is_equal(found: Callable[[], int], wanted: int) -> bool:
    return found() == wanted


async def test_a_body_that_has_just_begun_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_IN_FLIGHT", 1)
    monkeypatch.setattr(connection, "BODY_PATIENCE_S", LONG_S)
    async with open_site() as site, await site.connect() as stream:
        await stream.send_all(whole(GOOD)[:-1])
        await eventually(lambda: is_equal(lambda: len(site.app.arriving), 1))
        assert (await site.post(type="a")).status_code == 429
        await stream.send_all(whole(GOOD)[-1:])
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")


@asynccontextmanager
async def connected(site: Site, count: int) -> AsyncIterator[list[trio.SocketStream]]:
    """Connections that idle, made one after the other."""
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(count):
            streams.append(await stack.enter_async_context(await site.connect()))
            await eventually(lambda: is_equal(lambda: len(site.app.links.idle), len(streams)))
        yield streams


async def test_connections_that_idle_keep_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(protocol, "IDLE_PATIENCE_S", 0.0)
    async with open_site() as site, connected(site, 5) as idle, AsyncExitStack() as stack:
        await idle[0].send_all(ALIVE)  # which makes it the one that has idled least
        await read_answer(idle[0])
        await idle[2].send_all(ALIVE[:20])  # no request: it idles on
        kept = [idle[4], idle[0]]
        for let_go in (1, 2, 3):
            kept.append(await stack.enter_async_context(await site.connect()))
            with trio.fail_after(SOON_S):
                assert await idle[let_go].receive_some() == b""
        for stream in kept:
            await stream.send_all(BYE)
            assert statuses(await read_all(stream)) == [200]


async def test_connections_that_do_something_are_not_closed_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(protocol, "IDLE_PATIENCE_S", 0.0)
    async with (
        open_site(store=(store := GatedStore())) as site,
        open_socket(site) as listener,
        await site.connect() as working,
        await site.connect() as sending,
    ):
        await working.send_all(whole(GOOD))
        await sending.send_all(whole(GOOD)[:-1])
        await eventually(lambda: is_equal(lambda: site.app.in_flight, 2))
        with structlog.testing.capture_logs() as logged, contextlib.suppress(trio.BrokenResourceError):
            assert await site.talk(ALIVE) == b""
        assert [entry["event"] for entry in logged] == ["http.too_many_connections"]
        await sending.send_all(whole(GOOD)[-1:])
        store.gate.set()
        for stream in (working, sending):
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")
        assert len(await listener.events(2)) == 2


async def test_a_connection_that_has_just_been_made_is_not_closed_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(protocol, "IDLE_PATIENCE_S", LONG_S)
    async with open_site() as site, connected(site, 1) as (stream,):
        with contextlib.suppress(trio.BrokenResourceError):
            assert await site.talk(ALIVE) == b""
        await stream.send_all(BYE)
        assert statuses(await read_all(stream)) == [200]


# -- to the last moment, and beyond ---------------------------------------------------------------------------------


async def test_a_request_that_comes_at_the_last_moment_is_answered() -> None:
    """The loop learns at the same time that the connection has idled too long and that a request is there."""
    async with open_site(keep_alive_s=SHORT_S) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            await eventually(lambda: is_equal(lambda: len(site.app.links.idle), 1))
            client.sendall(whole(GOOD))
            until = time.monotonic() + 1.2 * SHORT_S
            while time.monotonic() < until:
                pass  # a handler that blocks the loop, say
            async with trio.SocketStream(trio.socket.from_stdlib_socket(client)) as stream:
                assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")


@asynccontextmanager
async def not_reading(site: Site, request: bytes) -> AsyncIterator[trio.SocketStream]:
    """A client that sends ``request`` and reads nothing, with the node in the middle of writing its answer."""
    async with await connect(site.port, receive_buffer=4096) as stream:
        await stream.send_all(request)
        await eventually(lambda: is_equal(lambda: sum(link.send_lock.locked() for link in site.app.links), 1))
        yield stream


async def test_of_a_client_that_has_stopped_reading_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it has asked for more already: the node does not read on before it has answered."""
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", SHORT_S)
    async with open_site() as site:
        for _ in range(8):
            await site.post(type="a", payload="x" * 1_000_000)
        async with not_reading(site, head("/jobs", b"\r\n", "GET") + ALIVE * 3):
            await none_left(site)


async def test_a_slow_reader_has_its_time_for_each_piece_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LAST_SEND_S", 0.2)
    body = b'{"type":"a","payload":"' + b"x" * 1_000_000 + b'"}'
    async with open_site() as site, not_reading(site, whole(body)) as stream:
        got = b""
        for pause_s in repeat(0.001):
            part = await stream.receive_some(4096)
            got += part
            if not part or got.endswith(b"}"):
                break
            await trio.sleep(pause_s)
        assert len(got) > 1_000_000


async def test_the_stop_is_not_held_up_by_any_of_them() -> None:
    async with open_site(grace_s=SHORT_S) as site, AsyncExitStack() as stack:
        for _ in range(8):
            await site.post(type="a", payload="x" * 1_000_000)
        await stack.enter_async_context(not_reading(site, head("/jobs", b"\r\n", "GET") + ALIVE))
        for make in (endless_head, endless_line, slow_body, slow_chunks, slow_nothing):
            for _ in range(20):
                start, drops = make()
                stream = await stack.enter_async_context(await site.connect())
                await stream.send_all(start + next(drops))
        await eventually(lambda: is_equal(lambda: len(site.app.arriving), 60))
        await site.stop(within_s=SHORT_S + SOON_S)
        assert not site.app.links


# -- ten thousand ---------------------------------------------------------------------------------------------------

IDLE = 10_000
FOR_ITSELF = 500
"""Descriptors of this process for everything but the connections."""
MOST_BYTES = 32 * 1024
"""What an idle connection may take of the node's memory; docs/operations.md says what it takes."""


@pytest.fixture
def most_idle() -> Iterator[int]:
    """How many connections this machine lets a client have; ``IDLE`` where it is not too mean."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = before[1] if before[1] != resource.RLIM_INFINITY else 2 * IDLE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))  # a node inherits it, and keeps a part for itself
    yield min(IDLE, soft * 3 // 4 - FOR_ITSELF)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


@pytest.mark.slow
def test_ten_thousand_idle_connections_to_a_node(most_idle: int) -> None:
    with TickrProcess(store="memory:") as node, contextlib.ExitStack() as stack, httpx2.Client() as http:

        def submit() -> float:
            began = time.monotonic()
            answer = http.post(f"{node.url}/jobs", json={"type": "report", "payload": {"title": "a", "body": "b"}})
            assert answer.status_code == 201
            return time.monotonic() - began

        submit()
        before = memory_bytes(node.pid)
        idle = []
        for number in range(most_idle):
            idle.append(stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=10)))
            if number % 10 == 0:  # some have asked something, or begun to
                idle[-1].sendall(ALIVE[: 20 if number % 20 else None])
            if number % 1000 == 0:
                assert submit() < SOON_S, "others wait meanwhile"
        assert max(submit() for _ in range(20)) < SOON_S
        each = (memory_bytes(node.pid) - before) // most_idle
        print(f"{most_idle} idle connections take {each} bytes each")
        assert each < MOST_BYTES
        node.terminate()
        assert node.wait() == 0
        assert "too_many" not in node.log
        assert "Traceback" not in node.log
