"""Clients that others have written, with their default options: they listen, close, come back, and miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import trio
import websockets
import websockets.sync.client
from trio_websocket import ConnectionClosed, open_websocket_url

from tests.api.listening import BIG, write
from tests.api.site import LONG_S, Site, open_site
from tests.browser import Chromium
from tests.waiting import eventually


class Heard(NamedTuple):
    """The ids of the events that came, the last cursor, and the code with which it was closed."""

    ids: list[str]
    cursor: str
    code: int | None


Listen = Callable[[str, int], Awaitable[Heard]]
"""Listen at a URL until so many events have come, then close; 0: say something instead, and see what comes of it."""


class Ear:
    """What a client makes of the frames it gets."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.ids: list[str] = []
        self.cursor = ""

    def hear(self, frame: str | bytes) -> bool:
        """Take a frame; return whether that was enough."""
        message = json.loads(frame)
        self.cursor = message.get("cursor", self.cursor)
        self.ids += [event["id"] for event in message.get("events", [])]
        return len(self.ids) >= self._count


async def by_websockets(url: str, count: int) -> Heard:
    return await trio.to_thread.run_sync(_by_websockets, url, count)


def _by_websockets(url: str, count: int) -> Heard:
    ear = Ear(count)
    with websockets.sync.client.connect(url) as connection, contextlib.suppress(websockets.ConnectionClosedError):
        if not count:
            connection.send("hello")
        for frame in connection:
            if ear.hear(frame) and count:
                break
    return Heard(ear.ids, ear.cursor, connection.close_code)


async def by_websockets_on_asyncio(url: str, count: int) -> Heard:
    return await trio.to_thread.run_sync(asyncio.run, _by_websockets_on_asyncio(url, count))


async def _by_websockets_on_asyncio(url: str, count: int) -> Heard:
    ear = Ear(count)
    async with websockets.connect(url) as connection:
        if not count:
            await connection.send("hello")
        with contextlib.suppress(websockets.ConnectionClosedError):
            async for frame in connection:
                if ear.hear(frame) and count:
                    break
    return Heard(ear.ids, ear.cursor, connection.close_code)


async def by_trio_websocket(url: str, count: int) -> Heard:
    ear = Ear(count)
    async with open_websocket_url(url) as connection:
        if not count:
            await connection.send_message("hello")
        with contextlib.suppress(ConnectionClosed):
            while not ear.hear(await connection.get_message()) or not count:
                pass
    # Closed by the server, trio-websocket 0.12 leaves its socket to the garbage collector.
    await connection._stream.aclose()
    return Heard(ear.ids, ear.cursor, connection.closed and connection.closed.code)


CLIENTS = pytest.mark.parametrize("listen", [by_websockets, by_websockets_on_asyncio, by_trio_websocket])


async def listeners(site: Site, count: int) -> None:
    async def there() -> bool:
        return site.app.audience.count == count

    await eventually(there)


async def while_it_listens(site: Site, listening: Awaitable[Any], *happens: Callable[[], Awaitable[Any]]) -> Any:
    """Return what ``listening`` heard while ``happens`` happened."""
    heard: list[Any] = []

    async def listen() -> None:
        with trio.fail_after(LONG_S):
            heard.append(await listening)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await listeners(site, 1)
        for step in happens:
            await step()
    await listeners(site, 0)
    return heard[0]


@CLIENTS
async def test_a_client_listens_closes_and_comes_back(site: Site, listen: Listen) -> None:
    url = f"ws://127.0.0.1:{site.port}/events"
    told = await write(site, 3)
    heard = await listen(f"{url}?after=earliest", 2)
    got, cursor = heard.ids, heard.cursor

    async def more() -> None:
        for _ in range(5):
            told.extend(await write(site, 10, labels=BIG))

    await more()  # while nobody listens
    heard = await while_it_listens(site, listen(f"{url}?after={cursor}", 103 - len(got)), more)
    got += heard.ids
    await more()
    got += (await listen(f"{url}?after={heard.cursor}", 50)).ids
    assert got == told


@CLIENTS
async def test_a_client_takes_the_largest_frame_there_is(site: Site, listen: Listen) -> None:
    told = await write(site, 2_000, labels=BIG)  # 8 MiB in one commit
    assert (await listen(f"ws://127.0.0.1:{site.port}/events?after=earliest", 2_000)).ids == told


@CLIENTS
async def test_a_client_learns_why_it_was_closed(site: Site, listen: Listen) -> None:
    url = f"ws://127.0.0.1:{site.port}/events"
    assert (await listen(url, 0)).code == 4400
    assert (await listen(f"{url}?after=000000000000.7", 1)).code == 4410

    async def stops() -> None:
        site.context.stopping.set()

    assert (await while_it_listens(site, listen(url, 1), stops)).code == 1001


# -- a browser --------------------------------------------------------------------------------------------------------

WEBSOCKET = """(after, count) => new Promise((resolve) => {
    const heard = { ids: [], cursor: after };
    const socket = new WebSocket(`ws://${location.host}/events${after && "?after=" + after}`);
    socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        heard.cursor = message.cursor ?? heard.cursor;
        heard.ids.push(...(message.events ?? []).map((event) => event.id));
        if (count && heard.ids.length >= count) socket.close();
    };
    socket.onclose = ({ code, reason, wasClean }) => resolve({ ...heard, code, reason, wasClean });
})"""

EVENT_SOURCE = """(after, count) => new Promise((resolve) => {
    const heard = { ids: [], opened: 0, errors: [] };
    const source = new EventSource(`/events${after && "?after=" + after}`);
    const end = () => { source.close(); resolve(heard); };
    source.onopen = () => { heard.opened += 1; };
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) end(); };
    source.addEventListener("tickr.error", ({ data }) => heard.errors.push(JSON.parse(data).code));
    source.addEventListener("tickr.job.created", ({ data, lastEventId }) => {
        heard.ids.push(JSON.parse(data).id);
        heard.cursor = lastEventId;
        if (heard.ids.length === count) end();
    });
})"""


@pytest.mark.parametrize("script", [WEBSOCKET, EVENT_SOURCE], ids=["WebSocket", "EventSource"])
async def test_a_browser_listens_closes_and_comes_back(site: Site, chromium: Chromium, script: str) -> None:
    told = await write(site, 3)

    async def more() -> None:
        for _ in range(5):
            told.extend(await write(site, 10, labels=BIG))

    async with chromium.page(f"http://127.0.0.1:{site.port}/livez") as page:
        heard = await page.run(script, "earliest", 3)
        got = heard["ids"]
        await more()  # while nobody listens
        heard = await while_it_listens(site, page.run(script, heard["cursor"], 100), more)
        got += heard["ids"]
        await more()
        got += (await page.run(script, heard["cursor"], 50))["ids"]
    assert got == told


LASTING_EVENT_SOURCE = """(url) => {
    window.heard = { ids: [], opened: 0 };
    window.source = new EventSource(url);
    source.onopen = () => { heard.opened += 1; };
    source.addEventListener("tickr.job.created", ({ data }) => heard.ids.push(JSON.parse(data).id));
}"""


async def test_an_event_source_comes_back_by_itself_and_misses_nothing(site: Site, chromium: Chromium) -> None:
    told: list[str] = []
    async with chromium.page(f"http://127.0.0.1:{site.port}/livez") as page:
        await page.run(LASTING_EVENT_SOURCE, "/events")

        async def has_heard(opened: int) -> bool:
            heard = await page.run("() => heard")
            return bool(heard == {"ids": told, "opened": opened})

        for opened in (1, 2, 3):
            await eventually(partial(has_heard, opened))
            for link in list(site.app.links):
                await trio.aclose_forcefully(link.stream)
            told += await write(site, 2)  # while it is away; the first time it has not heard any event before
        await eventually(partial(has_heard, 4))


async def test_a_page_learns_why_it_was_closed(site: Site, chromium: Chromium) -> None:
    async def stops() -> None:
        site.context.stopping.set()

    async with chromium.page(f"http://127.0.0.1:{site.port}/livez") as page:
        closed = await page.run(WEBSOCKET, "000000000000.7", 0)
        assert (closed["code"], closed["reason"], closed["wasClean"]) == (4410, "cursor_expired", True)
        assert (await page.run(EVENT_SOURCE, "000000000000.7", 1))["opened"] == 0  # and does not try again
        closed = await while_it_listens(site, page.run(WEBSOCKET, "", 0), stops)
        assert (closed["code"], closed["reason"], closed["wasClean"]) == (1001, "stopping", True)
    async with open_site(token="s3cret") as locked, chromium.page(f"http://127.0.0.1:{locked.port}/livez") as page:
        assert (await page.run(WEBSOCKET, "", 0))["code"] == 4401


async def test_a_page_of_another_site_hears_nothing(site: Site, chromium: Chromium) -> None:
    there = f"127.0.0.1:{site.port}"
    async with open_site() as other, chromium.page(f"http://127.0.0.1:{other.port}/livez") as page:
        closed = await page.run(WEBSOCKET.replace("${location.host}", there), "", 0)
        assert (closed["code"], closed["ids"]) == (1006, [])
        heard = await page.run(EVENT_SOURCE.replace("`/events", f"`http://{there}/events"), "earliest", 1)
        assert (heard["opened"], heard["ids"]) == (0, [])
