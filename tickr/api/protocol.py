"""One TCP connection: Hypercorn's HTTP/1.1 and websocket protocol, mended where a client could do harm.

Hypercorn 0.18 lets an error on one connection end the whole server (a websocket handshake with a body, a bad h2c
upgrade), never closes a connection after a bad websocket handshake, answers 400 to a good last request that is followed
by stray bytes, and may wait for ever on a connection it has closed itself. HTTP/2 is left out: Tickr's clients do not
need it, and each protocol is one more way in. What Hypercorn refuses by itself is told as a problem document, too.
"""

from __future__ import annotations

import sys
from typing import Any

import h11
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.logging import Logger
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from tickr.api.problems import Problem

log = structlog.get_logger("tickr.http")

_REFUSALS = {
    400: Problem(400, "bad_request", "This is not a valid HTTP request."),
    431: Problem(431, "headers_too_large", "The headers are too large."),
    501: Problem(501, "not_implemented", "Only chunked transfer encoding is understood."),
}


async def serve_connection(
    stream: trio.SocketStream, *, app: ASGIWrapper, config: Config, context: WorkerContext
) -> None:
    """Serve one connection until it closes; it is closed when this returns.

    An error in it ends it and nothing else. Cancellation: its requests are cancelled and it is closed.
    """
    try:
        await Link(app, config, context, ConnectionState({}), stream)
    except* Exception as group:
        log.warning("http.connection_failed", errors=[repr(error) for error in _leaves(group)])


class Link(TCPServer):
    """Hypercorn's reader of one connection, for HTTP/1.1 alone."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reading = trio.CancelScope()

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
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
                # Hypercorn would keep all this until an idle connection's time is over, its client long gone.
                await self.idle_task.stop()
        except OSError:
            return  # it went while it was being looked at
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        await super().protocol_send(event)
        if isinstance(event, Closed):
            # The reader may be waiting for the end of a request that is over.
            self._reading.cancel()

    async def _read_data(self) -> None:
        with self._reading:
            await super()._read_data()


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

    async def _check_protocol(self, event: h11.Request) -> None:
        """Offer no other protocol; whoever asks for HTTP/2 is answered in HTTP/1.1 (RFC 9110, 7.8)."""

    async def _send_error_response(self, status_code: int) -> None:
        body = _REFUSALS.get(status_code, _REFUSALS[400]).body()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


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
