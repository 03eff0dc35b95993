"""A real Chromium without a window, for what only a browser does: pages with their Origin, and scripts in them.

Comes in: the address of a page and a script to run in it. Goes out: what the script returns. Spoken to by the DevTools
protocol, one websocket for each page.
"""

from __future__ import annotations

import itertools
import json
import signal
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from tests.children import Child
from tests.servers import BROWSERS, program

ENDS_WITHIN_S = 10.0


class ScriptFailed(Exception):
    """A script threw, or a page cannot be opened; the message is the browser's."""


class Chromium(Child):
    """One browser with a profile of its own. ``page`` opens a page in it."""

    name = "chromium"

    def command(self) -> Sequence[str]:
        browser = program(*BROWSERS)
        assert browser is not None
        return [
            browser,
            "--headless",
            "--no-sandbox",  # needs rights that a container rarely has; only our own pages are opened
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--remote-debugging-port=0",
            f"--user-data-dir={self.folder}/profile",
            "about:blank",
        ]

    def answers(self) -> bool:
        with urllib.request.urlopen(f"{self._devtools}/json/version", timeout=5) as answer:
            return int(answer.status) == 200

    @property
    def _devtools(self) -> str:
        told = (self.folder / "profile" / "DevToolsActivePort").read_text()
        if not told:
            raise OSError("it is about to write its port")
        return f"http://127.0.0.1:{told.splitlines()[0]}"

    def close(self) -> None:
        """End the browser in order, so that its own children end with it, and remove its folder."""
        if self.running:
            self._signal(signal.SIGTERM)
            self.wait(ENDS_WITHIN_S)
        super().close()

    @asynccontextmanager
    async def page(self, url: str) -> AsyncIterator[Page]:
        """Open ``url`` in a tab of its own, which is closed at the end. Raises: ScriptFailed: it cannot be opened."""
        new = urllib.request.Request(f"{self._devtools}/json/new?about:blank", method="PUT")
        tab = json.loads(await trio.to_thread.run_sync(_text_of, new))
        try:
            async with open_websocket_url(tab["webSocketDebuggerUrl"]) as connection:
                page = Page(connection)
                await page.open(url)
                yield page
        finally:
            with trio.CancelScope(shield=True, relative_deadline=ENDS_WITHIN_S):
                await trio.to_thread.run_sync(_text_of, f"{self._devtools}/json/close/{tab['id']}")


def _text_of(request: urllib.request.Request | str) -> str:
    with urllib.request.urlopen(request, timeout=ENDS_WITHIN_S) as answer:
        return str(answer.read().decode())


class Page:
    """A page in a tab. One task at a time may use it."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def run(self, script: str, *arguments: Any) -> Any:
        """Call the function that ``script`` is with ``arguments``, wait for its promise if it returns one.

        Raises: ScriptFailed.
        """
        call = f"({script})({', '.join(map(json.dumps, arguments))})"
        done = await self._ask("Runtime.evaluate", expression=call, awaitPromise=True, returnByValue=True)
        if failure := done.get("exceptionDetails"):
            raise ScriptFailed(failure.get("exception", failure).get("description", str(failure)))
        return done["result"].get("value")

    async def open(self, url: str) -> None:
        """Go to ``url``. Raises: ScriptFailed."""
        await self._ask("Page.enable")
        gone = await self._ask("Page.navigate", url=url)
        if failure := gone.get("errorText"):
            raise ScriptFailed(f"{url}: {failure}")
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass
        await self._ask("Page.disable")

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._connection.send_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := await self._next()).get("id") != number:
            pass
        if "error" in answer:
            raise ScriptFailed(str(answer["error"]))
        return dict(answer["result"])

    async def _next(self) -> dict[str, Any]:
        return dict(json.loads(await self._connection.get_message()))
