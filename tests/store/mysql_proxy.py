"""A TCP proxy before a MySQL server that can cut a connection at the worst moment, and words for looking inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import trio

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""A whole packet as it goes over the wire."""


class Proxy:
    """Attributes:
    url: the way to the server through this proxy.
    cut: at the next COMMIT, cut the connection before it reaches the server, or after the server's answer.
    cuts: how often that was done.
    opened: connections so far.
    """

    def __init__(self, url: str, host: str) -> None:
        self._host = host
        self.port = 0
        at = urlsplit(url)
        assert at.hostname
        self._server = (at.hostname, at.port or 3306)
        self._at = at
        self.url = ""
        self.cut: Literal["before", "after"] | None = None
        self.cuts = 0
        self.opened = 0

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host=self._host)
        self.port = listeners[0].socket.getsockname()[1]
        user = self._at.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._at._replace(netloc=f"{user}@{self._host}:{self.port}"))
        await trio.serve_listeners(self._carry, listeners, task_status=task_status)  # type: ignore[arg-type]

    async def _carry(self, client: trio.SocketStream) -> None:
        self.opened += 1
        async with client, await trio.open_tcp_stream(*self._server) as server, trio.open_nursery() as nursery:
            nursery.start_soon(self._answers, server, client, nursery.cancel_scope)
            try:
                async for data in client:
                    if COMMIT in data and self.cut:
                        self.cuts += 1
                        when, self.cut = self.cut, None
                        if when == "before":
                            break
                        nursery.cancel_scope.cancel()
                        with trio.CancelScope(shield=True):
                            await server.send_all(data)
                            await server.receive_some()
                    await server.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

    async def _answers(self, server: trio.SocketStream, client: trio.SocketStream, over: trio.CancelScope) -> None:
        try:
            async for data in server:
                await client.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        over.cancel()


@asynccontextmanager
async def proxy_before(url: str, *, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """Run a proxy before the server at ``url``."""
    proxy = Proxy(url, host)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        yield proxy
        nursery.cancel_scope.cancel()
