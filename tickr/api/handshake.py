"""Every websocket handshake: refused by HTTP, or let in and handed to whoever serves its path. One object for each.

A page of another site and an unknown host are refused by HTTP, and so is every other path. All else is told on the open
websocket, by a last frame and a close code: of a refused handshake a browser says nothing to its page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, WebsocketScope
from quart_trio.asgi import TrioASGIWebsocketConnection
from werkzeug.datastructures import Headers

from tickr import traces
from tickr.api import event_query, event_socket, incoming, job_stream
from tickr.api.callers import Caller
from tickr.api.event_socket import SocketListener
from tickr.api.job_stream import JobStream
from tickr.api.problems import Fault, Problem, problem_of
from tickr.api.target import check_target
from tickr.errors import Overloaded, StoreError

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATHS = (event_socket.PATH, job_stream.PATH)
SWITCHED = 101
"""The status of a handshake that went well."""


class Handshake(TrioASGIWebsocketConnection):
    """One handshake. In the place of Quart-Trio's class, of which it uses nothing."""

    app: Edge

    def __init__(self, app: Edge, scope: WebsocketScope) -> None:
        self.app = app
        self.scope = scope

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.scope["headers"]])
        try:
            self._admit(headers)
        except Problem as refusal:
            self._count(refusal.status)
            await _refuse(send, refusal)
            return
        admitted = await self._admitted(headers)
        self._count(SWITCHED)
        accept: Any = {"type": "websocket.accept", "subprotocol": None, "headers": []}
        if self.scope["path"] == event_socket.PATH:
            await send(accept)
            await SocketListener(self.app, admitted, self.scope, send).listen(receive)
            return
        trace = traces.read(headers.getlist("traceparent"), headers.getlist("tracestate"))
        stream = JobStream(self.app, self._reason_against(admitted) or admitted, send, trace)
        await send(accept | {"hearer": stream})
        await stream.serve(receive)

    def _count(self, status: int) -> None:
        """Count an answer. Its time tells nothing: who is let in is so at once."""
        self.app.context.requests.count(self.app.route_of("GET", self.scope["path"]), "GET", status)

    def _admit(self, headers: Headers) -> None:
        """Return if the websocket may be opened. Raises: Problem."""
        check_target(self.scope)
        self.app.guard.check_handshake(headers)
        if not self.app.tells_jobs:
            raise Problem(404, "not_found", "There is no websocket here; ask without Upgrade.")
        if self.scope["path"] not in PATHS:
            detail = f"There is no websocket here but {' and '.join(PATHS)}; ask without Upgrade."
            raise Problem(404, "not_found", detail)

    async def _admitted(self, headers: Headers) -> Caller | Problem:
        """Return who asks, or why he may not, to be told on the open websocket."""
        try:
            caller = await self.app.guard.recognise(headers)
            caller.require(self.app.scope_of("GET", self.scope["path"]))
        except (Problem, StoreError, Overloaded) as refusal:
            return problem_of(refusal)
        return caller

    def _reason_against(self, admitted: Caller | Problem) -> Problem | None:
        """Return what is wrong with the query of a stream of jobs, whose client is told that on the open websocket."""
        if isinstance(admitted, Problem):
            return admitted
        names = event_query.arguments(self.scope["query_string"])
        faults = [Fault(f"/{name}", "is not a parameter of this call") for name in names]
        return incoming.bad_query(faults) if faults else None


async def _refuse(send: Any, refusal: Problem) -> None:
    body = refusal.body()
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **refusal.headers,
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
