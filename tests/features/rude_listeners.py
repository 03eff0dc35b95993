"""Listeners who hang up all the time and come back with their cursor, to whichever node; and what each has heard.

A third way out of many: in the middle of a frame or of the handshake, with FIN, with RST, with a word of goodbye. Some
forget the last things they heard and come back with an older cursor, and so hear them again. What each heard is kept
with where it had come back, so that ``Heard.check`` can hold it against the log itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import trio

from tests.feed_clients import (
    Closed,
    EventSource,
    Message,
    Place,
    Refused,
    WebSocket,
    connect,
    read_page,
    reset_on_close,
)
from tests.websocket_frames import upgrade

WAYS = ("websocket", "websocket", "websocket", "websocket", "sse", "pages")
PATIENCE_S = 0.5
"""On average so long a listener listens before it hangs up, in seconds."""
LONGER = 5
"""So many times longer when there is time."""
TO_THE_END_S = 30.0
NOBODY_THERE_S = 0.1
"""Pause after a node refused the connection, on average."""
NARROW_BYTES = 150
"""Read at once by those who look closely, so that their line is mostly cut within a frame."""
LEGITIMATE_CODES = {1001, 1006, 1013, 4508}
"""The node stops, is gone, has no store at the moment; or this listener was too slow."""
FORGETS = 0.1
"""How often a listener has lost the last cursors it was given."""


@dataclass
class Heard:
    """What one listener has heard.

    Attributes:
      query: its filter, as query parameters.
      cursors: the one it began with, then one for each message that was whole.
      lines: for each connection on which it heard anything, the cursor it came with, and the ids it heard, in order.
    """

    query: str
    cursors: list[str]
    lines: list[tuple[str, list[str]]] = field(default_factory=list)

    def note(self, line: list[str], message: Message, known: dict[str, str]) -> None:
        """Take a whole message, and see that cursors only go forward."""
        if not message.cursor:
            return
        before, now = Place.of(self.cursors[-1]), Place.of(message.cursor)
        assert now >= before, f"the cursor went back from {before} to {now} with {message.kind}"
        line += [known.setdefault(event.id, event.id) for event in message.events]
        self.cursors.append(message.cursor)

    def forget(self, count: int) -> None:
        del self.cursors[max(1, len(self.cursors) - count) :]

    def check(self, place_of: Mapping[str, int], due: Sequence[str]) -> None:
        """Hold everything against the log.

        Args:
          place_of: for each event id its place in the log, counting events.
          due: the ids that its filter takes, in the order of the log.
        """
        for after, line in self.lines:
            places = [place_of[event] for event in line]
            assert places == sorted(set(places)), f"out of order, or twice on one line, after {after}"
        once = list(dict.fromkeys(event for _, line in self.lines for event in line))
        assert len(once) == len(due), f"{len(due)} events were due, {len(once)} were heard"
        assert once == list(due)


@dataclass
class Crowd:
    """All of them.

    Attributes:
      ports: of the nodes.
      hung_up: how often a line was cut by a listener or by a node that went away.
      on_hang_up: called with ``hung_up`` each time.
      has_time: whether they may take their time, as they hang up faster than whatever happens meanwhile goes on.
      heard_to: a listener that has heard everything up to this row of the log may leave; None while it goes on.
    """

    ports: Sequence[int]
    random: random.Random
    hung_up: int = 0
    refused: int = 0
    heard_to: int | None = None
    known: dict[str, str] = field(default_factory=dict)
    on_hang_up: Callable[[int], None] = lambda _: None
    has_time: Callable[[], bool] = lambda: False

    async def listen(self, heard: Heard, way: str) -> None:
        """Listen and hang up until told to leave, then listen to the end without hanging up."""
        while self.heard_to is None or Place.of(heard.cursors[-1]).seq < self.heard_to:
            line: list[str] = []
            after = heard.cursors[-1]
            try:
                async with await connect(self.random.choice(self.ports)) as stream:
                    await self._listen_once(stream, heard, way, line)
            except OSError:
                self.refused += 1
                await trio.sleep(self.random.expovariate(1 / NOBODY_THERE_S))
                continue
            except trio.BrokenResourceError:
                pass
            except Closed as closed:
                if closed.code not in LEGITIMATE_CODES:
                    raise
            except Refused as refused:
                if refused.status != 503:
                    raise
            self.hung_up += 1
            self.on_hang_up(self.hung_up)
            if line:
                heard.lines.append((after, line))
            if self.heard_to is None and self.random.random() < FORGETS:
                heard.forget(self.random.randrange(1, 20))

    async def _listen_once(self, stream: trio.SocketStream, heard: Heard, way: str, line: list[str]) -> None:
        after = heard.cursors[-1]
        target = f"/events?after={quote(after)}{heard.query}"
        to_the_end = self.heard_to is not None
        if not to_the_end and self.random.random() < 0.05:
            await self._break_handshake(stream, target)
            return
        patience_s = self.random.expovariate(1 / PATIENCE_S) * (LONGER if self.has_time() else 1)
        if to_the_end:
            patience_s = TO_THE_END_S
        most = NARROW_BYTES if self.random.random() < 0.3 and not to_the_end else 65_536
        with trio.move_on_after(patience_s):
            if way == "pages":
                await self._turn_pages(stream, heard, line, most)
            else:
                await self._follow(stream, heard, line, way, target, most)
        if self.random.random() < 0.5:
            reset_on_close(stream)
        elif way == "websocket" and self.random.random() < 0.3:
            await WebSocket(stream).say_goodbye()

    async def _follow(
        self, stream: trio.SocketStream, heard: Heard, line: list[str], way: str, target: str, most: int
    ) -> None:
        client: WebSocket | EventSource
        if way == "websocket":
            client = WebSocket(stream)
            await client.open(target)
        else:
            client = EventSource(stream)
            # A browser comes back to the URL it was given, with the id of the last event in a header of its own.
            first = quote(heard.cursors[0])
            await client.open(f"/events?after={first}{heard.query}", heard.cursors[-1])
        while not self._has_everything(heard):
            heard.note(line, await client.receive(most), self.known)

    async def _turn_pages(self, stream: trio.SocketStream, heard: Heard, line: list[str], most: int) -> None:
        while not self._has_everything(heard):
            limit = self.random.choice((1, 10, 100, 1000))
            target = f"/events?after={quote(heard.cursors[-1])}&limit={limit}{heard.query}"
            page = await read_page(stream, target, most)
            assert len(page.events) <= limit
            heard.note(line, Message("events", page.cursor, page.events), self.known)
            if page.caught_up:
                await trio.sleep(self.random.random() * PATIENCE_S)

    def _has_everything(self, heard: Heard) -> bool:
        return self.heard_to is not None and Place.of(heard.cursors[-1]).seq >= self.heard_to

    async def _break_handshake(self, stream: trio.SocketStream, target: str) -> None:
        request = upgrade("localhost", target)
        await stream.send_all(request[: self.random.randrange(1, len(request) + 1)])
        if self.random.random() < 0.5:
            reset_on_close(stream)
