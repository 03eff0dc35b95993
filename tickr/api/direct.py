"""A call that is one body and one answer, carried out by the task that reads its connection (docs/decisions/0017).

Comes in: what h11 makes of a POST to one of ``Edge.direct``, in Hypercorn's events. Goes out: the answer, in one piece.
There is no task, no channel, no scope and no Quart for it. Only a call with which all goes well is served here: what is
to be refused before it has been carried out goes to Hypercorn's own stream and ``connection.py``, where refusing is at
home. Nothing is read while a call is carried out, so it is carried out also if its client goes away.

State: ``Edge.in_flight``, ``body_bytes`` and ``arriving``, as in ``connection.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import h11
import trio
from hypercorn.protocol.events import Body, EndBody, Event, StreamClosed

from tickr.api import problems
from tickr.api.call import Answer, Call, Head, Rule
from tickr.api.connection import has_room, has_room_for, too_much_at_once
from tickr.api.content import Unpacking, unpacking
from tickr.api.known_tokens import NotKnown
from tickr.api.problems import Problem, body_timeout, body_too_large, problem_of
from tickr.api.target import MAX_HEADER_BYTES
from tickr.failpoints import reach

if TYPE_CHECKING:
    from tickr.api.app import Edge


class Wire(Protocol):
    """What a call needs of its connection: ``Protocol`` in ``http1.py``."""

    def expect_body(self, until: float) -> None:
        """Call ``give_up`` if more of the body is awaited at ``until``, by trio's clock; -inf: now, inf: never."""

    async def answer(self, answer: Answer) -> None:
        """Send ``answer``, and be ready for the next request. Cancellation: the connection is cut."""

    async def fail(self) -> None:
        """Tell the client of an error past the answer, and close."""

    async def hand_over(self, request: h11.Request, refusal: Problem) -> None:
        """Have ``request`` refused by ``connection.py``, which reads the rest of its body."""


def open_stream(
    edge: Edge, wire: Wire, request: h11.Request, headers: Sequence[tuple[bytes, bytes]]
) -> DirectStream | None:
    """Return the stream for ``request``, which has ``headers``; None if it is no direct call, or is to be refused."""
    rule = edge.direct.get(request.target.decode()) if request.method == b"POST" else None
    if rule is None:
        return None
    # As in ``target.py``.
    if sum([len(name) + len(value) + 4 for name, value in headers]) > MAX_HEADER_BYTES:
        return None
    call = Call(rule.path, Head(headers))
    if int(call.headers.get("content-length", "0")) > rule.most_bytes:
        return None
    try:
        edge.guard.admit_nowait(call).require(rule.scope)
        packed = unpacking(call.headers)
    except (Problem, NotKnown):
        return None
    return DirectStream(edge, wire, rule, call, request, packed) if has_room(edge) else None


class DirectStream:
    """One call, from its head to its end, in the place of Hypercorn's ``HTTPStream``.

    Attributes:
      body_bytes: how much of its body has come, unpacked.
    """

    def __init__(
        self, edge: Edge, wire: Wire, rule: Rule, call: Call, request: h11.Request, packed: Unpacking | None = None
    ) -> None:
        self.closed = False
        self._edge = edge
        self._wire = wire
        self._rule = rule
        self._call = call
        self._request = request
        self._packed = packed
        self._body = bytearray()
        self.body_bytes = 0
        since = self._since = trio.current_time()
        edge.in_flight += 1
        edge.arriving[self] = since
        wire.expect_body(since + edge.config["BODY_TIMEOUT"])

    async def handle(self, event: Event) -> None:
        """Take what has come of the body; at its end, carry the call out and answer it.

        Cancellation: its change may have been made or not, and the connection is to be closed.
        """
        if isinstance(event, Body):
            try:
                self._take(event.data)
            except Problem as refusal:
                await self._refuse(refusal)
        elif isinstance(event, EndBody):
            await self._carry_out()
        elif isinstance(event, StreamClosed):
            self.leave()

    def _take(self, data: bytes) -> None:
        most = self._rule.most_bytes
        if self._packed is not None:
            data = self._packed.feed(data, most)
        more = len(data)
        if self.body_bytes + more > most:
            raise body_too_large(most)
        if not has_room_for(self._edge, more):
            raise too_much_at_once()
        self._body += data
        self.body_bytes += more
        self._edge.body_bytes += more

    def cancel(self) -> None:
        """Give the body up, at the next chance; see ``Reading``."""
        self._wire.expect_body(-math.inf)

    async def give_up(self) -> None:
        """The body did not come in time."""
        await self._refuse(body_timeout())

    async def _refuse(self, refusal: Problem) -> None:
        self.leave()
        await self._wire.hand_over(self._request, refusal)

    async def _carry_out(self) -> None:
        self._body_ended()
        self._call.body, self._body = bytes(self._body), bytearray()
        try:
            if self._packed is not None:
                self._packed.end()
            answer = await self._rule.carry_out(self._call)
        except Exception as error:
            answer = problems.answer(problem_of(error), self._call.path)
            await trio.lowlevel.checkpoint()  # nothing was waited for, and hundreds like it may have come at once
        requests = self._edge.context.requests
        requests.note(self._rule.path, "POST", answer.status, trio.current_time() - self._since)
        try:
            await reach("api.before_answer")
            await self._wire.answer(answer)
        except Exception:
            await self._wire.fail()
        finally:
            self.leave()

    def _body_ended(self) -> None:
        self._edge.arriving.pop(self, None)
        self._wire.expect_body(math.inf)

    def leave(self) -> None:
        """Give up its place; whatever has been read of it is dropped."""
        if not self.closed:
            self.closed = True
            self._edge.in_flight -= 1
            self._edge.body_bytes -= self.body_bytes
            self._body_ended()
