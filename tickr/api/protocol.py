"""One TCP connection: Hypercorn's HTTP/1.1 and websocket protocol, mended where a client could do harm.

Hypercorn 0.18 lets an error on one connection end the whole server (a websocket handshake with a body, a bad h2c
upgrade), never closes a connection after a bad websocket handshake, answers 400 to a good last request that is followed
by stray bytes, takes a body of two lengths, writes without a deadline, and may wait for ever on a connection it has
closed itself. HTTP/2 is left out: Tickr's clients do not need it, and each protocol is one more way in. What Hypercorn
refuses by itself is told as a problem document, too.

State: ``Links``, the open connections of a server, written here alone.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from typing import Any, cast

import h11
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.logging import Logger
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from tickr.api.problems import Problem
from tickr.api.websocket import WebsocketStream

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

_REFUSALS = {
    400: Problem(400, "bad_request", "This is not a valid HTTP request."),
    431: Problem(431, "headers_too_large", "The headers are too large."),
    501: Problem(501, "not_implemented", "Only chunked transfer encoding is understood."),
    505: Problem(505, "http_version_not_supported", "Tickr speaks HTTP/1.1."),
}


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
    stream: trio.SocketStream, *, app: ASGIWrapper, config: Config, context: WorkerContext, links: Links
) -> None:
    """Serve one connection until it closes; it is closed when this returns.

    An error in it ends it and nothing else.

    Args:
      links: has the connection in it as long as it is open.
    Cancellation: its requests are cancelled and it is closed; what is written in a shield ends at once after ``hurry``.
    """
    link = Link(links.idle, app, config, context, ConnectionState({}), stream)
    links.add(link)
    try:
        await link
    except* Exception as group:
        log.warning("http.connection_failed", errors=[repr(error) for error in _leaves(group)])
    finally:
        links.discard(link)
        links.idle.pop(link, None)


class Link(TCPServer):
    """Hypercorn's reader of one connection, for HTTP/1.1 alone.

    That a connection idles is a deadline on its reading; Hypercorn starts and ends a task for each request instead.
    """

    def __init__(self, idle: dict[Link, float], *args: Any) -> None:
        super().__init__(*args)
        self._all_idle = idle
        self._idle_until = math.inf
        self._reading = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._send_within_s = SEND_WITHIN_S

    async def run(self) -> None:
        try:
            address = self.stream.socket
            client = parse_socket_addr(address.family, address.getpeername())
            server = parse_socket_addr(address.family, address.getsockname())
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self.protocol = Protocol(  # type: ignore[assignment]
                    self.app,
                    self.config,
                    self.context,
                    task_group,
                    ConnectionState(self.state),
                    False,
                    client,
                    server,
                    self.protocol_send,
                )
                self._note_idle(True)
                await self._read_data()
        except OSError:
            return  # it went while it was being looked at
        finally:
            await self._close()

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
        self._idle_until = math.inf
        if idle:
            stops = self.context.terminated.is_set()
            self._idle_until = -math.inf if stops else trio.current_time() + self.config.keep_alive_timeout
        self._receiving.deadline = self._idle_until
        self._all_idle.pop(self, None)
        if idle:
            self._all_idle[self] = trio.current_time()

    def close_if_idle(self) -> None:
        """Wait for no further request. One that was read already, or is at work, is still answered."""
        if self._idle_until < math.inf:
            self._receiving.deadline = self._idle_until = -math.inf

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
        if self.stream.socket.fileno() != -1:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.stream.socket.close()

    async def _read_data(self) -> None:
        with self._reading:
            try:
                data = b"."
                while data:
                    # Round the waiting alone: a request that comes at the last moment is dealt with like any other.
                    with trio.CancelScope(deadline=self._idle_until) as self._receiving:
                        data = bytes(await self.stream.receive_some(MAX_READ))
                    if self._receiving.cancelled_caught:
                        break
                    await self.protocol.handle(RawData(data))
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                pass  # it is gone
            await self.protocol.handle(Closed())


class Protocol(H11Protocol):
    """HTTP/1.1 on one connection."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._head = b""
        self.connection = _Connection(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(event, RawData) and self.stream is not None and self.stream.closed:
            # A websocket that Hypercorn refused by itself: it would leave the connection open for ever.
            await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and event.status_code >= 200 and self.context.terminated.is_set():
            event.headers.append((b"connection", b"close"))
        await super().stream_send(event)

    async def _send_h11_event(self, event: Any) -> None:
        """Send what ``event`` is on the wire; a response's head waits for the first of its body, or its end.

        That makes one packet and one system call of two. Who streams sends something at once, so that the head leaves.
        """
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _create_stream(self, request: h11.Request) -> None:
        """As Hypercorn's, but with our stream for websockets, and without compression.

        Compressing a frame anew for each client costs about as much as sending it, and more memory than all else that a
        client needs; so the offer is not heard.
        """
        if (refusal := self._refusal(request)) is not None:
            await self._send_error_response(refusal, to_head=request.method == b"HEAD")
            await self.send(Closed())
            return
        if not _asks_for_websocket(request):
            await super()._create_stream(request)
            return
        self.stream = WebsocketStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.connection = cast("Any", H11WSConnection(cast("h11.Connection", self.connection)))
        headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
        await self.stream.handle(
            Request(STREAM_ID, headers, request.http_version.decode(), "GET", request.target, self.connection_state)
        )

    def _refusal(self, request: h11.Request) -> int | None:
        """Return the status with which ``request`` ends its connection, or None."""
        if request.http_version not in (b"1.0", b"1.1"):  # Hypercorn takes the others for protocols that it knows
            return 505
        if _has_two_lengths(request):
            return 400
        # Of a websocket that is not open yet: a body, or frames.
        return 400 if _asks_for_websocket(request) and self.connection.trailing_data[0] else None

    async def _check_protocol(self, event: h11.Request) -> None:
        """Offer no other protocol; whoever asks for HTTP/2 is answered in HTTP/1.1 (RFC 9110, 7.8)."""

    async def _send_error_response(self, status_code: int, *, to_head: bool = False) -> None:
        body = _REFUSALS.get(status_code, _REFUSALS[400]).body()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        if not to_head:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


def _has_two_lengths(request: h11.Request) -> bool:
    """Whether two readers may differ about where the request ends, as who smuggles one past a proxy wants them to."""
    names = {name for name, _ in request.headers}
    return b"content-length" in names and b"transfer-encoding" in names


def _asks_for_websocket(request: h11.Request) -> bool:
    given = {name: value.decode("latin-1").lower() for name, value in request.headers}
    tokens = [token.strip() for token in given.get(b"connection", "").split(",")]
    return request.method == b"GET" and given.get(b"upgrade", "").strip() == "websocket" and "upgrade" in tokens


class _Connection(h11.Connection):
    """Reads nothing after the last request of a connection, as RFC 9112, 9.6 has it."""

    def next_event(self) -> Any:
        if self.their_state is h11.MUST_CLOSE:
            return h11.NEED_DATA
        return super().next_event()


class ServerLog(Logger):
    """Hypercorn's log, told through ours: its trouble, not its chatter."""

    def __init__(self, config: Config) -> None:
        self.access_logger = None
        self.error_logger = None

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.warning("http.server", message=message % args)

    async def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.error("http.server", message=message % args)

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        errors = [error for error in _leaves(sys.exc_info()[1]) if not isinstance(error, trio.Cancelled)]
        if all(isinstance(error, h11.ProtocolError) for error in errors):
            # The client's doing: it sent what cannot be at this point. No reason to fill the log with tracebacks.
            log.warning("http.protocol_error", errors=[repr(error) for error in errors])
        else:
            log.error("http.server", message=message % args, exc_info=True)


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]
