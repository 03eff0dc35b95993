"""One client that listens to the feed: what a websocket and a stream of server-sent events have in common.

Three tasks: one tells the client what comes, one hears when it goes away (or says what it was not asked), one watches
for the stop; and a fourth whether its token is still good, if it has one. The first alone writes; the others end it
between two messages, never within one, so that it can still say goodbye. A client that does not take what it is sent is
cut off by ``protocol.py``; whoever cannot keep up is let go by the feed.

State: ``Audience.count``, listeners of this process, written here alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import trio

from tickr.api.callers import Caller
from tickr.api.event_query import EventQuery
from tickr.api.problems import Problem, problem_of
from tickr.feed.delivery import Delivery
from tickr.feed.subscription import Subscription

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_LISTENERS = 4_000
"""Listeners at once in a process; more are sent away."""
SHARE_OF_CONNECTIONS = 0.8
"""Nor may they take more of a process's connections than that, so that jobs still get in."""
RETRY_LISTENING_S = 5
"""What who is sent away is told to wait, in seconds."""
STOP_WITHIN_S = 0.5
"""How long a listener may take to hear that the node stops, in seconds; what is not said then stays unsaid."""


class Audience:
    """All listeners of a process.

    Attributes:
      connections: how many the server has at most, once it serves.
    """

    def __init__(self) -> None:
        self.count = 0
        self.connections = 2 * MAX_LISTENERS

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """Count one listener more while the block lasts. Raises: Problem (503): there are too many."""
        most = min(MAX_LISTENERS, int(SHARE_OF_CONNECTIONS * self.connections))
        if self.count >= most:
            detail = f"{most} clients listen to this node already."
            raise Problem(503, "too_many_listeners", detail, headers={"Retry-After": str(RETRY_LISTENING_S)})
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class Listener:
    """One of them. Subclasses say how to be told; ``listen`` does the rest.

    Args:
      admitted: who listens, or why he may not, which he is told.
    """

    def __init__(self, app: Edge, admitted: Caller | Problem) -> None:
        self._context = app.context
        self._audience = app.audience
        self._guard = app.guard
        self._admitted = admitted
        self._ending: Problem | None = None
        self._waiting = trio.CancelScope()  # round every wait that may be cut short without tearing a message
        self._tasks: trio.Nursery

    # -- for subclasses -----------------------------------------------------------------------------------------------

    def query(self) -> EventQuery:
        """Return what the client asks for. Raises: Problem."""
        raise NotImplementedError

    async def begin(self, cursor: str) -> None:
        """Tell the client that it listens, from ``cursor`` on."""
        raise NotImplementedError

    async def tell(self, delivery: Delivery) -> None:
        raise NotImplementedError

    async def end(self, problem: Problem) -> None:
        """Say goodbye, and why."""
        raise NotImplementedError

    def heard(self, message: Any) -> None:
        """Note an ASGI message of the client's that is not the news that it has gone."""

    # -- the way of a listener ----------------------------------------------------------------------------------------

    async def listen(self, receive: Any) -> None:
        """Tell the client of events until it goes, falls behind, or the node stops.

        Cancellation: it is told nothing more, and its connection is cut if something was just being said.
        """
        async with trio.open_nursery() as self._tasks:
            self._tasks.start_soon(self._hear, receive)
            self._tasks.start_soon(self._watch_stop)
            if isinstance(self._admitted, Caller) and self._admitted.token:
                self._tasks.start_soon(self._watch_token, self._admitted)
            try:
                await self._tell_all()
            except Exception as error:
                self.stop_telling(problem_of(error))
            assert self._ending is not None
            await self.end(self._ending)
            self._tasks.cancel_scope.cancel()

    def stop_telling(self, why: Problem) -> None:
        """End the telling after the message that is being sent, if any; the first reason counts."""
        if self._ending is None:
            self._ending = why
            self._waiting.cancel()

    async def _tell_all(self) -> None:
        if isinstance(self._admitted, Problem):
            raise self._admitted
        query = self.query()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._audience.seat())
            subscription: Subscription | None = None
            feed = self._context.feed
            with self._pausing():
                opening = feed.subscribe(query.selection, after=query.after)
                subscription = await stack.enter_async_context(opening)
            if subscription is not None:
                await self.begin(subscription.cursor)
                await self._tell_deliveries(subscription)

    async def _tell_deliveries(self, subscription: Subscription) -> None:
        while self._ending is None:
            delivery = None
            with self._pausing():
                delivery = await subscription.receive()
            if delivery is not None:
                await self.tell(delivery)

    def _pausing(self) -> trio.CancelScope:
        self._waiting = trio.CancelScope()
        if self._ending is not None:
            self._waiting.cancel()
        return self._waiting

    async def _hear(self, receive: Any) -> None:
        while (message := await receive())["type"] not in ("websocket.disconnect", "http.disconnect"):
            self.heard(message)
        self._tasks.cancel_scope.cancel()

    async def _watch_token(self, caller: Caller) -> None:
        self.stop_telling(await self._guard.wait_over(caller))

    async def _watch_stop(self) -> None:
        await self._context.stopping.wait()
        self._tasks.cancel_scope.deadline = trio.current_time() + STOP_WITHIN_S
        detail = "This node stops. Come back with the last cursor."
        self.stop_telling(Problem(503, "stopping", detail, headers={"Retry-After": "1"}))
