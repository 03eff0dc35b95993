"""One TCP connection: what is read goes to ``http1.py``, what it answers is written, each with a deadline.

Hypercorn 0.18 writes without a deadline, may wait for ever on a connection it has closed itself, starts and ends a task
with each request to see that a connection idles, and lets an error on one connection end the whole server. Here an idle
connection, and a call whose body does not come, are deadlines on the reading.

State: ``Links``, the open connections of a server, written here alone.
"""

from __future__ import annotations

import math
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from tickr.api.direct import DirectStream
from tickr.api.http1 import Protocol
from tickr.api.server_log import leaves

SEND_WITHIN_S = 8.0
"""How long a client may take for each ``PIECE_BYTES`` of what it is sent, in seconds; then its connection is cut.

TCP_USER_TIMEOUT (``server.py``) ends connections whose client says nothing at all; this ends those that keep the
connection alive, or take a byte now and then, and do not read."""
PIECE_BYTES = 64 * 1024
"""A long message is written in pieces of so many bytes, so that a slow but honest client has its time for each."""

MAX_READ = 64 * 1024
"""Bytes read from a client at once."""

IDLE_PATIENCE_S = 1.0
"""So long at least a connection may idle, in seconds, also when others need its place."""

log = structlog.get_logger("tickr.http")


class Links(set["Link"]):
    """The connections that are open.

    Attributes:
      idle: those that wait for a request, the whole of its head included; since when, the longest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle: dict[Link, float] = {}

    def make_room(self) -> bool:
        """Close the connection that has idled for longest; return whether there was one that may be closed."""
        longest, since = next(iter(self.idle.items()), (None, 0.0))
        if longest is None or trio.current_time() - since < IDLE_PATIENCE_S:
            return False
        del self.idle[longest]
        longest.close_if_idle()
        return True


async def serve_connection(
    stream: trio.SocketStream,
    *,
    app: ASGIWrapper,
    config: Config,
    context: WorkerContext,
    links: Links,
    kind: Callable[..., Link],
) -> None:
    """Serve one connection until it closes; it is closed when this returns.

    An error in it ends it and nothing else.

    Args:
      links: has the connection in it as long as it is open.
      kind: makes it: ``Link``, or an encrypted one.
    Cancellation: its requests are cancelled and it is closed; what is written in a shield ends at once after ``hurry``.
    """
    link = kind(links.idle, app, config, context, stream)
    links.add(link)
    try:
        await link
    except* Exception as group:
        log.warning("http.connection_failed", errors=[repr(error) for error in leaves(group)])
    finally:
        links.discard(link)
        links.idle.pop(link, None)


class Link(TCPServer):
    """Hypercorn's reader of one connection, for HTTP/1.1 alone.

    That a connection idles is a deadline on its reading; Hypercorn starts and ends a task for each request instead.
    """

    protocol: Protocol  # type: ignore[assignment]
    secure = False

    def __init__(
        self,
        idle: dict[Link, float],
        app: ASGIWrapper,
        config: Config,
        context: WorkerContext,
        stream: trio.SocketStream,
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), cast("Any", stream))
        self._raw = stream  # where TLS lies between, ``stream`` is another
        self._wrapper = app
        self._all_idle = idle
        self._idle_until = math.inf
        self._body_until = math.inf
        self._reading = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._send_within_s = SEND_WITHIN_S

    async def run(self) -> None:
        try:
            address = self._raw.socket
            client = parse_socket_addr(address.family, address.getpeername())
            server = parse_socket_addr(address.family, address.getsockname())
            async with TaskGroup() as task_group:
                self._task_group = task_group
                parties = (ConnectionState(self.state), self.secure, client, server)
                served = (self._wrapper, self.config, self.context, task_group)
                self.protocol = Protocol(*served, *parties, self.protocol_send, link=self)
                self._note_idle(True)
                if await self._open():
                    await self._read_data()
        except OSError:
            return  # it went while it was being looked at
        finally:
            await self._close()

    async def _open(self) -> bool:
        """Do what comes before the first request; return whether one may come."""
        return True

    async def protocol_send(self, event: Event) -> None:
        """See Hypercorn. Cancellation: what was cut in the middle of writing ends the connection."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._note_idle(event.idle)
        else:
            await super().protocol_send(event)
            # The reader may be waiting for the end of a request that is over.
            self._reading.cancel()

    def _note_idle(self, idle: bool) -> None:
        self._all_idle.pop(self, None)
        if not idle:  # said by the reader, which therefore waits for nothing now
            self._idle_until = math.inf
            return
        now = self._all_idle[self] = trio.current_time()
        self._idle_until = -math.inf if self.context.terminated.is_set() else now + self.config.keep_alive_timeout
        self._receiving.deadline = self._idle_until

    def close_if_idle(self) -> None:
        """Wait for no further request. One that was read already, or is at work, is still answered."""
        if self._idle_until < math.inf:
            self._receiving.deadline = self._idle_until = -math.inf

    def expect_body(self, until: float) -> None:
        """See ``direct.Wire``; said by the reader, but for -inf."""
        self._body_until = until
        if until == -math.inf:
            self._receiving.deadline = until

    def write_now(self, data: bytes) -> int:
        """Return how much of ``data`` the kernel took at once, in bytes; 0 also after an error, which ``_write`` finds.

        For the one answer to a request, while nobody else writes here. Who writes again and again must let others run
        meanwhile, and that takes ``_write``.
        """
        try:
            return os.write(self._raw.socket.fileno(), data)
        except OSError:
            return 0

    async def _write(self, data: bytes) -> None:
        async with self.send_lock:
            try:
                for start in range(0, len(data), PIECE_BYTES):
                    piece = data if len(data) <= PIECE_BYTES else data[start : start + PIECE_BYTES]
                    with trio.CancelScope(relative_deadline=self._send_within_s) as writing:
                        await self.stream.send_all(piece)
                    if writing.cancelled_caught:
                        if self._send_within_s:  # otherwise it had no time at all
                            log.info("http.client_stuck", unread_for_s=self._send_within_s)
                        self._cut()
                        break
                else:
                    return
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                pass  # it is gone, or being closed: saying goodbye counts as sending
            except trio.Cancelled:
                self._cut()
                raise
        await self.protocol.handle(Closed())
        self._reading.cancel()  # as above: who closed this stream tells nobody that its request is over

    def hurry(self) -> None:
        """Give up what is just being written, and wait for nobody from now on: the server stops."""
        self._send_within_s = 0
        if self.send_lock.locked():
            self._cut()

    def _cut(self) -> None:
        """Close at once: whoever reads or writes here is woken, and the kernel drops what was not sent yet."""
        if self._raw.socket.fileno() != -1:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._raw.socket.close()

    async def _read_data(self) -> None:
        with self._reading:
            try:
                data: bytes | None = None
                while data != b"" and self._raw.socket.fileno() != -1:
                    until = min(self._idle_until, self._body_until)
                    # Round the waiting alone: a request that comes at the last moment is dealt with like any other.
                    with trio.CancelScope(deadline=until) as self._receiving:
                        await self._wait_for_data()
                    if not self._receiving.cancelled_caught:
                        if (data := self._read_now()) is not None:
                            await self.protocol.handle(RawData(data))
                    elif isinstance(call := self.protocol.stream, DirectStream):
                        await call.give_up()
                    else:
                        break
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                pass  # it is gone
            except trio.Cancelled:
                if isinstance(call := self.protocol.stream, DirectStream):
                    call.leave()
                raise
            await self.protocol.handle(Closed())

    async def _wait_for_data(self) -> None:
        """Return when ``_read_now`` has something to return. Raises: BrokenResourceError, ClosedResourceError."""
        await trio.lowlevel.wait_readable(self._raw.socket)

    def _read_now(self) -> bytes | None:
        """Return what has come, b"" at the end; None if that is nothing after all.

        Raises: BrokenResourceError. Trio's own ``recv`` tries before it waits, which costs as much as the reading.
        """
        try:
            # Asked anew: it may have been closed since, and its number may be another connection's by now.
            return os.read(self._raw.socket.fileno(), MAX_READ)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError from error
