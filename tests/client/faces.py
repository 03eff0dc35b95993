"""The blocking client and the async one on trio and on asyncio, made to look alike, so that one test asks all three."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from tickr.client import AsyncClient, AsyncEvents, Client, Event, Job

FACES = ("threads", "trio", "asyncio")


@contextmanager
def face(name: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Open a client; ``name`` is one of ``FACES``, the rest its arguments."""
    if name == "threads":
        with Client(*args, **kwargs) as client:
            yield _Threads(client)
        return
    with (
        start_blocking_portal(name) as portal,
        portal.wrap_async_context_manager(portal.call(partial(AsyncClient, *args, **kwargs))) as client,
    ):
        yield _Tasks(portal, client)


class _Threads:
    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def listed(self, **filters: Any) -> list[Job]:
        return list(self.client.list(**filters))


class _Called:
    """What has async methods, to be called from here."""

    def __init__(self, portal: BlockingPortal, client: Any) -> None:
        self.portal = portal
        self.client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.portal.call(partial(method, *args, **kwargs))


class _Tasks(_Called):
    client: AsyncClient

    @property
    def schedules(self) -> _Called:
        return _Called(self.portal, self.client.schedules)

    @property
    def queues(self) -> _Called:
        return _Called(self.portal, self.client.queues)

    @property
    def nodes(self) -> _Called:
        return _Called(self.portal, self.client.nodes)

    @property
    def operations(self) -> _Called:
        return _Called(self.portal, self.client.operations)

    def listed(self, **filters: Any) -> list[Job]:
        async def read() -> list[Job]:
            return [job async for job in self.client.list(**filters)]

        return self.portal.call(read)

    @contextmanager
    def events(self, **filters: Any) -> Iterator[_TaskEvents]:
        async def listen() -> AsyncEvents:
            return self.client.events(**filters)

        with self.portal.wrap_async_context_manager(self.portal.call(listen)) as events:
            yield _TaskEvents(self.portal, events)


class _TaskEvents:
    def __init__(self, portal: BlockingPortal, events: AsyncEvents) -> None:
        self.portal = portal
        self.events = events

    @property
    def cursor(self) -> str | None:
        return self.events.cursor

    def __iter__(self) -> _TaskEvents:
        return self

    def __next__(self) -> Event:
        return self.portal.call(self.events.__anext__)
