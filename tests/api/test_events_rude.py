"""Listeners that do not read, hardly read, or do not let go: what they cost, whom they hold up, when they are gone."""

from __future__ import annotations

import contextlib
import gc
import select
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import repeat
from typing import Any

import pytest
import structlog
import trio

from tests.api.listening import BIG, Close, ids, open_socket, open_stream, write
from tests.api.site import LONG_S, Site, open_site
from tests.feed_clients import connect
from tests.waiting import eventually
from tests.websocket_frames import CLOSE, PING, TEXT, to_send, upgrade
from tickr.api import protocol, server

SHORT_S = 0.3
"""In place of the time a client has to take something."""
SOON_S = 3.0
"""Much less than the kernel's own limit, much more than a loaded machine needs."""
DRIP_S = 0.02

WAYS = pytest.mark.parametrize("opened", [open_socket, open_stream], ids=["websocket", "stream"])


@asynccontextmanager
async def stuck(site: Site, opened: Any) -> AsyncIterator[Any]:
    """A listener that has stopped reading, with the node in the middle of writing to it, and more to come."""
    async with opened(site, receive_buffer=4096) as client:
        for _ in range(6):  # 480 KiB: more than the kernel takes, less than waits for a slow client
            await write(site, 20, labels=BIG)
        await eventually(lambda: is_writing(site))
        yield client


async def is_writing(site: Site) -> bool:
    """Whether the node is in the middle of writing to somebody for whom the kernel takes no more."""
    return any(link.send_lock.locked() and not _takes_more(link.stream.socket) for link in site.app.links)


def _takes_more(sock: trio.socket.SocketType) -> bool:
    _, writable, _ = select.select([], [sock.fileno()], [], 0)
    return bool(writable)


async def nobody_listens(site: Site, within_s: float = SOON_S) -> None:
    async def gone() -> bool:
        return site.app.audience.count == 0 and not site.app.links

    await eventually(gone, within_s=within_s)


async def drip(stream: trio.SocketStream) -> None:
    """Take a byte now and then."""
    for pause_s in repeat(DRIP_S):
        await stream.receive_some(1)
        await trio.sleep(pause_s)


# -- stuck ------------------------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("drips", [False, True])
async def test_who_does_not_read_is_dropped_and_nothing_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch, opened: Any, drips: bool
) -> None:
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", SHORT_S)
    async with open_site() as site:
        tasks = trio.lowlevel.current_statistics().tasks_living
        with structlog.testing.capture_logs() as logged:
            async with stuck(site, opened) as client, trio.open_nursery() as nursery:
                if drips:
                    nursery.start_soon(drip, client.stream)
                await nobody_listens(site)
                nursery.cancel_scope.cancel()
        assert [entry["event"] for entry in logged] == ["http.client_stuck"]
        assert trio.lowlevel.current_statistics().tasks_living == tasks


@pytest.mark.slow
@WAYS
async def test_it_takes_less_than_ten_seconds(opened: Any) -> None:
    async with open_site() as site, stuck(site, opened):
        with trio.fail_after(10):
            await nobody_listens(site, within_s=10)


@WAYS
async def test_who_reads_slowly_but_reads_is_kept(monkeypatch: pytest.MonkeyPatch, opened: Any) -> None:
    # One delivery takes longer than the time that each piece of it has.
    monkeypatch.setattr(server, "SEND_BUFFER_BYTES", 4096)
    monkeypatch.setattr(protocol, "PIECE_BYTES", 8192)
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", SHORT_S)
    async with open_site() as site:
        told = await write(site, 50, labels=BIG)
        async with opened(site, "?after=earliest", receive_buffer=16_384) as client:
            reads = client.stream.receive_some

            async def slowly(most: int | None = None) -> bytes:
                await trio.sleep(DRIP_S)
                return bytes(await reads(8192))

            client.stream.receive_some = slowly
            started = trio.current_time()
            assert ids(await client.events(50)) == told
            assert trio.current_time() - started > SHORT_S


async def test_the_others_do_not_wait_for_it(site: Site) -> None:
    async with (
        stuck(site, open_socket),
        stuck(site, open_stream),
        open_socket(site) as socket,
        open_stream(site) as stream,
    ):
        with trio.fail_after(SOON_S):
            told = await write(site)
            assert ids(await socket.events(1)) == ids(await stream.events(1)) == told
            assert (await site.http.get("/jobs?limit=1")).status_code == 200


async def test_what_it_costs_the_kernel_is_bounded(site: Site) -> None:
    async with stuck(site, open_socket):
        assert [link.stream.getsockopt(*SNDBUF) for link in site.app.links if link.send_lock.locked()] == [256 * 1024]


SNDBUF = (trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF)


# -- busy -------------------------------------------------------------------------------------------------------------


async def test_who_pings_and_does_not_read_the_pongs_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", SHORT_S)
    async with open_site() as site, open_socket(site, receive_buffer=4096) as socket:
        with contextlib.suppress(trio.BrokenResourceError), trio.fail_after(LONG_S):
            for pings in repeat(to_send(PING, b"x" * 125) * 100):
                await socket.stream.send_all(pings)
        await nobody_listens(site)


async def test_who_talks_and_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", SHORT_S)
    async with open_site() as site, stuck(site, open_socket) as socket:
        await socket.stream.send_all(to_send(TEXT, b"a") * 100)
        await nobody_listens(site)


async def test_who_closes_before_it_has_read_everything_gets_nothing_after_the_close(site: Site) -> None:
    async with stuck(site, open_socket) as socket:
        await socket.stream.send_all(to_send(CLOSE, (1000).to_bytes(2, "big")))

        async def has_heard() -> bool:
            return any(link.send_lock.statistics().tasks_waiting for link in site.app.links)

        await eventually(has_heard)
        _, close = await socket.end()
        assert close.code == 1000


async def test_who_goes_in_the_middle_of_a_handshake_leaves_nothing(site: Site) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    request = upgrade("localhost", "/events?after=earliest")
    for end in range(1, len(request) + 1, 7):
        async with await connect(site.port) as stream:
            await stream.send_all(request[:end])
    async with await connect(site.port) as stream:
        await stream.send_all(request)
    await nobody_listens(site)
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_many_who_come_and_go_leave_nothing(site: Site) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    for opened in (open_socket, open_stream):
        for _ in range(30):
            async with opened(site, "?after=earliest"):
                pass
    await nobody_listens(site)
    gc.collect()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert site.context.feed._tail._groups == {}  # type: ignore[attr-defined]


# -- the stop ---------------------------------------------------------------------------------------------------------

LISTENERS = 50


async def test_a_stop_sends_everybody_away_in_less_than_a_second(site: Site) -> None:
    async with AsyncExitStack() as opened:
        sockets = [await opened.enter_async_context(open_socket(site)) for _ in range(LISTENERS)]
        streams = [await opened.enter_async_context(open_stream(site)) for _ in range(LISTENERS)]
        told = await write(site)
        for client in [*sockets, *streams]:
            assert ids(await client.events(1)) == told

        async def leaves_socket(number: int) -> None:
            messages, close = await sockets[number].end()
            assert (messages[-1]["code"], close) == ("stopping", Close(1001, "stopping"))

        async def leaves_stream(number: int) -> None:
            while await streams[number].block() is not None:
                pass
            assert streams[number].ended

        async with trio.open_nursery() as leaving:
            for number in range(LISTENERS):
                leaving.start_soon(leaves_socket, number)
                leaving.start_soon(leaves_stream, number)
            await site.stop(within_s=1)


async def test_a_stop_waits_for_nobody_who_does_not_read_or_answer() -> None:
    async with open_site() as site, open_socket(site) as silent, stuck(site, open_socket), stuck(site, open_stream):
        await silent.until("caught_up")
        await site.stop(SOON_S)


@WAYS
async def test_who_comes_while_the_node_stops_is_sent_away(site: Site, opened: Any) -> None:
    site.context.stopping.set()
    if opened is open_socket:
        async with open_socket(site) as socket:
            (error,), close = await socket.end()
            assert (error["code"], close) == ("stopping", (1001, "stopping"))
    else:
        answer = await site.http.get("/events", headers={"accept": "text/event-stream"})
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert answer.headers["retry-after"] == "1"
