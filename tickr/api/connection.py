"""One HTTP request between Hypercorn and Quart: bounds before, an orderly end after.

Quart-Trio cancels its task as soon as the client's side is over, which Hypercorn says while it is still putting the
connection back to idle; cut there, an idle connection is never closed and every shutdown takes its whole grace. So the
last message goes out in a shield. And what a client still sends after an early answer is read for a moment: closing
with unread data makes the kernel reset the connection, and the answer would be lost on its way.

State: ``Edge.in_flight`` in ``app.py`` counts the requests in here; written here alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Request
from quart_trio.asgi import TrioASGIHTTPConnection

from tickr.api.problems import Problem, response

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_IN_FLIGHT = 1_000
"""Requests worked on at once; more are sent away at once, so that a flood never takes all memory."""
LINGER_S = 1.0
"""How long the rest of a body is read and dropped after an answer that did not wait for it."""
LAST_SEND_S = 15.0
"""Deadline of the shield round the last message; a little above the server's TCP_USER_TIMEOUT."""

_absolute_form = re.compile(r"https?://[^/?#]*(/.*)?", re.IGNORECASE | re.DOTALL).fullmatch


class Connection(TrioASGIHTTPConnection):
    """Quart-Trio's connection, mended. One object for each request."""

    app: Edge

    def __init__(self, app: Edge, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self._body_ended = trio.Event()

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        refusal = self._refusal()
        if refusal is not None:
            await self._refuse(refusal, receive, send)
            return
        self.app.in_flight += 1
        try:
            await super().__call__(receive, send)
        finally:
            self.app.in_flight -= 1

    def _refusal(self) -> Problem | None:
        """Return why this request goes no further, or None; brings the path to its usual form."""
        scope = self.scope
        path = scope["path"]
        if scope["http_version"] not in ("1.0", "1.1"):
            return Problem(505, "http_version_not_supported", "Tickr speaks HTTP/1.1.")
        if not path.startswith("/"):
            absolute = _absolute_form(path)
            if absolute is None:
                return Problem(400, "bad_request", "The request's target is not a path.")
            scope["path"] = absolute[1] or "/"
        if scope["path"].startswith("//"):
            # The router would take all the leading slashes for one.
            return Problem(404, "not_found", "There is nothing here; paths begin with one slash.")
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return Problem(414, "target_too_long", f"Path and query may have {MAX_TARGET_BYTES} bytes.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return Problem(431, "headers_too_large", f"The headers may have {MAX_HEADER_BYTES} bytes.")
        if self.app.in_flight >= MAX_IN_FLIGHT and path != "/livez":
            detail = f"{MAX_IN_FLIGHT} requests are being worked on already."
            return Problem(429, "overloaded", detail, headers={"Retry-After": "1"})
        return None

    async def _refuse(self, refusal: Problem, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery, None, receive)
            await self._send_response(self._orderly(send), response(refusal, self.scope["path"]))
            nursery.cancel_scope.cancel()

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        await self._read(nursery, request, receive)

    async def _read(self, nursery: trio.Nursery, request: Request | None, receive: ASGIReceiveCallable) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            if message["type"] == "http.request":
                if request is not None:
                    request.body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    if request is not None:
                        request.body.set_complete()
                    self._body_ended.set()
        nursery.cancel_scope.cancel()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        await super().handle_request(nursery, request, self._orderly(send))

    def _orderly(self, send: ASGISendCallable) -> ASGISendCallable:
        """Return a ``send`` for one response whose end is orderly, as the module says."""

        async def orderly(message: ASGISendEvent) -> None:
            if message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            with trio.move_on_after(LINGER_S):
                await self._body_ended.wait()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_SEND_S):
                await send(message)

        return cast("ASGISendCallable", orderly)
