"""HTTP/1.1 on one connection: Hypercorn's protocol, mended where a client could do harm.

Hypercorn 0.18 lets an error on one connection end the whole server (a bad h2c upgrade), never closes a connection after
a bad websocket handshake, answers 400 to a good last request that is followed by stray bytes, and takes a body of two
lengths. HTTP/2 is left out: Tickr's clients do not need it, and each protocol is one more way in. What Hypercorn
refuses by itself is told as a problem document, too. Calls of one body and one answer go to ``direct.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ConnectionState

from tickr.api import direct
from tickr.api.call import Answer
from tickr.api.connection import REFUSAL
from tickr.api.problems import Problem
from tickr.api.websocket import WebsocketStream
from tickr.meters import OTHER

if TYPE_CHECKING:
    from tickr.api.app import Edge
    from tickr.api.protocol import Link

_REFUSALS = {
    400: Problem(400, "bad_request", "This is not a valid HTTP request."),
    500: Problem(500, "internal", "Something went wrong here that nobody foresaw."),
    431: Problem(431, "headers_too_large", "The headers are too large."),
    501: Problem(501, "not_implemented", "Only chunked transfer encoding is understood."),
    505: Problem(505, "http_version_not_supported", "Tickr speaks HTTP/1.1."),
}


class Protocol(H11Protocol):
    """HTTP/1.1 on one connection."""

    stream: HTTPStream | WSStream | direct.DirectStream | None  # type: ignore[assignment]

    def __init__(self, app: ASGIWrapper, *args: Any, link: Link) -> None:
        super().__init__(app, *args)
        self.expect_body = link.expect_body
        self._write_now = link.write_now
        self._edge = cast("Edge", app.app)
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
        headers = list(request.headers)
        if (refusal := self._refusal(request, headers)) is not None:
            await self._send_error_response(refusal, to_head=request.method == b"HEAD")
            await self.send(Closed())
            return
        if (stream := direct.open_stream(self._edge, self, request, headers)) is not None:
            self.stream = stream
            self.keep_alive_requests += 1
            return
        if not _asks_for_websocket(request, headers):
            await super()._create_stream(request)
            return
        self.stream = WebsocketStream(*self._of_stream())
        self.connection = cast("Any", H11WSConnection(cast("h11.Connection", self.connection)))
        headers = [(name, value) for name, value in headers if name != b"sec-websocket-extensions"]
        await self.stream.handle(
            Request(STREAM_ID, headers, request.http_version.decode(), "GET", request.target, self.connection_state)
        )

    def _of_stream(self) -> tuple[Any, ...]:
        """Return what Hypercorn's streams are made of."""
        parties = (self.ssl, self.client, self.server)
        return (self.app, self.config, self.context, self.task_group, *parties, self.stream_send, STREAM_ID)

    async def hand_over(self, request: h11.Request, refusal: Problem) -> None:
        self.stream = HTTPStream(*self._of_stream())
        await self.stream.handle(
            Request(
                STREAM_ID,
                list(request.headers),
                request.http_version.decode(),
                request.method.decode(),
                request.target,
                ConnectionState({REFUSAL: refusal}),
            )
        )

    async def answer(self, answer: Answer) -> None:
        """Send ``answer``, and be ready for the next request, or close. Cancellation: the connection is cut."""
        # h11 is told of the framing alone, since it looks at each line for long; the others go in behind.
        lines = _lines(answer.headers)
        framing = [(b"content-length", b"%d" % len(answer.body)), *self.config.response_headers("h11")]
        if self.context.terminated.is_set() or self.keep_alive_requests >= self.config.keep_alive_max_requests:
            framing.append((b"connection", b"close"))
        head = self.connection.send(h11.Response(status_code=answer.status, headers=framing))
        body = self.connection.send(h11.Data(data=answer.body))
        self.connection.send(h11.EndOfMessage())
        data = b"".join((head[:-2], lines, b"\r\n", body))
        if (written := self._write_now(data)) < len(data):
            await self.send(RawData(data[written:]))
        await self._maybe_recycle()

    async def fail(self) -> None:
        await self.config.log.exception("Error past the answer")
        await self._send_error_response(500)
        await self.send(Closed())

    def _refusal(self, request: h11.Request, headers: Sequence[tuple[bytes, bytes]]) -> int | None:
        """Return the status with which ``request`` ends its connection, or None."""
        if request.http_version not in (b"1.0", b"1.1"):  # Hypercorn takes the others for protocols that it knows
            return 505
        if _has_two_lengths(headers):
            return 400
        # Of a websocket that is not open yet: a body, or frames.
        return 400 if _asks_for_websocket(request, headers) and self.connection.trailing_data[0] else None

    async def _check_protocol(self, event: h11.Request) -> None:
        """Offer no other protocol; whoever asks for HTTP/2 is answered in HTTP/1.1 (RFC 9110, 7.8)."""

    async def _send_error_response(self, status_code: int, *, to_head: bool = False) -> None:
        self._edge.context.requests.count(OTHER, OTHER, status_code)
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


def _lines(headers: Mapping[str, str]) -> bytes:
    """Return ``headers`` as they are on the wire. Raises: ValueError: a value would end its line."""
    lines = []
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"{name} holds what no header may: {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def _has_two_lengths(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether two readers may differ about where the request ends, as who smuggles one past a proxy wants them to."""
    names = [name for name, _ in headers]
    return b"transfer-encoding" in names and b"content-length" in names


def _asks_for_websocket(request: h11.Request, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    if request.method != b"GET":
        return False
    given = {name: value.decode("latin-1").lower() for name, value in headers}
    tokens = [token.strip() for token in given.get(b"connection", "").split(",")]
    return given.get(b"upgrade", "").strip() == "websocket" and "upgrade" in tokens


class _Connection(h11.Connection):
    """Reads nothing after the last request of a connection, as RFC 9112, 9.6 has it."""

    def next_event(self) -> Any:
        if self.their_state is h11.MUST_CLOSE:
            return h11.NEED_DATA
        return super().next_event()
