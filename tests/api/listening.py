"""Clients of the feed for the tests of its edge: everything that came, as it came; on raw sockets, without manners.

A websocket gives its frames as dicts and its close as a ``Close``; a stream of server-sent events gives dicts of the
fields of each block. What is asked of them has a time limit each.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import h11
import trio
import uuid_utils

from tests.api.site import LONG_S, Site
from tests.feed_clients import connect
from tests.websocket_frames import CLOSE, TEXT, Frame, FrameReader, to_send, upgrade
from tickr.jobs import NewJob

BIG = json.dumps({f"label{n}": "x" * 250 for n in range(16)})
"""Labels that make an event of about 4 KiB."""


class Close(NamedTuple):
    code: int
    reason: str


class Socket:
    """A websocket of the feed; ``open_socket`` opens one."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = FrameReader()
        self._frames: list[Frame] = []
        self._events: list[dict[str, Any]] = []

    async def shake_hands(self, target: str, headers: bytes = b"") -> bytes:
        """Return the head of the answer."""
        await self.stream.send_all(upgrade("localhost", target)[:-2] + headers + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = await self.stream.receive_some()
            assert part, f"closed after {answer!r}"
            answer += part
        head, _, rest = answer.partition(b"\r\n\r\n")
        self._frames += self._reader.feed(rest)
        return head

    async def frame(self) -> Frame | None:
        """Return the next frame; None when the server has closed the connection."""
        with trio.fail_after(LONG_S):
            while not self._frames:
                part = await self.stream.receive_some()
                if not part:
                    return None
                self._frames += self._reader.feed(part)
        return self._frames.pop(0)

    async def message(self) -> dict[str, Any]:
        """Return the next message."""
        frame = await self.frame()
        assert frame is not None, "the connection is closed"
        assert frame.opcode == TEXT, frame
        return dict(json.loads(frame.payload))

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages up to the next one of ``kind``."""
        got = [await self.message()]
        while got[-1]["kind"] != kind:
            got.append(await self.message())
        return got

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next ``count`` events; whatever else comes is passed over."""
        with trio.fail_after(LONG_S):
            while len(self._events) < count:
                self._events += (await self.message()).get("events", [])
        got, self._events = self._events[:count], self._events[count:]
        return got

    async def end(self) -> tuple[list[dict[str, Any]], Close]:
        """Answer the server's close. Return what came before it, and what it said. Nothing may follow.

        A server that has waited for the answer long enough is gone, and that is an end as well.
        """
        before: list[dict[str, Any]] = []
        while (frame := await self.frame()) is not None and frame.opcode != CLOSE:
            before.append(json.loads(frame.payload))
        assert frame is not None, f"closed without a word after {before}"
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(to_send(CLOSE, frame.payload[:2]))
            assert await self.frame() is None
        return before, Close(frame.close_code, frame.payload[2:].decode())


@asynccontextmanager
async def open_socket(
    site: Site, query: str = "", headers: bytes = b"", *, receive_buffer: int | None = None
) -> AsyncIterator[Socket]:
    """Open a websocket and see that it is accepted."""
    async with await connect(site.port, receive_buffer=receive_buffer) as stream:
        socket = Socket(stream)
        with trio.fail_after(LONG_S):
            head = await socket.shake_hands(f"/events{query}", headers)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield socket


class Stream:
    """Server-sent events; ``open_stream`` opens one.

    Attributes:
      head: the answer's head.
      ended: the server has ended the answer in order.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.ended = False
        self.head: h11.Response
        self._text = b""
        self._http = h11.Connection(h11.CLIENT)

    async def ask(self, target: str, *headers: tuple[str, str], version: bytes = b"1.1") -> None:
        named = [("Host", "localhost"), ("Accept", "text/event-stream"), *headers]
        request = self._http.send(h11.Request(method="GET", target=target, headers=named))
        await self.stream.send_all(request.replace(b"HTTP/1.1", b"HTTP/" + version))
        self._http.send(h11.EndOfMessage())
        head = await self._next()
        assert isinstance(head, h11.Response), head
        self.head = head

    async def _next(self) -> Any:
        with trio.fail_after(LONG_S):
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self.stream.receive_some())
        return event

    async def block(self) -> dict[str, str] | None:
        """Return the fields of the next block; None at the end."""
        while b"\n\n" not in self._text:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                assert self._text == b"", "the last block is cut short"
                self.ended = True
                return None
            assert isinstance(event, h11.Data), event
            self._text += event.data
        block, _, self._text = self._text.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in block.decode().split("\n"))  # type: ignore[arg-type]

    async def events(self, count: int) -> list[dict[str, str]]:
        """Return the next ``count`` blocks that have data."""
        got: list[dict[str, str]] = []
        with trio.fail_after(LONG_S):
            while len(got) < count:
                block = await self.block()
                assert block is not None, f"ended after {got}"
                got += [block] if "data" in block else []
        return got


@asynccontextmanager
async def open_stream(
    site: Site, query: str = "", *headers: tuple[str, str], version: bytes = b"1.1", receive_buffer: int | None = None
) -> AsyncIterator[Stream]:
    """Ask for server-sent events and see that they begin."""
    async with await connect(site.port, receive_buffer=receive_buffer) as stream:
        client = Stream(stream)
        await client.ask(f"/events{query}", *headers, version=version)
        assert client.head.status_code == 200, client.head
        yield client


def ids(events: list[dict[str, Any]]) -> list[str]:
    """The ids of CloudEvents, whichever way they came."""
    return [(json.loads(event["data"]) if isinstance(event["data"], str) else event)["id"] for event in events]


async def write(site: Site, count: int = 1, **fields: Any) -> list[str]:
    """Commit one row of ``count`` new jobs; return the ids of the events."""
    new = [NewJob(id=str(uuid_utils.uuid7()), **{"type": "noop", **fields}) for _ in range(count)]
    return [f"{job.id}.1" for job, _ in await site.store.insert(new)]
