"""One HTTP request between Hypercorn and Quart: bounds before, an orderly end after. Streams are answered beside Quart.

A body is read before anything is done with its request; while too many requests are at work, the body that has been on
its way for longest is given up, so that clients which send a byte now and then keep nobody out.

Quart-Trio cancels its task as soon as the client's side is over, which Hypercorn says while it is still putting the
connection back to idle; cut there, an idle connection is never closed and every shutdown takes its whole grace. So
answers go out in a shield, each send of which ``protocol.py`` bounds. And what a client still sends after an early
answer is read for a moment: closing with unread data makes the kernel reset the connection, and the answer would be
lost on its way.

State: ``Edge.in_flight`` in ``app.py`` counts the requests at work, ``Edge.arriving`` has their bodies that are not
whole, ``Edge.body_bytes`` is how large all are together; written here, and in ``direct.py`` for the calls that do not
come here because all goes well with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Request, Response
from quart_trio.asgi import TrioASGIHTTPConnection

from tickr.api import event_stream
from tickr.api.content import unpacking
from tickr.api.event_query import PATH as EVENTS_PATH
from tickr.api.event_stream import EventStream
from tickr.api.problems import Problem, body_timeout, body_too_large, problem_of, response
from tickr.api.target import check_target
from tickr.errors import Overloaded, StoreError
from tickr.meters import OTHER

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_IN_FLIGHT = 1_000
"""Requests worked on at once; more are sent away at once, so that a flood never takes all memory."""
MAX_BODY_BYTES = 256 * 1024 * 1024
"""Bodies of requests that are worked on, in bytes, all together. One that goes beyond is sent away."""
LARGE_BYTES = 64 * 1024
"""A body of which so much has come is large: one that takes long is given up when others need its room."""
BODY_PATIENCE_S = 1.0
"""So long at least a body may be on its way, in seconds, also when others need its place."""
LINGER_S = 1.0
"""How long the rest of a body is read and dropped after an answer that did not wait for it."""
LAST_SEND_S = 15.0
"""Deadline of the shield round the last message; above what a client may take for it."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are told apart by who counts requests."""
REFUSAL = "refusal"
"""Under this name in the scope's state: the Problem that the request is refused with, found by ``direct.py``."""


class Reading(Protocol):
    """A body on its way."""

    def cancel(self) -> None:
        """Give it up; its client is told that it took too long."""


def too_much_at_once() -> Problem:
    detail = f"The requests that are being worked on have {MAX_BODY_BYTES} bytes already."
    return Problem(429, "overloaded", detail, headers={"Retry-After": "1"})


def has_room_for(app: Edge, more_bytes: int) -> bool:
    """Return whether so much more of a body may be kept; if need be a large one that takes long is given up for it."""
    return app.body_bytes + more_bytes <= MAX_BODY_BYTES or _give_up_large(app)


def _give_up_large(app: Edge) -> bool:
    for bodies in (app.arriving, app.half_said):
        for reading, since in bodies.items():
            if trio.current_time() - since < BODY_PATIENCE_S:
                break
            if getattr(reading, "body_bytes", 0) >= LARGE_BYTES:  # of those here, none is
                del bodies[reading]
                reading.cancel()
                return True
    return False


def has_room(app: Edge) -> bool:
    """Return whether one more request may be worked on; if need be a body that takes long is given up for it."""
    return app.in_flight < MAX_IN_FLIGHT or _make_room(app)


def _make_room(app: Edge) -> bool:
    """Give up the body that has been on its way for longest; return whether there was one that may be given up."""
    reading, since = next(iter(app.arriving.items()), (None, 0.0))
    if reading is None or trio.current_time() - since < BODY_PATIENCE_S:
        return False
    del app.arriving[reading]
    reading.cancel()
    return True


class Connection(TrioASGIHTTPConnection):
    """Quart-Trio's connection, mended. One object for each request."""

    app: Edge

    def __init__(self, app: Edge, scope: HTTPScope) -> None:
        super().__init__(app, scope)
        self._body_ended = trio.Event()
        self._body_bytes = 0
        self._request: Request | None = None

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        send = self._counting(send)
        try:
            self._admit()
        except Problem as refusal:
            await self._send_early(response(refusal, self.scope["path"]), receive, send)
            return
        if self.app.tells_jobs and self.scope["path"] == EVENTS_PATH and self.scope["method"] == "GET":
            request = self._create_request_from_scope(send)
            if event_stream.is_wanted(request):
                await self._stream(request, receive, send)
                return
        self.app.in_flight += 1
        try:
            await self._work(receive, send)
        finally:
            self.app.in_flight -= 1
            self.app.body_bytes -= self._body_bytes

    def _counting(self, send: ASGISendCallable) -> ASGISendCallable:
        """Return a ``send`` that counts the answer when it begins."""
        began = trio.current_time()

        async def counting(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                method, rule = self.scope["method"], self._request and self._request.url_rule
                route = rule.rule if rule else self.app.route_of(method, self.scope["path"])
                method = method if method in METHODS else OTHER
                self.app.context.requests.note(route, method, message["status"], trio.current_time() - began)
            await send(message)

        return cast("ASGISendCallable", counting)

    def _admit(self) -> None:
        """Return if this request goes further. Raises: Problem."""
        if REFUSAL in self.scope["state"]:
            raise self.scope["state"][REFUSAL]
        check_target(self.scope)
        if self.scope["path"] != "/livez" and not has_room(self.app):
            detail = f"{MAX_IN_FLIGHT} requests are being worked on already."
            raise Problem(429, "overloaded", detail, headers={"Retry-After": "1"})

    async def _work(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Read the body, if there is one, and have the request answered by whoever does that."""
        request = self._request = self._create_request_from_scope(send)
        try:
            await self.app.admit(request)
            has_body = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
            if has_body and not await self._read_body(request, receive):
                return
        except (Problem, StoreError, Overloaded) as refusal:
            await self._send_early(response(problem_of(refusal), request.path), receive, send)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.handle_messages, nursery, request, receive)
            nursery.start_soon(self.handle_request, nursery, request, send)

    async def _read_body(self, request: Request, receive: ASGIReceiveCallable) -> bool:
        """Read until ``request`` has its body; return whether the client is still there. Raises: Problem (408, 413)."""
        most, packed = self.app.most_bytes(request.method, request.path), unpacking(request.headers)
        if (request.content_length or 0) > most:
            raise body_too_large(most)
        with trio.CancelScope(relative_deadline=self.app.config["BODY_TIMEOUT"]) as reading:
            self.app.arriving[reading] = trio.current_time()
            try:
                while not self._body_ended.is_set():
                    message = await receive()
                    if message["type"] != "http.request":
                        return False
                    if packed is not None:
                        message["body"] = packed.feed(message["body"], most)
                    more = len(message["body"])
                    if self._body_bytes + more > most:
                        raise body_too_large(most)
                    if not has_room_for(self.app, more):
                        raise too_much_at_once()
                    self._body_bytes += more
                    self.app.body_bytes += more
                    self._take(message, request)
                if packed is not None:
                    packed.end()
                return True
            finally:
                self.app.arriving.pop(reading, None)
        raise body_timeout()

    async def _stream(self, request: Request, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        stream = EventStream(self.app, await self.app.admitted(request), request, send, hear=self._take)
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
