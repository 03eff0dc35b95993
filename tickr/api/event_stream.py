"""``GET /events`` as server-sent events: for EventSource in browsers, curl, and every HTTP client that can stream.

Answered beside Quart, so that no time limit of its cuts the stream, and the stream does not count as a request at work.
What cannot begin is a problem document; what cannot go on ends in order, and the client comes back by itself with
``Last-Event-ID``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio
from quart import Request, Response

from tickr.api import event_query
from tickr.api.callers import Caller
from tickr.api.event_query import EventQuery
from tickr.api.listener import STOP_WITHIN_S, Listener
from tickr.api.problems import Problem
from tickr.feed.delivery import Delivery

if TYPE_CHECKING:
    from tickr.api.app import Edge

RECONNECT_MS = 1_000
"""When an EventSource comes back after its stream has ended, in milliseconds."""
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx and its likes pass each event on as it comes
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
_QUIET_ENDINGS = frozenset({"stopping", "too_slow"})
"""After these the client has only to come back, which it does by itself."""


def is_wanted(request: Request) -> bool:
    """Whether ``request`` takes server-sent events at all: nobody else names this type."""
    if "text/event-stream" not in request.headers.get("Accept", "").lower():
        return False
    return any(_is_stream(kind) and quality > 0 for kind, quality in request.accept_mimetypes)


def _is_stream(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


def query_of(request: Request) -> EventQuery:
    return event_query.read_query(request.args, pages=False, last_event_id=request.headers.get("Last-Event-ID"))


def head() -> Response:
    """Return what HEAD answers: a stream without its events."""
    return Response(b"", 200, dict(HEADERS))


class EventStream(Listener):
    """One stream.

    Attributes:
      refusal: why it did not begin; nothing was sent then.
    """

    def __init__(
        self, app: Edge, admitted: Caller | Problem, request: Request, send: Any, *, hear: Callable[[Any], None]
    ) -> None:
        super().__init__(app, admitted)
        self.heard = hear  # type: ignore[assignment,method-assign]
        self._request = request
        self._send = send
        self._begun = False
        self.refusal: Problem | None = None

    def query(self) -> EventQuery:
        return query_of(self._request)

    async def begin(self, cursor: str) -> None:
        self._begun = True
        headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._say(b"retry: %d\nid: %b\n\n" % (RECONNECT_MS, cursor.encode()))

    async def tell(self, delivery: Delivery) -> None:
        await self._say(delivery.sse)

    async def end(self, problem: Problem) -> None:
        if not self._begun:
            self.refusal = problem
            return
        if problem.code not in _QUIET_ENDINGS:
            await self._say(b"event: tickr.error\ndata: %b\n\n" % problem.body())
        # The answer to this is the news that the client is gone, while the connection is still being put back to idle.
        with trio.CancelScope(shield=True, relative_deadline=STOP_WITHIN_S):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _say(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})
