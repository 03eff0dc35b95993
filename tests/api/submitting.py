"""A client of ``GET /jobs/stream`` on a raw socket, as rude as a test wants it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.api.site import LONG_S, Site
from tests.feed_clients import connect
from tests.websocket_frames import CLOSE, PONG, TEXT, Frame, FrameReader, to_send, upgrade

PATH = "/jobs/stream"


class Submitter:
    """One connection. ``answers`` reads until enough have come; ``end`` until the server closes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = FrameReader()
        self._frames: list[Frame] = []
        self.sizes: list[int | None] = []
        """Of each text frame that has come: how many answers were in its array, None if it was one answer."""

    async def open(self, target: str = PATH, headers: bytes = b"") -> None:
        await self.stream.send_all(upgrade("localhost", target)[:-2] + headers + b"\r\n")
        head = b""
        with trio.fail_after(LONG_S):
            while b"\r\n\r\n" not in head:
                data = bytes(await self.stream.receive_some())
                assert data, head
                head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self._frames += self._reader.feed(rest)

    async def send(self, what: Any) -> None:
        """Send ``what``, an object or an array, as one text frame; bytes as they are."""
        payload = what if isinstance(what, bytes) else json.dumps(what).encode()
        await self.stream.send_all(to_send(TEXT, payload))

    async def frame(self) -> Frame | None:
        """Return the next frame; None when the connection is closed."""
        with trio.fail_after(LONG_S):
            while not self._frames:
                try:
                    data = bytes(await self.stream.receive_some())
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    async def answers(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the next answers, at least ``count``."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.frame()
            assert frame is not None, found
            found += self.answers_in(frame)
        return found

    async def end(self) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
        """Return what comes until the server closes, and its close code and reason; None if it said no goodbye."""
        found: list[dict[str, Any]] = []
        while (frame := await self.frame()) is not None and frame.opcode != CLOSE:
            found += self.answers_in(frame)
        return found, (frame.close_code, frame.payload[2:].decode()) if frame else None

    def answers_in(self, frame: Frame) -> list[dict[str, Any]]:
        if frame.opcode == PONG:
            return []
        assert frame.opcode == TEXT, frame
        said = json.loads(frame.payload)
        self.sizes.append(len(said) if isinstance(said, list) else None)
        return said if isinstance(said, list) else [said]


@asynccontextmanager
async def open_submitter(
    site: Site, target: str = PATH, headers: bytes = b"", *, receive_buffer: int | None = None
) -> AsyncIterator[Submitter]:
    async with await connect(site.port, receive_buffer=receive_buffer) as stream:
        submitter = Submitter(stream)
        await submitter.open(target, headers)
        yield submitter
