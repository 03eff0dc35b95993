"""The bell: hints between tasks and processes that something changed. Losing a ring costs time, never truth.

A ring is heard by every listener of this process at once, and by those of other processes if the bell is shared
(Redis pub/sub). Whoever listens also has a slow net of its own (a poll of a second or more), so rings are sent without
waiting for anybody, dropped when a listener's buffer is full, and dropped in silence while Redis is away.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import structlog
import trio

from tickr.errors import IndexUnavailable
from tickr.redis_link.address import RedisAddress, parse_redis_url

if TYPE_CHECKING:
    from tickr.redis_link.link import RedisLink

log = structlog.get_logger()


class Ring(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hint.

    Attributes:
      kind: ``due``: something was put into the index that is due at ``at``. ``work``: something may be claimed.
        ``cancel``: the running job ``job`` shall be stopped. ``timeout``: it has got another time-out. ``queue``: a
        queue was used for the first time, or something was set on one; ``at``: then a pause there is over. ``free``: a
        job of the limited queue ``queue`` has ended. ``feed``: there are new events. ``schedule``: a schedule has a
        tick at ``at`` that nobody may know of. ``expiry``: a job was stored that expires at ``at``. ``operation``:
        there is a new one to go on with. ``node``: the node ``node`` was told to do something. ``links``: a job was
        stored that waits for others.
      at: microseconds UTC, with ``due``, ``schedule`` and ``expiry``, and sometimes with ``queue``.
      job, fence: which attempt, with ``cancel`` and ``timeout``.
    """

    kind: Literal[
        "due", "work", "cancel", "queue", "free", "feed", "schedule", "expiry", "operation", "node", "links", "timeout"
    ]
    at: int | None = None
    job: str | None = None
    fence: int | None = None
    queue: str | None = None
    node: str | None = None


class Bell(Protocol):
    def ring_nowait(self, *rings: Ring) -> None:
        """Send hints. Never raises for a bell that is away, and never waits."""
        ...

    async def ring(self, *rings: Ring) -> None:
        """As ``ring_nowait``, then give way to other tasks. Cancellation: all have been sent."""
        ...

    def listen(self, *kinds: str) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Ring]]:
        """Open a listener for ``kinds`` (at least one). Rings sent from inside the block on are heard, in order.

        The channel holds up to 256 rings; when it is full, new ones are dropped for this listener.
        """
        ...


LAST_WORDS_S = 1.0
"""How long the last rings may take to be published on closing, in seconds."""
LISTENER_BUFFER = 256
"""Rings that one listener may have before it; whoever is that far behind polls sooner than it would catch up."""


class LocalBell:
    """A bell for one process. ``ring`` hands over before it gives way to other tasks."""

    def __init__(self) -> None:
        self._listeners: dict[trio.MemorySendChannel[Ring], frozenset[str]] = {}

    def ring_nowait(self, *rings: Ring) -> None:
        """Put ``rings`` before everybody here who listens for them."""
        for ring in rings:
            for listener, kinds in self._listeners.items():
                if ring.kind in kinds:
                    with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                        listener.send_nowait(ring)

    async def ring(self, *rings: Ring) -> None:
        self.ring_nowait(*rings)
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def listen(self, *kinds: str) -> AsyncIterator[trio.MemoryReceiveChannel[Ring]]:
        if not kinds:
            raise ValueError("listen for at least one kind")
        send, receive = trio.open_memory_channel[Ring](LISTENER_BUFFER)
        with send, receive:
            self._listeners[send] = frozenset(kinds)
            try:
                yield receive
            finally:
                del self._listeners[send]


class Message(msgspec.Struct, frozen=True):
    """What goes over the channel: who rang (first, to know one's own by how they begin), and what."""

    sender: str
    rings: list[Ring]


class RedisBell:
    """A bell for all processes of one namespace. Opened by ``open_bell``.

    Here a ring is heard at once. For the others it is put into a bounded line from which one task publishes whatever
    has come together, so that nobody who rings waits for Redis, and a burst is one message.
    """

    MAX_UNSENT = 1024
    MAX_PUBLISHED_AT_ONCE = 256
    SEND_WITHIN_S = 0.5  # to begin; Redis has its own time to answer

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._channel = link.address.key("bell")
        self._name = secrets.token_hex(8)
        self._mine = msgspec.json.encode(Message(self._name, []))[:-2]  # how each of our own messages begins
        self._local = LocalBell()
        self._in_hand: list[Ring] = []
        self._outbox, self._unsent = trio.open_memory_channel[Ring](self.MAX_UNSENT)
        self._decode = msgspec.json.Decoder(Message).decode

    def ring_nowait(self, *rings: Ring) -> None:
        self._local.ring_nowait(*rings)
        with contextlib.suppress(trio.WouldBlock):
            for ring in rings:
                self._outbox.send_nowait(ring)

    async def ring(self, *rings: Ring) -> None:
        self.ring_nowait(*rings)
        await trio.lowlevel.checkpoint()

    def listen(self, *kinds: str) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Ring]]:
        return self._local.listen(*kinds)

    async def publish(self) -> None:
        """Publish what is rung here, until cancelled."""
        async for ring in self._unsent:
            self._in_hand = [ring, *self._take_unsent(self.MAX_PUBLISHED_AT_ONCE - 1)]
            await self._publish(self._in_hand)
            self._in_hand = []

    async def publish_last(self) -> None:
        """Publish what is still unsent, shielded: what a publisher that was cut off had in hand, and the line."""
        with trio.move_on_after(LAST_WORDS_S, shield=True):
            if rings := [*self._in_hand, *self._take_unsent(self.MAX_UNSENT)]:
                await self._publish(rings)

    def _take_unsent(self, limit: int) -> list[Ring]:
        rings: list[Ring] = []
        with contextlib.suppress(trio.WouldBlock):
            while len(rings) < limit:
                rings.append(self._unsent.receive_nowait())
        return rings

    async def _publish(self, rings: list[Ring]) -> None:
        once = list(dict.fromkeys(rings))  # the feed's come in hundreds, all alike
        body = msgspec.json.encode(Message(self._name, once))
        # What was taken out of the line is sent even if we are cancelled. Dropped when Redis is away.
        with trio.move_on_after(self.SEND_WITHIN_S, shield=True), contextlib.suppress(IndexUnavailable):
            await self._link.send(("PUBLISH", self._channel, body))

    async def hear(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver what others ring, until cancelled; started once subscribed, or once Redis is known to be away."""
        opened = trio.Event()

        def open_now() -> None:
            if not opened.is_set():
                opened.set()
                task_status.started()

        while True:
            with contextlib.suppress(IndexUnavailable):
                async with self._link.subscribe(self._channel) as next_message:
                    open_now()
                    while True:
                        self._heard(await next_message())
            open_now()
            await self._link.state.wait_up()

    def _heard(self, body: bytes) -> None:
        if body.startswith(self._mine):  # here it was heard at once
            return
        try:
            message = self._decode(body)
        except msgspec.DecodeError as error:  # ValidationError is one
            log.warning("bell.not_understood", channel=self._channel, problem=str(error))
            return
        self._local.ring_nowait(*message.rings)


def open_bell(url: str) -> AbstractAsyncContextManager[Bell]:
    """Return the context manager of the bell that goes with the index at ``url``: in process for ``heap:``, or Redis.

    Raises: ConfigError: the URL is faulty. A Redis that cannot be reached is no error.
    """
    return _open_local() if url == "heap:" else _open_redis(parse_redis_url(url))


@asynccontextmanager
async def _open_local() -> AsyncIterator[LocalBell]:
    yield LocalBell()


@asynccontextmanager
async def _open_redis(address: RedisAddress) -> AsyncIterator[RedisBell]:
    from tickr.redis_link.link import open_link  # it takes long to load, and not every node has a Redis

    means = "other processes notice changes by their own slow looks until it is back"
    async with open_link(address, role="bell", means=means) as link, trio.open_nursery() as nursery:
        bell = RedisBell(link)
        nursery.start_soon(bell.publish)
        await nursery.start(bell.hear)
        try:
            yield bell
        finally:
            await bell.publish_last()
            nursery.cancel_scope.cancel()
