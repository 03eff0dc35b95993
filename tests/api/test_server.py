"""The server on raw sockets: clients that are slow, rude, broken or gone, and the stop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Any

import h11
import pytest
import trio
import trio.testing

from tests.api.site import LONG_S, Site, open_site, read_all, read_answer
from tests.waiting import eventually
from tickr.api import connection, server
from tickr.api.http1 import Protocol
from tickr.errors import ConfigError
from tickr.jobs import Job, NewJob
from tickr.store.memory import MemoryStore

QUICK_S = 3
"""Much less than any time limit in these tests that is not meant to be met; much more than a loaded machine needs."""

ALIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
JOB = b'{"type":"a"}'
WHOLE = POST + b"Content-Length: 12\r\n\r\n" + JOB


class GatedStore(MemoryStore):
    """A store whose commits wait for ``gate``; ``asked`` is set when the first has come."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = trio.Event()
        self.gate = trio.Event()

    async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
        self.asked.set()
        await self.gate.wait()
        return await super().insert(new, **how)


async def stop(site: Site, within_s: float = QUICK_S) -> None:
    site.shutdown.set()
    with trio.fail_after(within_s):
        await site.stopped.wait()


# -- slow clients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"POST /jobs HTTP/1.1\r\nHost: local"])
async def test_headers_that_do_not_come_in_time_close_the_connection(start: bytes) -> None:
    async with open_site(keep_alive_s=0.2) as site:
        with trio.fail_after(QUICK_S):
            assert await site.talk(start) == b""


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with open_site(keep_alive_s=0.2) as site, await site.connect() as stream:
        for request in (ALIVE, WHOLE):
            await stream.send_all(request)
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 20")
        with trio.fail_after(QUICK_S):
            assert await read_all(stream) == b""


async def test_a_body_that_does_not_come_in_time_is_408() -> None:
    async with open_site(body_timeout_s=0.2) as site:
        answer = await site.talk(POST + b"Content-Length: 12\r\n\r\n" + JOB[:5])
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"body_timeout"' in answer
        assert await site.rows() == []


# -- large bodies ---------------------------------------------------------------------------------------------------


async def test_a_body_that_says_it_is_too_large_is_413_before_it_is_sent(site: Site) -> None:
    with trio.fail_after(QUICK_S):
        answer = await site.talk(POST + b"Content-Length: 1048577\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_sends_it_all_still_reads_its_413(site: Site, chunked: bool) -> None:
    # Without the moment in which the rest is read and dropped, the kernel would reset the connection under the answer.
    body = b"x" * 3_000_000
    if chunked:
        request = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        request = POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    for _ in range(5):
        async with await site.connect() as stream:
            await stream.send_all(request)
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 413 ")
    assert await site.rows() == []


async def test_an_early_answer_keeps_the_connection_when_the_body_has_come(site: Site) -> None:
    async with await site.connect() as stream:
        await stream.send_all(WHOLE.replace(b"POST /jobs", b"POST /nope") + WHOLE)
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 404 ")
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")


# -- more than one request ------------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    async with await site.connect() as stream:
        await stream.send_all(ALIVE + WHOLE + ALIVE.replace(b"livez", b"nope/"))
        got = b""
        with trio.fail_after(LONG_S):
            while got.count(b"HTTP/1.1 ") < 3 or not got.endswith(b"}"):
                got += await stream.receive_some()
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == [b"200", b"201", b"404"]


async def test_http_1_0_is_answered_and_closed(site: Site) -> None:
    answer = await site.talk(
        b"POST /jobs HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + JOB
    )
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"connection: close" in answer.lower()
    assert len(await site.rows()) == 1


async def test_what_follows_the_last_request_does_not_spoil_it(site: Site) -> None:
    last = WHOLE.replace(b"Host", b"Connection: close\r\nHost")
    for stray in (b"\r\n", ALIVE, b"\x00\xff"):
        assert (await site.talk(last + stray)).startswith(b"HTTP/1.1 201 ")
    assert len(await site.rows()) == 3


# -- what is no request ---------------------------------------------------------------------------------------------

UPGRADE = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
WEBSOCKET = (
    UPGRADE % (b"nothing", b"websocket")
    + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CLOSE = b"Host: localhost\r\nConnection: close\r\n"

ODD: list[tuple[bytes, bytes]] = [
    (b"BLAH\r\n\r\n", b"400"),
    (b"GET /livez\r\n\r\n", b"400"),
    (b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
    (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET /li vez HTTP/1.1\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET /\xff HTTP/1.1\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET ?a HTTP/1.1\r\n" + CLOSE + b"\r\n", b"400"),
    (b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n", b"400"),
    (b"CONNECT localhost:443 HTTP/1.1\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET http://localhost/livez HTTP/1.1\r\n" + CLOSE + b"\r\n", b"200"),
    (b"GET http://[::1/livez HTTP/1.1\r\n" + CLOSE + b"\r\n", b"200"),
    (b"GET http://localhost HTTP/1.1\r\n" + CLOSE + b"\r\n", b"200"),
    (b"GET /livez HTTP/1.1\r\n X: y\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET /livez HTTP/1.1\r\nBad Name: y\r\n" + CLOSE + b"\r\n", b"400"),
    (b"GET /livez HTTP/2.0\r\n" + CLOSE + b"\r\n", b"505"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"505"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n" + CLOSE + b"\r\n", b"431"),
    (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 200_000, b"431"),
    (b"GET /livez?" + b"a" * 9_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", b"414"),
    (POST + b"Content-Length: -1\r\n\r\n", b"400"),
    (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n", b"501"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", b"400"),
    (UPGRADE % (b"livez", b"h2c") + b"HTTP2-Settings: AAMA\r\nConnection: close\r\n\r\n", b"200"),
    (UPGRADE % (b"events", b"websocket") + b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: a\r\n\r\n", b"400"),
    (UPGRADE % (b"events", b"websocket") + b"\r\n", b"400"),
    (WEBSOCKET + b"\r\n", b"404"),
    (WEBSOCKET + b"\r\n\x81\x82\0\0\0\0hi", b"400"),
    (WEBSOCKET + b"Content-Length: 5\r\n\r\nhello", b"400"),
]


@pytest.mark.parametrize(("request_bytes", "status"), ODD)
async def test_an_odd_request_is_answered_and_closed_and_harms_nobody_else(request_bytes: bytes, status: bytes) -> None:
    async with open_site() as site, await site.connect() as bystander:
        with trio.fail_after(QUICK_S):
            answer = await site.talk(request_bytes)
        assert answer.startswith(b"HTTP/1.1 %s " % status), answer
        assert b"<html" not in answer.lower()
        await bystander.send_all(ALIVE)
        assert (await read_answer(bystander)).startswith(b"HTTP/1.1 200 ")
        assert await site.rows() == []
        await stop(site)


async def test_an_error_in_one_connection_ends_that_one_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(self: Protocol, event: h11.Request) -> None:
        if event.target == b"/fail":
            raise RuntimeError("a fault in the protocol")

    monkeypatch.setattr(Protocol, "_check_protocol", fail)
    async with open_site() as site, await site.connect() as bystander:
        with trio.fail_after(QUICK_S):
            assert await site.talk(ALIVE.replace(b"livez", b"fail")) == b""
        assert "a fault in the protocol" in capsys.readouterr().out
        await bystander.send_all(ALIVE)
        assert (await read_answer(bystander)).startswith(b"HTTP/1.1 200 ")
        await stop(site)


async def test_what_the_protocol_refuses_is_a_problem_too(site: Site) -> None:
    answer = await site.talk(b"BLAH\r\n\r\n")
    assert b"content-type: application/problem+json" in answer
    assert b'"status":400,"code":"bad_request"' in answer


async def test_expect_continue_is_met(site: Site) -> None:
    async with await site.connect() as stream:
        await stream.send_all(POST + b"Expect: 100-continue\r\nContent-Length: 12\r\n\r\n")
        with trio.fail_after(LONG_S):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(JOB)
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 201 ")


# -- bounds ---------------------------------------------------------------------------------------------------------


async def test_requests_at_work_are_bounded_and_health_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_IN_FLIGHT", 1)
    store = GatedStore()
    async with open_site(store=store) as site, await site.connect() as first:
        await first.send_all(WHOLE)
        await store.asked.wait()
        refused = await site.http.get("/jobs")
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "overloaded", "1")
        assert (await site.http.get("/livez")).status_code == 200
        store.gate.set()
        assert (await read_answer(first)).startswith(b"HTTP/1.1 201 ")

        async def free_again() -> bool:
            return (await site.http.get("/jobs")).status_code == 200

        assert await eventually(free_again)


async def test_connections_are_bounded_and_come_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    async with open_site() as site:
        for _ in range(3):
            async with await site.connect() as one, await site.connect() as two:
                for stream in (one, two):
                    await stream.send_all(ALIVE)
                    await read_answer(stream)
                with contextlib.suppress(trio.BrokenResourceError):  # reset or closed, as it comes
                    assert await site.talk(ALIVE) == b""

            async def free_again() -> bool:
                with contextlib.suppress(trio.BrokenResourceError):
                    return await site.talk(ALIVE.replace(b"Host", b"Connection: close\r\nHost")) != b""
                return False

            assert await eventually(free_again)


async def test_a_client_that_leaves_in_the_middle_is_let_go() -> None:
    store = GatedStore()
    async with open_site(store=store) as site:
        async with await site.connect() as stream:
            await stream.send_all(WHOLE)
            await store.asked.wait()
        store.gate.set()
        assert (await site.http.get("/livez")).status_code == 200
        await stop(site)


# -- the stop -------------------------------------------------------------------------------------------------------


async def test_a_stop_does_not_wait_for_idle_connections(site: Site) -> None:
    streams = [await site.connect() for _ in range(10)]
    for stream in streams[:8]:  # the other two have never asked anything
        for request in (ALIVE, WHOLE):
            await stream.send_all(request)
            await read_answer(stream)
    await streams[7].send_all(ALIVE[:20])
    await stop(site)
    for stream in streams:
        await stream.aclose()


async def test_a_stop_answers_what_is_at_work_and_takes_nothing_new() -> None:
    store = GatedStore()
    async with open_site(store=store) as site, await site.connect() as working:
        await working.send_all(WHOLE + ALIVE)
        await store.asked.wait()
        site.shutdown.set()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OSError):
            async with await site.connect() as late:
                await late.send_all(ALIVE)
        store.gate.set()
        answer = await read_all(working)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer.lower()
        await stop(site)
        assert len(await site.rows()) == 1


async def test_a_stop_in_the_middle_of_an_answer_ends_the_connection_after_it(site: Site) -> None:
    for _ in range(3):
        await site.post(type="a", payload="x" * 1_000_000)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", site.port))
        async with trio.SocketStream(trio.socket.from_stdlib_socket(plain)) as stream:
            await stream.send_all(ALIVE.replace(b"livez", b"jobs") + ALIVE)
            got = await stream.receive_some(100)
            site.shutdown.set()
            await trio.testing.wait_all_tasks_blocked()
            got += await read_all(stream)
            await stop(site)
    assert len(got) > 3_000_000
    assert got.count(b"HTTP/1.1 ") == 1


async def test_a_stop_cuts_off_what_is_not_done_within_the_grace() -> None:
    async with open_site(store=GatedStore(), grace_s=0.2) as site, await site.connect() as stream:
        await stream.send_all(WHOLE)
        await site.store.asked.wait()  # type: ignore[attr-defined]
        await stop(site)
        assert await read_all(stream) == b""


async def test_a_stop_does_not_wait_for_a_body_beyond_the_grace() -> None:
    async with open_site(grace_s=0.2) as site, await site.connect() as stream:
        await stream.send_all(POST + b"Content-Length: 12\r\n\r\n{")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await stop(site)


async def test_a_stop_does_not_wait_for_a_client_that_never_reads() -> None:
    async with open_site(grace_s=0.2) as site:
        for _ in range(8):
            await site.post(type="a", payload="x" * 1_000_000)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", site.port))
            client.sendall(ALIVE.replace(b"livez", b"jobs"))

            async def is_writing() -> bool:
                return any(link.send_lock.locked() for link in site.app.links)

            await eventually(is_writing)
            await stop(site)


async def test_cancelling_the_server_frees_its_port() -> None:
    async with open_site() as site, await site.connect() as stream:
        await stream.send_all(ALIVE)
        await read_answer(stream)
    with server.listen("127.0.0.1", site.port):
        pass


# -- the socket -----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said_with_the_remedy() -> None:
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            server.listen("127.0.0.1", port)
    assert caught.value.faults == (f"Port {port} is taken by another program; choose another with --port.",)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(ConfigError, match="Cannot listen on"):
        server.listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_the_socket_drops_stuck_clients_and_sends_at_once(host: str) -> None:
    with server.listen(host, 0) as sock:
        assert sock.family == socket.AF_INET
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 256 * 1024  # the kernel doubles it
