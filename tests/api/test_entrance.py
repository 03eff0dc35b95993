"""Several processes at one port: each gets its share of connections, and none is kept waiting for one that is stuck."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import pytest
import trio

from tickr.api import entrance as api_entrance
from tickr.api.entrance import AT_ONCE, AWAY, PATIENCE_S, Entrance, SharedSocket, Tally, entrance, tally_file


class Queue:
    """A listening socket, and as many entrances to it as there are places; like processes that have inherited it."""

    def __init__(self, opened: ExitStack, places: int) -> None:
        self._sock = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        self.address = self._sock.getsockname()
        self._file = opened.enter_context(tally_file(places))
        self._places = places
        self.tally = Tally(self._file, places)

    def entrance(self, place: int) -> Entrance:
        sock = socket.socket(fileno=os.dup(self._sock.fileno()))
        return entrance(SharedSocket(sock, Tally(self._file, self._places), place))

    @property
    def counts(self) -> list[int]:
        return self.tally.counts()


@pytest.fixture
def queue() -> Iterator[Queue]:
    with ExitStack() as opened:
        yield Queue(opened, 3)


async def stay(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def until_closed(stream: trio.SocketStream) -> None:
    await stream.receive_some()


async def serve(door: Entrance, nursery: trio.Nursery, handler: object = stay) -> None:
    counted = door.counting(handler)  # type: ignore[arg-type]
    await nursery.start(partial(trio.serve_listeners, counted, [door], handler_nursery=nursery))


async def connect(queue: Queue, opened: AsyncExitStack, count: int) -> list[trio.SocketStream]:
    """Open connections, each when the one before has been accepted."""
    streams = []
    for _ in range(count):
        before = sum(map(max, queue.counts, [0, 0, 0]))
        streams.append(await opened.enter_async_context(await trio.open_tcp_stream(*queue.address)))
        with trio.fail_after(5):
            while sum(map(max, queue.counts, [0, 0, 0])) == before:
                await trio.lowlevel.checkpoint()
    return streams


async def test_everybody_who_is_there_gets_as_many_as_the_others(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_entrance, "PATIENCE_S", 0.2)  # so that only one that really does not take is passed over
    async with AsyncExitStack() as opened, trio.open_nursery() as nursery:
        assert queue.counts == [AWAY] * 3
        for place in (0, 2):
            await serve(queue.entrance(place), nursery)
        assert queue.counts == [0, AWAY, 0]
        await connect(queue, opened, 20)
        assert sorted(queue.counts) in ([AWAY, 10, 10], [AWAY, 9, 11])
        # One that comes later is let go first until it has as many; each of the others may have one on its way.
        await serve(queue.entrance(1), nursery)
        await connect(queue, opened, 10)
        assert sum(queue.counts) == 30
        assert queue.counts[1] >= 7
        nursery.cancel_scope.cancel()
    assert queue.counts == [AWAY] * 3


async def test_a_connection_that_has_ended_does_not_count(queue: Queue) -> None:
    async with AsyncExitStack() as opened, trio.open_nursery() as nursery:
        for place in range(3):
            await serve(queue.entrance(place), nursery, until_closed)
        for stream in await connect(queue, opened, 6):
            await stream.aclose()
        with trio.fail_after(5):
            while queue.counts != [0, 0, 0]:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_one_that_is_stuck_is_waited_for_only_now_and_then(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    patience_s = 25 * PATIENCE_S  # so long that what else takes time here is little beside it
    monkeypatch.setattr(api_entrance, "PATIENCE_S", patience_s)
    async with AsyncExitStack() as opened, trio.open_nursery() as nursery:
        await serve(queue.entrance(0), nursery)
        queue.tally[1] = 0  # seems to be there, and takes nothing
        streams = 8 * AT_ONCE
        began = trio.current_time()
        for _ in range(streams):
            await opened.enter_async_context(await trio.open_tcp_stream(*queue.address))
        with trio.fail_after(5):
            while queue.counts[0] < streams:
                await trio.lowlevel.checkpoint()
        assert trio.current_time() - began < streams * patience_s, "each has waited"
        nursery.cancel_scope.cancel()


async def test_a_socket_of_ones_own_is_not_shared_with_anybody() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    async with entrance(sock) as door:
        assert type(door) is Entrance
        assert door.counting(stay) is stay
        async with await trio.open_tcp_stream(*sock.getsockname()), await door.accept():
            pass
