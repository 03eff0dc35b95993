"""A Tickr API on a real socket, over the memory store, with the intake and everything below it for real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import trio

from tests.api import described
from tickr.announce import Announcer
from tickr.api.app import Edge, create_app
from tickr.api.certificate import Certificate
from tickr.api.context import Context, HandlerDefaults, OwnNode
from tickr.api.server import listen, serve_http
from tickr.bell import LocalBell, Ring
from tickr.config import Config
from tickr.feed.feed import Feed
from tickr.index.heap import HeapIndex
from tickr.intake import Intake
from tickr.jobs import Job
from tickr.lease import Lease
from tickr.metrics.jobs import Tallied
from tickr.metrics.scrape import measured
from tickr.orders import Orders
from tickr.remote.leases import leases_on
from tickr.store.contract import Filter, Node, Store
from tickr.store.memory import MemoryStore
from tickr.timetable import Timetable

LONG_S = 20
"""Longer than anything here takes; only a test that fails waits for it."""


class Nobody:
    """A node without a row and without jobs."""

    about = Node(id="0190a5c3-0000-7000-8000-00000000000e", host="here", pid=1, version="0")

    def stacks(self) -> list[tuple[Job, str]]:
        return []


@dataclass
class Site:
    """A running API.

    ``http`` is a client of it, all that it says and hears is held against the description; ``port`` where it listens,
    ``stopped`` set when it has ended.
    """

    app: Edge
    http: httpx2.AsyncClient
    port: int
    store: MemoryStore
    context: Context
    shutdown: trio.Event
    stopped: trio.Event

    async def stop(self, within_s: float) -> None:
        """Stop it as a node does. Raises: TooSlowError."""
        self.context.stopping.set()
        self.shutdown.set()
        with trio.fail_after(within_s):
            await self.stopped.wait()

    async def rows(self) -> list[Job]:
        return (await self.store.list_jobs(Filter(), limit=1000)).jobs

    async def post(self, path: str = "/jobs", /, **body: Any) -> httpx2.Response:
        return await self.http.post(path, json=body)

    async def send(self, body: bytes | str, path: str = "/jobs", **headers: str) -> httpx2.Response:
        """Post ``body`` as it is, as JSON."""
        return await self.http.post(path, content=body, headers={"content-type": "application/json", **headers})

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def talk(self, request: bytes) -> bytes:
        """Send raw bytes on a connection of their own and return all that comes until the server closes it."""
        async with await self.connect() as stream:
            await stream.send_all(request)
            return await read_all(stream)


async def read_all(stream: trio.SocketStream) -> bytes:
    """Return everything until the other side closes."""
    got = b""
    with trio.fail_after(LONG_S):
        async for part in stream:
            got += part
    return got


async def read_answer(stream: trio.SocketStream) -> bytes:
    """Return one answer, headers and body, that has a Content-Length."""
    got = b""
    with trio.fail_after(LONG_S):
        while b"\r\n\r\n" not in got:
            part = await stream.receive_some()
            assert part, f"closed after {got!r}"
            got += part
        head, _, body = got.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        while len(body) < length:
            part = await stream.receive_some()
            assert part, f"closed after {got!r}"
            body += part
    return head + b"\r\n\r\n" + body


def context_on(
    store: Store,
    index: HeapIndex,
    bell: LocalBell,
    *,
    own: OwnNode | None = None,
    defaults: Callable[[str], HandlerDefaults | None] = lambda _type: None,
    **settings: Any,
) -> Context:
    """Return what every route gets; nothing of it runs yet. ``settings`` are of ``Config``."""
    announcer, feed = Announcer(store, index, bell), Feed(store, bell)
    config, stopping = Config(**settings), trio.Event()
    return Context(
        intake=Intake(store, bell, announcer),
        orders=Orders(store, bell),
        own=own or Nobody(),
        timetable=Timetable(store, bell, announcer),
        leases=leases_on(
            *(store, index, bell, feed, announcer),
            lease_s=config.lease,
            max_result_bytes=config.max_result,
            stopping=stopping,
        ),
        store=store,
        index=index,
        feed=feed,
        config=config,
        stopping=stopping,
        defaults=defaults,
    )


@asynccontextmanager
async def open_site(
    *,
    store: MemoryStore | None = None,
    index: HeapIndex | None = None,
    defaults: Callable[[str], HandlerDefaults | None] = lambda _type: None,
    own: OwnNode | None = None,
    grace_s: float = LONG_S,
    keep_alive_s: float = LONG_S,
    body_timeout_s: float = LONG_S,
    certificate: Certificate | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    """Run an API while the block lasts. ``settings`` are of ``Config``."""
    store = store or MemoryStore()
    index, bell = index or HeapIndex(), LocalBell()
    store.on_events(partial(bell.ring_nowait, Ring("feed")))
    context = context_on(store, index, bell, own=own, defaults=defaults, **settings)
    tallied, lease = Tallied(), Lease(store, Nobody.about, lease_s=context.config.lease)
    store.on_tally(tallied.take)
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    shutdown, stopped = trio.Event(), trio.Event()

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        times = {"grace_s": grace_s, "keep_alive_s": keep_alive_s}
        await serve_http(app, sock, shutdown=shutdown, certificate=certificate, **times, task_status=task_status)
        stopped.set()

    async with trio.open_nursery() as nursery:
        context = measured(context, lease, None, None, tallied, None, nursery)
        app = create_app(context)
        app.config["BODY_TIMEOUT"] = body_timeout_s
        nursery.start_soon(context.intake.run)
        nursery.start_soon(context.feed.run)
        nursery.start_soon(context.leases.run)
        nursery.start_soon(app.inbox.run)
        await nursery.start(serve)
        async with httpx2.AsyncClient(
            base_url=f"{'https' if certificate else 'http'}://127.0.0.1:{port}",
            timeout=LONG_S,
            verify=False,
            event_hooks={"response": [partial(described.check, app)]},
        ) as http:
            yield Site(app, http, port, store, context, shutdown, stopped)
        nursery.cancel_scope.cancel()
