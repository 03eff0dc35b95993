"""One HTTP request between Hypercorn and Quart: bounds before, an orderly end after. Some are answered beside Quart.

Streams go beside it, and so do calls that are one body and one answer (``Edge.direct``): read, carried out and answered
in one task. Quart takes two more and a context for each, a third of what a submission costs (docs/decisions/0013).
A body is read before anything is done with its request; while too many requests are at work, the body that has been on
its way for longest is given up, so that clients which send a byte now and then keep nobody out.

Quart-Trio cancels its task as soon as the client's side is over, which Hypercorn says while it is still putting the
connection back to idle; cut there, an idle connection is never closed and every shutdown takes its whole grace. So
answers go out in a shield, each send of which ``protocol.py`` bounds. And what a client still sends after an early
answer is read for a moment: closing with unread data makes the kernel reset the connection, and the answer would be
lost on its way.

State: ``Edge.in_flight`` in ``app.py`` counts the requests in here, ``Edge.arriving`` has their bodies that are not
whole; written here alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Request, Response
from quart.utils import encode_headers
from quart_trio.asgi import TrioASGIHTTPConnection

from tickr.api import event_stream
from tickr.api.event_query import PATH as EVENTS_PATH
from tickr.api.event_stream import EventStream
from tickr.api.problems import Problem, body_timeout, body_too_large, problem_of, response
from tickr.api.protocol import PIECE_BYTES
from tickr.api.target import check_target
from tickr.failpoints import reach

if TYPE_CHECKING:
    from tickr.api.app import Direct, Edge

MAX_IN_FLIGHT = 1_000
"""Requests worked on at once; more are sent away at once, so that a flood never takes all memory."""
BODY_PATIENCE_S = 1.0
"""So long at least a body may be on its way, in seconds, also when others need its place."""
LINGER_S = 1.0
"""How long the rest of a body is read and dropped after an answer that did not wait for it."""
LAST_SEND_S = 15.0
"""Deadline of the shield round the last message, for each ``PIECE_BYTES``; above what a client may take for it."""


class Connection(TrioASGIHTTPConnection):
    """Quart-Trio's connection, mended. One object for each request."""

    app: Edge

    def __init__(self, app: Edge, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self._body_ended = trio.Event()

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            self._admit()
        except Problem as refusal:
            await self._send_early(response(refusal, self.scope["path"]), receive, send)
            return
        if self.scope["path"] == EVENTS_PATH and self.scope["method"] == "GET":
            request = self._create_request_from_scope(send)
            if event_stream.is_wanted(request):
                await self._stream(request, receive, send)
                return
        self.app.in_flight += 1
        try:
            await self._work(receive, send)
        finally:
            self.app.in_flight -= 1

    def _admit(self) -> None:
        """Return if this request goes further. Raises: Problem."""
        check_target(self.scope)
        if self.app.in_flight >= MAX_IN_FLIGHT and self.scope["path"] != "/livez" and not self._make_room():
            detail = f"{MAX_IN_FLIGHT} requests are being worked on already."
            raise Problem(429, "overloaded", detail, headers={"Retry-After": "1"})

    def _make_room(self) -> bool:
        """Give up the body that has been on its way for longest; return whether there was one that may be given up."""
        reading, since = next(iter(self.app.arriving.items()), (None, 0.0))
        if reading is None or trio.current_time() - since < BODY_PATIENCE_S:
            return False
        del self.app.arriving[reading]
        reading.cancel()
        return True

    async def _work(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Read the body, if there is one, and have the request answered by whoever does that."""
        request = self._create_request_from_scope(send)
        route = self.app.direct.get((request.method, request.path))
        try:
            if route is not None or "Content-Length" in request.headers or "Transfer-Encoding" in request.headers:
                self.app.guard.check(request)
                if not await self._read_body(request, receive):
                    return
        except Problem as refusal:
            await self._send_early(response(refusal, request.path), receive, send)
            return
        if route is not None:
            await self._answer(route, request, send)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.handle_messages, nursery, request, receive)
            nursery.start_soon(self.handle_request, nursery, request, send)

    async def _answer(self, route: Direct, request: Request, send: ASGISendCallable) -> None:
        """Carry out one call in this task, also if its client goes away: its body is whole."""
        try:
            answer = await route(request)
        except Exception as error:
            answer = response(problem_of(error), request.path)
        await reach("api.before_answer")
        body, headers = await answer.get_data(as_text=False), encode_headers(answer.headers)
        within_s = LAST_SEND_S * (1 + len(body) // PIECE_BYTES)
        with trio.CancelScope(shield=True, relative_deadline=within_s):
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _read_body(self, request: Request, receive: ASGIReceiveCallable) -> bool:
        """Read until ``request`` has its body; return whether the client is still there. Raises: Problem (408, 413)."""
        most = self.app.context.config.max_body
        left = most
        if (request.content_length or 0) > most:
            raise body_too_large(most)
        with trio.CancelScope(relative_deadline=self.app.config["BODY_TIMEOUT"]) as reading:
            self.app.arriving[reading] = trio.current_time()
            try:
                while not self._body_ended.is_set():
                    message = await receive()
                    if message["type"] != "http.request":
                        return False
                    left -= len(message["body"])
                    if left < 0:
                        raise body_too_large(most)
                    self._take(message, request)
                return True
            finally:
                self.app.arriving.pop(reading, None)
        raise body_timeout()

    async def _stream(self, request: Request, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        stream = EventStream(self.app, request, send, hear=self._take)
        await stream.listen(receive)
        if stream.refusal is not None:
            await self._send_early(response(stream.refusal, self.scope["path"]), receive, send)

    async def _send_early(self, answer: Response, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Send ``answer`` to a client that may still be sending its body."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery, None, receive)
            await self._send_response(self._orderly(send), answer)
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
            self._take(message, request)
        nursery.cancel_scope.cancel()

    def _take(self, message: Any, request: Request | None = None) -> None:
        if message["type"] == "http.request":
            if request is not None:
                request.body.append(message.get("body", b""))
            if not message.get("more_body", False):
                if request is not None:
                    request.body.set_complete()
                self._body_ended.set()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        await super().handle_request(nursery, request, self._orderly(send))

    def _orderly(self, send: ASGISendCallable) -> ASGISendCallable:
        """Return a ``send`` for one response whose end is orderly, as the module says."""

        async def orderly(message: ASGISendEvent) -> None:
            if message["type"] != "http.response.body" or message.get("more_body", False):
                with trio.CancelScope(shield=True):  # an answer is whole, or the connection ends
                    await send(message)
                return
            with trio.move_on_after(LINGER_S):
                await self._body_ended.wait()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_SEND_S):
                await send(message)

        return cast("ASGISendCallable", orderly)
