"""A TCP proxy before MySQL or Redis that can do to a connection what networks and dying servers do.

Comes in: a server's URL. Goes out: the same URL through the proxy, and its faults, which count at once for connections
that are open as for new ones. Bytes are carried unchanged and in order, an end is passed on as an end and a reset as a
reset; each direction of a connection holds at most ``CHUNK_BYTES``, and reads on when the other side has taken them.

State: everything is written by the one task that has the proxy; all its methods are for trio's thread and never wait.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import trio

from tests.children import free_port

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""A whole packet as it goes over the wire to MySQL."""

CHUNK_BYTES = 64 * 1024
LET_GO_WITHIN_S = 20.0
SLOW_PIECE_S = 0.05
"""A slow line carries what belongs to so many seconds at once."""

DEFAULT_PORTS = {"mysql": 3306, "mariadb": 3306, "redis": 6379, "rediss": 6379}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Direction = Literal["up", "down"]
"""To the server, to the client."""


class _Line:
    """One connection through the proxy: the client's stream, then the server's. ``carried`` in bytes by direction."""

    def __init__(self, client: trio.SocketStream) -> None:
        self.streams = [client]
        self.carried: dict[Direction, int] = {"up": 0, "down": 0}
        self.scope = trio.CancelScope()

    def close(self) -> None:
        for stream in self.streams:
            stream.socket.close()
        self.scope.cancel()

    def reset(self) -> None:
        for stream in self.streams:
            with suppress(OSError):  # closed already
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()


class Proxy:
    """Attributes:
    url: the way to the server through this proxy.
    latency_s: how much later everything arrives, in each direction; a large answer once for each ``CHUNK_BYTES``.
    bytes_per_s: how much each direction of each connection carries; None for as much as comes.
    cut: at the next COMMIT, cut the connection before it reaches the server, or after the server's answer; or cut the
      client's side at once and hand the COMMIT on when ``let_go`` is set.
    at: what is looked for instead of a COMMIT.
    cuts: how often a connection was cut, by ``cut`` or ``cut_after``.
    opened: connections so far.
    """

    def __init__(self, url: str, host: str, nursery: trio.Nursery) -> None:
        at = urlsplit(url)
        assert at.hostname
        self._server = (at.hostname, at.port or DEFAULT_PORTS[at.scheme])
        self._host = host
        self._nursery = nursery
        self.port = free_port()
        login, sign, _ = at.netloc.rpartition("@")
        self.url = urlunsplit(at._replace(netloc=f"{login}{sign}{host}:{self.port}"))
        self.latency_s = 0.0
        self.bytes_per_s: float | None = None
        self.cut: Literal["before", "after", "late"] | None = None
        self.at = COMMIT
        self.let_go = trio.Event()
        self.cuts = 0
        self.opened = 0
        self._lines: set[_Line] = set()
        self._cut_after: dict[Direction, int] = {}
        self._passable = trio.Event()
        self._listener: trio.SocketListener | None = None
        self.heal()

    # -- faults -----------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """End every fault, those that still wait for their moment too. What a blackhole held back goes on its way."""
        self.latency_s, self.bytes_per_s, self.cut = 0.0, None, None
        self._cut_after.clear()
        self._passable.set()
        self.let_go.set()
        self.let_go = trio.Event()
        if self._listener is None:
            # Not by trio's own function, which looks up the host and so would have to wait.
            listening = trio.socket.from_stdlib_socket(socket.create_server((self._host, self.port)))
            self._listener = trio.SocketListener(listening)
            self._nursery.start_soon(self._accept, self._listener)

    def blackhole(self) -> None:
        """Accept connections, carry nothing and tell nobody of any end, until ``heal``: a network cut in two."""
        if self._passable.is_set():
            self._passable = trio.Event()

    def refuse(self) -> None:
        """Refuse new connections until ``heal``. Open ones go on: with ``reset`` it is a server that was killed."""
        if self._listener is not None:
            self._listener.socket.close()
            self._listener = None

    def reset(self) -> None:
        """End all open connections by a TCP reset, to both sides."""
        for line in list(self._lines):
            line.reset()

    def cut_after(self, n_bytes: int, direction: Direction) -> None:
        """Close the first connection that is to carry more than ``n_bytes`` from now on, when it has carried these."""
        self._cut_after[direction] = n_bytes
        for line in self._lines:
            line.carried[direction] = 0

    # -- carrying ---------------------------------------------------------------------------------------------------

    async def _accept(self, listener: trio.SocketListener) -> None:
        with suppress(trio.ClosedResourceError):
            while True:
                self._nursery.start_soon(self._carry, await listener.accept())

    async def _carry(self, client: trio.SocketStream) -> None:
        self.opened += 1
        line = _Line(client)
        self._lines.add(line)
        try:
            with line.scope:
                await self._passable.wait()
                server = await trio.open_tcp_stream(*self._server)
                line.streams.append(server)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, line, client, server, "up")
                    nursery.start_soon(self._pump, line, server, client, "down")
        except OSError:  # no server there
            line.reset()
        finally:
            line.close()
            self._lines.discard(line)

    async def _pump(
        self, line: _Line, source: trio.SocketStream, sink: trio.SocketStream, direction: Direction
    ) -> None:
        try:
            while data := await source.receive_some(CHUNK_BYTES):
                await trio.sleep(self.latency_s)
                await self._passable.wait()
                if direction == "up" and self.cut and self.at in data:
                    await self._cut_here(line, sink, data)
                await self._send(line, sink, data, direction)
            await self._passable.wait()
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self._passable.wait()
            line.reset()

    async def _send(self, line: _Line, sink: trio.SocketStream, data: bytes, direction: Direction) -> None:
        room = self._cut_after.get(direction, math.inf) - line.carried[direction]
        fatal = len(data) > room
        if fatal:
            del self._cut_after[direction]  # only this connection
            data = data[: int(room)]
        line.carried[direction] += len(data)
        while data:
            piece = data
            if self.bytes_per_s is not None:
                piece = data[: max(1, int(self.bytes_per_s * SLOW_PIECE_S))]
                await trio.sleep(len(piece) / self.bytes_per_s)
                await self._passable.wait()
            await sink.send_all(piece)
            data = data[len(piece) :]
        if fatal:
            self.cuts += 1
            line.close()

    async def _cut_here(self, line: _Line, server: trio.SocketStream, data: bytes) -> None:
        """Cut ``line`` as ``cut`` says; ``data`` is the COMMIT. Raises: Cancelled, as the line has ended."""
        self.cuts += 1
        when, self.cut = self.cut, None
        line.scope.cancel()
        if when != "before":
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LET_GO_WITHIN_S):
                if when == "late":
                    line.streams[0].socket.close()
                    await self.let_go.wait()
                await server.send_all(data)
                await server.receive_some()
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def proxy_before(url: str, *, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """Run a proxy on ``host``, a free port, before the MySQL or Redis at ``url``."""
    async with trio.open_nursery() as nursery:
        proxy = Proxy(url, host, nursery)
        try:
            yield proxy
        finally:
            proxy.refuse()
            nursery.cancel_scope.cancel()
