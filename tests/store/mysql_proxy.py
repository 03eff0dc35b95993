"""A TCP proxy before a MySQL server that can cut a connection at the worst moment, and transactions of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import trio

from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_schema import bring_up
from tickr.store.mysql_transactions import ServerClock, Transactions

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""A whole packet as it goes over the wire."""

LET_GO_WITHIN_S = 20.0


class Proxy:
    """Attributes:
    url: the way to the server through this proxy.
    cut: at the next COMMIT, cut the connection before it reaches the server, or after the server's answer; or cut the
      client's side at once and hand the COMMIT on when ``let_go`` is set.
    at: what is looked for instead of a COMMIT.
    cuts: how often that was done.
    opened: connections so far.
    """

    def __init__(self, url: str, host: str) -> None:
        self._host = host
        self.port = 0
        at = urlsplit(url)
        assert at.hostname
        self._server = (at.hostname, at.port or 3306)
        self._url = at
        self.url = ""
        self.cut: Literal["before", "after", "late"] | None = None
        self.at = COMMIT
        self.let_go = trio.Event()
        self.cuts = 0
        self.opened = 0

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host=self._host)
        self.port = listeners[0].socket.getsockname()[1]
        user = self._url.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._url._replace(netloc=f"{user}@{self._host}:{self.port}"))
        await trio.serve_listeners(self._carry, listeners, task_status=task_status)  # type: ignore[arg-type]

    async def _carry(self, client: trio.SocketStream) -> None:
        self.opened += 1
        async with client, await trio.open_tcp_stream(*self._server) as server, trio.open_nursery() as nursery:
            nursery.start_soon(self._answers, server, client, nursery.cancel_scope)
            try:
                async for data in client:
                    if self.at in data and self.cut:
                        self.cuts += 1
                        when, self.cut = self.cut, None
                        if when == "before":
                            break
                        nursery.cancel_scope.cancel()
                        with trio.CancelScope(shield=True, deadline=trio.current_time() + LET_GO_WITHIN_S):
                            if when == "late":
                                await client.aclose()
                                await self.let_go.wait()
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


@asynccontextmanager
async def transactions_on(url: str) -> AsyncIterator[Transactions]:
    """Run transactions on the database at ``url``, which gets its tables if it has none."""
    async with trio.open_nursery() as nursery:
        pool = Pool(parse(url), None, nursery)
        await bring_up(pool, asked=False)
        yield Transactions(pool, ServerClock(None), 8_000_000)
        await pool.aclose()
