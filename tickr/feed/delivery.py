"""What subscribers get: events with their places, and deliveries of them in the two forms that go over the wire.

A delivery is made once and shared by everyone who gets the same; so are its texts, made when the first of them is sent.
Nothing of it is changed afterwards, except that these texts are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from tickr import events
from tickr.events import AnyEvent
from tickr.feed import cursor
from tickr.feed.cloudevents import expand, type_of
from tickr.feed.cursor import Place
from tickr.feed.selection import Selection

MAX_EVENTS = 500
"""Events in one delivery."""
MAX_BYTES = 256 * 1024
"""A delivery ends once its events are this long together, in bytes; with the last of them it stays below the 1 MiB
that common websocket clients take by default, as no event is much longer than ``events.MAX_RESULT_BYTES``."""


class Told:
    """One event and the place after it. Its CloudEvent (``body``, JSON) is made when somebody wants it."""

    __slots__ = ("_body", "_history", "event", "place")

    def __init__(self, event: AnyEvent, history: str, place: Place) -> None:
        self.event = event
        self.place = place
        self._history = history
        self._body: bytes | None = None

    @property
    def body(self) -> bytes:
        if self._body is None:
            self._body = expand(self.event)
        return self._body

    @property
    def what(self) -> str:
        return type_of(self.event)

    @property
    def cursor(self) -> str:
        """Resumes after this event."""
        return cursor.write(self._history, self.place)


Row = tuple[int, tuple[Told, ...]]
"""A row of the log: its number and its events."""


def row(history: str, seq: int, body: str) -> Row:
    """Return the row that the store has as ``(seq, body)``."""
    told = events.decode(body)
    last = len(told)
    places = (Place(seq) if i == last else Place(seq - 1, i) for i in range(1, last + 1))
    return seq, tuple(Told(event, history, place) for event, place in zip(told, places, strict=True))


class Delivery:
    """Attributes:
    kind: ``events``: the next ones. ``caught_up``: from here on events come as they happen. ``bookmark``: nothing.
    cursor: resumes after everything delivered so far, this included.
    events: at least one with ``events``, otherwise none.
    size_bytes: how long the events are together.
    """

    __slots__ = ("_frame", "_size_bytes", "_sse", "cursor", "events", "kind")

    def __init__(
        self, kind: Literal["events", "caught_up", "bookmark"], cursor: str, events: Sequence[Told] = ()
    ) -> None:
        self.kind = kind
        self.cursor = cursor
        self.events = events
        self._size_bytes = -1
        self._frame: str | None = None
        self._sse: bytes | None = None

    @property
    def size_bytes(self) -> int:
        if self._size_bytes < 0:
            self._size_bytes = sum(len(told.body) for told in self.events)
        return self._size_bytes

    @property
    def frame(self) -> str:
        """The text of a websocket frame."""
        if self._frame is None:
            told = ""
            if self.events:
                told = f',"events":[{b",".join(told.body for told in self.events).decode()}]'
            self._frame = f'{{"kind":"{self.kind}","cursor":"{self.cursor}"{told}}}'
        return self._frame

    @property
    def sse(self) -> bytes:
        """Server-sent events; without events only the id, which a client remembers and shows to nobody."""
        if self._sse is None:
            parts = [
                b"id: %b\nevent: %b\ndata: %b\n\n" % (told.cursor.encode(), told.what.encode(), told.body)
                for told in self.events
            ]
            self._sse = b"".join(parts) or b"id: %b\n\n" % self.cursor.encode()
        return self._sse


def deliveries(told: Sequence[Told], end: str) -> Iterator[Delivery]:
    """Yield deliveries of ``told`` within the bounds; the last one has the cursor ``end``."""
    some: list[Told] = []
    size = 0
    for i, one in enumerate(told, start=1):
        some.append(one)
        size += len(one.body)
        if i == len(told) or len(some) == MAX_EVENTS or size >= MAX_BYTES:
            yield Delivery("events", end if i == len(told) else one.cursor, tuple(some))
            some, size = [], 0


def selected(rows: Sequence[Row], after: Place, selection: Selection, limit: int) -> tuple[list[Told], Place]:
    """Return the next events of ``rows`` after a place that ``selection`` takes, and the place up to which that is.

    At most ``limit`` events, and no more than fit into a delivery.

    Args:
      rows: without a gap, the first of them the one that ``after`` is in.
    """
    found: list[Told] = []
    size = 0
    for seq, told in rows:
        skip = after.taken if seq == after.seq + 1 else 0
        for one in told[skip:]:
            if selection.takes(one.event):
                found.append(one)
                size += len(one.body)
                if len(found) == limit or size >= MAX_BYTES:
                    return found, one.place
    return found, Place(rows[-1][0])
