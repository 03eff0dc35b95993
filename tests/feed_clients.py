"""Clients of the event feed on raw sockets, for tests: a websocket, server-sent events, and a page of JSON.

Own code for what a library's client will not do: look at what came byte by byte, and cut the line at any of them. Each
is given a stream that is connected already and leaves it to its caller to close that.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import h11
import msgspec
import trio

from tests.websocket_frames import CLOSE, PING, PONG, TEXT, FrameReader, to_send, upgrade

READ_BYTES = 65_536


class Closed(Exception):
    """The server ended the stream; ``code`` is the websocket's close code, 1006 without one."""

    def __init__(self, code: int = 1006, said: str = "") -> None:
        super().__init__(code, said)
        self.code = code
        self.said = said


class Refused(Exception):
    """Another status than the one that begins a stream."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status


class Event(msgspec.Struct, frozen=True):
    """Of a CloudEvent, what most tests ask for."""

    id: str
    type: str = ""
    time: str = ""
    subject: str = ""


class Message(msgspec.Struct):
    """A text frame of the feed, or as much of it as the other two ways have."""

    kind: str
    cursor: str = ""
    events: list[Event] = []
    code: str = ""


class Place(NamedTuple):
    """What a cursor says to those who know: all rows up to ``seq``, and ``taken`` events of the next."""

    seq: int
    taken: int

    @classmethod
    def of(cls, cursor: str) -> Place:
        _, seq, *taken = cursor.split(".")
        return cls(int(seq), int(taken[0]) if taken else 0)


_message = msgspec.json.Decoder(Message).decode
_event = msgspec.json.Decoder(Event).decode


class Page(msgspec.Struct):
    events: list[Event]
    cursor: str
    caught_up: bool


def reset_on_close(stream: trio.SocketStream) -> None:
    """Make closing ``stream`` a RST, as when a machine dies or a client is killed with data unread."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def connect(port: int, *, receive_buffer: int | None = None) -> trio.SocketStream:
    sock = trio.socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


class WebSocket:
    """A websocket on ``stream``. ``receive`` must be called by one task at a time; cut anywhere, it goes on later."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = FrameReader()
        self._waiting: list[Message] = []
        self._end: Closed | None = None

    async def open(self, target: str) -> None:
        """Shake hands. Raises: Closed, Refused."""
        await self.stream.send_all(upgrade("localhost", target))
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await self._read(READ_BYTES)
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            raise Refused(status, rest.decode(errors="replace"))
        await self._take(rest)

    async def _read(self, most: int) -> bytes:
        data = await self.stream.receive_some(most)
        if not data:
            raise Closed
        return bytes(data)

    async def receive(self, most: int = READ_BYTES) -> Message:
        """Return the next message, reading ``most`` bytes at once. Raises: Closed, trio.BrokenResourceError."""
        while not self._waiting:
            if self._end:
                raise self._end
            await self._take(await self._read(most))
        return self._waiting.pop(0)

    async def _take(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if frame.opcode == TEXT:
                self._waiting.append(_message(frame.payload))
            elif frame.opcode == PING:
                await self.stream.send_all(to_send(PONG, frame.payload[:125]))
            elif frame.opcode == CLOSE:
                said = self._waiting[-1].code if self._waiting else ""
                self._end = Closed(frame.close_code, said)

    async def say_goodbye(self) -> None:
        await self.stream.send_all(to_send(CLOSE, (1000).to_bytes(2, "big")))

    async def until_event(self, kind: str) -> tuple[Message, Event]:
        """Return the next message with an event of type ``tickr.job.<kind>``, and that event; drop what is before."""
        while True:
            message = await self.receive()
            for event in message.events:
                if event.type == f"tickr.job.{kind}":
                    return message, event


@asynccontextmanager
async def open_websocket(
    port: int, target: str = "/events", *, receive_buffer: int | None = None
) -> AsyncIterator[WebSocket]:
    async with await connect(port, receive_buffer=receive_buffer) as stream:
        client = WebSocket(stream)
        await client.open(target)
        yield client


class Http:
    """One HTTP/1.1 request on ``stream``, and the body of its answer as it comes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._connection = h11.Connection(h11.CLIENT)

    async def get(self, target: str, **headers: str) -> None:
        """Raises: Refused, Closed."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        request = h11.Request(method="GET", target=target, headers=[("Host", "localhost"), *named])
        await self.stream.send_all(self._connection.send(request) + self._connection.send(h11.EndOfMessage()))
        answer = await self._next(READ_BYTES)
        assert isinstance(answer, h11.Response), answer
        if answer.status_code != 200:
            raise Refused(answer.status_code, "")

    async def body(self, most: int = READ_BYTES) -> bytes | None:
        """Return what comes next of the body, None at its end."""
        event = await self._next(most)
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _next(self, most: int) -> Any:
        while True:
            try:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    self._connection.receive_data(await self.stream.receive_some(most))
                elif isinstance(event, h11.ConnectionClosed):
                    raise Closed
                else:
                    return event
            except h11.RemoteProtocolError:  # the body is cut short
                raise Closed from None


class EventSource:
    """Server-sent events on ``stream``, as the HTML standard has a client understand them."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._http = Http(stream)
        self._text = b""
        self._id = ""

    async def open(self, target: str, last_event_id: str | None) -> None:
        resume = {"Last_Event_ID": last_event_id} if last_event_id else {}
        await self._http.get(target, Accept="text/event-stream", **resume)

    async def receive(self, most: int = READ_BYTES) -> Message:
        """Return the next event, or the place after it (``bookmark``). Raises: Closed, trio.BrokenResourceError."""
        while True:
            block, end, rest = self._text.partition(b"\n\n")
            if not end:
                more = await self._http.body(most)
                if more is None:
                    raise Closed
                self._text += more
                continue
            self._text = rest
            fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n") if not line.startswith(b":"))
            self._id = fields.get(b"id", b"").decode() or self._id
            if fields.get(b"event") == b"tickr.error":
                raise Closed(said=fields[b"data"].decode())
            if b"data" in fields:
                event = _event(fields[b"data"])
                assert event.type.encode() == fields[b"event"]
                return Message("events", self._id, [event])
            if b"id" in fields:
                return Message("bookmark", self._id)


async def read_page(stream: trio.SocketStream, target: str, most: int = READ_BYTES) -> Page:
    """Return a page of JSON; may be asked again on the same stream. Raises: Refused, Closed."""
    http, body = Http(stream), b""
    await http.get(target, Accept="application/json")
    while (more := await http.body(most)) is not None:
        body += more
    return msgspec.json.decode(body, type=Page)
