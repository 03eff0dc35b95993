"""``GET /events`` as a websocket: one object for each that ``handshake.py`` has let in.

Answered beside Quart, as the stream is (``event_stream.py``): one task alone writes, so that no frame is torn and the
last one says why it ends, by an error frame and a close code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from hypercorn.typing import WebsocketScope

from tickr.api import event_query, wire
from tickr.api.callers import Caller
from tickr.api.event_query import PATH as PATH
from tickr.api.event_query import EventQuery
from tickr.api.listener import Listener
from tickr.api.problems import Problem
from tickr.feed.delivery import Delivery

if TYPE_CHECKING:
    from tickr.api.app import Edge

LINGER_S = 1.0
"""How long a client may take to answer a close, in seconds. Closed before, its kernel may drop what came last."""

CLOSE_CODES = {
    "stopping": 1001,
    "store_unavailable": 1013,
    "too_many_listeners": 1013,
    "too_slow": 4508,
}
"""By the code of the problem; otherwise by its status."""
_CLOSE_CODES_OF_STATUS = {400: 4400, 401: 4401, 403: 4403, 410: 4410, 503: 1013}
INTERNAL_ERROR = 1011


def close_code(problem: Problem) -> int:
    return CLOSE_CODES.get(problem.code) or _CLOSE_CODES_OF_STATUS.get(problem.status, INTERNAL_ERROR)


class SocketListener(Listener):
    def __init__(self, app: Edge, admitted: Caller | Problem, scope: WebsocketScope, send: Any) -> None:
        super().__init__(app, admitted)
        self._scope = scope
        self._send = send

    def query(self) -> EventQuery:
        return event_query.read_query(event_query.arguments(self._scope["query_string"]), pages=False)

    async def begin(self, cursor: str) -> None:
        await self._say(wire.encode({"kind": "subscribed", "cursor": cursor}).decode())

    async def tell(self, delivery: Delivery) -> None:
        await self._say(delivery.frame)

    def heard(self, message: Any) -> None:
        if message["type"] == "websocket.receive":
            self.stop_telling(Problem(400, "unexpected_message", "Nothing is to be sent on this websocket."))

    async def end(self, problem: Problem) -> None:
        await self._say(error_frame(problem))
        await self._send({"type": "websocket.close", "code": close_code(problem), "reason": problem.code})
        # The client's close ends the wait: then there is nobody to listen any more.
        await trio.sleep(LINGER_S)

    async def _say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "bytes": None, "text": text})


def error_frame(problem: Problem) -> str:
    frame: dict[str, object] = {"kind": "error", "code": problem.code, "detail": problem.detail}
    if problem.faults:
        frame["errors"] = problem.errors()
    return wire.encode(frame | dict(problem.members)).decode()
