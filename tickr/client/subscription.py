"""One subscription to the feed that outlives its connections: where it is, what was told, when to come back.

Bytes of a stream of server-sent events come in, ``Event``s go out, each once and in order. A connection that is lost is
made again after the last cursor, for as long as it takes. Pure but for its own state; the faces read and connect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from tickr.client import answers
from tickr.client.calls import texts
from tickr.client.errors import ClientError, CursorExpired, Unavailable, Unexpected
from tickr.client.event_records import Event
from tickr.client.pauses import Pauses, retry_after_s
from tickr.client.steps import Lost, Reply, Request

SILENCE_S = 20.0
"""Longest silence on the feed, in seconds, before the connection is taken for lost; Tickr speaks every 10."""
MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Longest event that is taken; Tickr's own stay below 2 MiB."""
REMEMBERED = 4096
"""How many of the last events are known by their ids, so that none is told twice."""
ERROR = "tickr.error"
"""What the server says last when a subscription cannot go on; who comes back is told the same in full."""

_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
_event = msgspec.json.Decoder(Event).decode


class Message(NamedTuple):
    event: str
    data: bytes
    id: str | None


class Subscription:
    """Attributes:
    cursor: the place after everything that was told; None before the first connection, if it begins from now on.
    """

    def __init__(
        self, url: str, filters: Mapping[str, Any], after: str | None, *, total_s: float, now: Callable[[], float]
    ) -> None:
        self._url = url
        self._filters = {name: texts(value) for name, value in filters.items() if value is not None}
        self._total_s = total_s
        self._now = now
        self._pauses = Pauses()
        self._began = now()
        self._opened = False
        self._rest = b""
        self._seen: dict[str, None] = {}
        self.cursor = after

    def request(self) -> Request:
        """Return what to ask for next, and forget what was left of the last connection."""
        self._rest = b""
        after = {} if self.cursor is None else {"after": self.cursor}
        return Request("GET", "/events", query={**self._filters, **after}, headers=_HEADERS)

    def pause_s(self) -> float:
        """Return how long to wait before connecting, in seconds."""
        return max(0.0, self._pauses.not_before - self._now())

    def lost(self, reply: Reply | Lost) -> None:
        """A connection broke, or was refused. Raises: ClientError: trying again is of no use.

        Once a subscription was open it is tried for as long as it takes; before that, no longer than ``total_s``.
        """
        if isinstance(reply, Reply) and reply.status not in answers.AGAIN:
            raise self._refused(reply)
        self._pauses.failed(self._now(), 0.0 if isinstance(reply, Lost) else retry_after_s(reply.headers))
        if not self._opened and self._pauses.not_before > self._began + self._total_s:
            why = reply.reason if isinstance(reply, Lost) else f"HTTP {reply.status}"
            raise Unavailable(f"{self._url} did not open the feed within {self._total_s:g} s: {why}.")

    def told(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that end in ``chunk``; what follows the last stays for the next. Raises: Unexpected."""
        for message in self._messages(chunk):
            self._opened = True
            if message.event != ERROR and message.data:
                event = self._read(message)
                if event.id not in self._seen:
                    self._remember(event.id)
                    self._pauses.succeeded()
                    yield event
            if message.id:
                self.cursor = message.id

    @property
    def opened(self) -> bool:
        """Whether there is a place to come back to: what happens from now on is told."""
        return self._opened and self.cursor is not None

    def _messages(self, chunk: bytes) -> Iterator[Message]:
        # Each message ends with an empty line; Tickr ends its lines with \n.
        *whole, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise Unexpected(f"An event of {self._url} is longer than {MAX_EVENT_BYTES} bytes.")
        for lines in whole:
            fields = dict(_field(line) for line in lines.split(b"\n"))
            place = fields.get(b"id")
            yield Message(
                fields.get(b"event", b"").decode(), fields.get(b"data", b""), None if place is None else place.decode()
            )

    def _read(self, message: Message) -> Event:
        try:
            event = _event(message.data)
        except msgspec.MsgspecError:
            raise Unexpected(f"What comes from the feed of {self._url} is of too different a version.") from None
        return msgspec.structs.replace(event, cursor=message.id or self.cursor or "")

    def _remember(self, event_id: str) -> None:
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _refused(self, reply: Reply) -> ClientError:
        refusal = answers.refusal_of(reply)
        if refusal is None:
            return answers.not_tickr(reply, self._url)
        error = refusal.error()
        if isinstance(error, CursorExpired):
            error.add_note("List the jobs again with list(), and listen after its feed_cursor; or after 'earliest'.")
        return error


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")
