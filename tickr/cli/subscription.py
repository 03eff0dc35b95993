"""One subscription to the feed that outlives its connections: what ``tickr watch`` and ``submit --watch`` listen to.

Comes in: a ``Remote`` and what to listen for. Goes out: every event once and in order, and signs of what happens to the
connection between them. A lost connection is made again after the last cursor, for as long as it takes. All of it
blocks; Ctrl-C ends it at any point.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from itertools import chain
from typing import NamedTuple

import httpx2
import msgspec
from msgspec import Raw

from tickr.cli.exits import UNREACHABLE, Exit
from tickr.cli.remote import Refused, Remote, Unanswered
from tickr.cli.remote_records import RemoteError

EARLIEST = "earliest"
"""The place before the oldest event that the server still has."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Pauses between tries to connect, in seconds: the first, and the last after each was twice the one before."""
REMEMBERED = 4096
"""How many of the last events are known by their ids, so that none is told twice."""

EXPIRED = 410
BUSY = 429
PREFIX, JOB_PREFIX = "tickr.", "tickr.job."
ERROR = "tickr.error"
"""What the server says last when the subscription cannot go on; who comes back is told the same in full."""


class EventJob(msgspec.Struct, frozen=True):
    """The job as it was right after the event; ``version`` is None with notes, which change nothing."""

    id: str
    type: str
    queue: str
    state: str
    version: int | None
    attempt: int
    max_attempts: int
    run_at: str


class EventData(msgspec.Struct, frozen=True):
    """``job`` is None where it happened to something else; with ``schedule.skipped``, how many ticks and why.

    ``node``: the id of the one that a job ran on; of an event that happened to a node, all that is told of it.
    """

    job: EventJob | None = None
    reason: str = ""
    count: int = 0
    node: str | dict[str, object] | None = None
    result: Raw = Raw(b"null")
    result_bytes: int = 0
    error: RemoteError | None = None
    progress: float | None = None
    message: str | None = None
    name: str | None = None
    data: Raw = Raw(b"null")
    dropped: int = 0
    encrypted: bool = False


class RemoteEvent(msgspec.Struct, frozen=True):
    """An event as the feed shows it; fields that a newer server adds are left aside."""

    id: str
    type: str
    time: str
    data: EventData
    subject: str = ""

    @property
    def what(self) -> str:
        """``created`` of a job, ``schedule.paused`` of a schedule."""
        return self.type.removeprefix(JOB_PREFIX).removeprefix(PREFIX)


class Told(NamedTuple):
    """An event and the JSON it came as, one line."""

    event: RemoteEvent
    raw: bytes


class Sign(Enum):
    """What is no event but may be worth a word.

    QUIET: nothing more happened so far. LOST: the connection is gone, and is tried again. BACK: it goes on where it
    was. MISSED: it goes on, but the cursor had expired meanwhile; what is told next are not the next events.
    """

    QUIET = auto()
    LOST = auto()
    BACK = auto()
    MISSED = auto()


class Subscription:
    """To be opened; then iterating gives events and signs until ``Exit`` is raised.

    Args:
      filters: the query's ``job``, ``queue``, ``type``, ``event``; empty ones ask for nothing.
      after: a cursor, EARLIEST, or None for from now on.
      if_expired: where to go on when the cursor has expired while the connection was lost; as ``after``.
    Attributes:
      cursor: resumes after everything told so far.
      heard_at: when the server said something last, in seconds since 1970 by this machine's clock.
    """

    def __init__(
        self,
        remote: Remote,
        filters: Mapping[str, Sequence[str]],
        *,
        after: str | None = None,
        if_expired: str | None = EARLIEST,
    ) -> None:
        self._remote = remote
        self._filters = {name: wanted for name, wanted in filters.items() if wanted}
        self._if_expired = if_expired
        self._pause_s = FIRST_PAUSE_S
        self._seen: dict[str, None] = {}
        self._messages: Iterator[httpx2.ServerSentEvent] = iter(())
        self.cursor = after
        self.heard_at = time.time()

    def open(self) -> None:
        """Subscribe: what happens from now on is told. Raises: Exit."""
        query = self._filters | ({"after": self.cursor} if self.cursor else {})
        messages = self._remote.events(query)
        # With the first id there is a cursor; were the connection lost before, nobody could say what was missed.
        first = next(message for message in messages if message.id)
        self._messages = chain([first], messages)

    def __iter__(self) -> Iterator[Told | Sign]:
        while True:
            try:
                for message in self._messages:
                    yield from self._taken(message)
            except Unanswered:
                yield Sign.LOST
            yield self._open_again()

    def words(self, sign: Sign) -> str:
        """Return what a person is told about ``sign``; "" for nothing."""
        if sign is Sign.LOST:
            return "connection lost; trying again …"
        if sign is Sign.BACK:
            return "back; nothing was missed"
        if sign is Sign.MISSED:
            since = datetime.fromtimestamp(self.heard_at).astimezone().isoformat(" ", "seconds")
            whence = "from the earliest that it has" if self._if_expired else "from now"
            return f"back; of the events since {since} the server no longer has all, so some were missed; on {whence}"
        return ""

    def _taken(self, message: httpx2.ServerSentEvent) -> Iterator[Told | Sign]:
        self.heard_at = time.time()
        if message.event == ERROR:
            return
        if not message.data:
            self.cursor = message.id or self.cursor
            yield Sign.QUIET
            return
        event = _read(message.data)
        if event.id not in self._seen:
            self._remember(event.id)
            yield Told(event, message.data.encode())
        # Only now: the caller has it.
        self.cursor = message.id or self.cursor
        self._pause_s = FIRST_PAUSE_S

    def _remember(self, event_id: str) -> None:
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _open_again(self) -> Sign:
        """Subscribe after the last cursor, however long it takes. Raises: Exit: there is no use in trying."""
        sign = Sign.BACK
        while True:
            # The pause is not reset by a connection alone: it may be cut at once, time and again.
            time.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            try:
                self.open()
            except Unanswered:
                continue
            except Refused as no:
                if no.status == EXPIRED and self.cursor != self._if_expired:
                    self.cursor, sign = self._if_expired, Sign.MISSED
                    self._pause_s = FIRST_PAUSE_S
                elif no.status < 500 and no.status != BUSY:
                    raise
            else:
                return sign


def _read(data: str) -> RemoteEvent:
    try:
        return msgspec.json.decode(data, type=RemoteEvent)
    except msgspec.DecodeError:
        raise Exit("What comes from the feed is of too different a version of Tickr.", UNREACHABLE) from None
