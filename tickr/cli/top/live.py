"""The loop of ``tickr top``: keys, the feed and readings meet in one state, and it is drawn.

The one ``State`` belongs to ``Top``; only its tasks change it. What blocks is in threads: one listens to the feed and
counts, a few read and act. They are left behind where nobody waits for them any more. A key is answered at once; what
the feed tells is drawn a few times a second, and has the list be read again a second after the last time at most.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import trio
from rich.console import Console

from tickr.cli.exits import Exit
from tickr.cli.remote import Remote
from tickr.cli.subscription import LONGEST_PAUSE_S, Sign, Subscription, Told
from tickr.cli.top import acting, model, reading
from tickr.cli.top.frame import frame
from tickr.cli.top.keys import Leave, press
from tickr.cli.top.model import Act, Link, Room, State, Wanted, wanted
from tickr.cli.top.rates import Tally
from tickr.cli.top.terminal import Terminal

FRAME_S = 0.25
"""Between two pictures, but for those that a key asks for."""
TICK_S = 1.0
"""A picture is as old as this at most: it tells ages."""
LEAST_S, NET_S = 1.0, 3.0
"""Between two readings of the same: at least, with news; at most, without."""
PATIENCE_S = 10.0
"""After so long a reading is given up, and tried again."""
READERS = 4
"""Threads that read, those included that nobody waits for any more."""
ENDED_BY = 128
"""Added to the number of the signal that ended it, it is the exit code, as shells count."""


class Top:
    """What is live, from the first picture to the last.

    Args:
      console: on the terminal that shows; ``keys``: the descriptor of the one that is typed on.
      state: what is shown first.
    """

    def __init__(self, remote: Remote, console: Console, keys: int, state: State) -> None:
        self._remote = remote
        self._console = console
        self._state = state
        self._terminal = Terminal(console, keys)
        self._tally = Tally()
        self._readers = trio.CapacityLimiter(READERS)
        self._lines = 0
        self._code = 0
        self._reading = trio.CancelScope()
        # Set once, then replaced by the task that waits for them.
        self._pressed, self._changed = trio.Event(), trio.Event()
        self._turned, self._stirred = trio.Event(), trio.Event()
        self._told = False
        """Something was counted since the last picture. The listening thread sets it, the loop takes it back."""

    async def run(self) -> int:
        """Show what there is until a key or a signal ends it; return the exit code. The terminal is as it was before.

        Cancellation: the same; what was asked for may be done or not.
        """
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP)
        with trio.open_signal_receiver(*numbers) as signals, self._terminal:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._obey, signals)
                self._nursery.start_soon(self._keys)
                self._nursery.start_soon(self._frames)
                self._nursery.start_soon(self._readings)
                self._nursery.start_soon(self._listen)
        return self._code

    def _leave(self, code: int) -> None:
        self._code = code
        self._nursery.cancel_scope.cancel()

    def _room(self) -> Room:
        return Room(self._console.width, self._console.height, self._lines)

    # -- what a person does ------------------------------------------------------------------------------------------

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGTSTP:
                self._terminal.suspend()
            elif number != signal.SIGWINCH:
                self._leave(ENDED_BY + number)
            self._turn()

    async def _keys(self) -> None:
        await self._terminal.listen(self._press)
        self._leave(0)

    def _press(self, key: str) -> None:
        before, room = self._state, self._room()
        self._state, request = press(before, key, room)
        if request is Leave.LEAVE:
            self._leave(0)
        elif request:
            self._nursery.start_soon(self._act, request)
        if wanted(before, room) != wanted(self._state, room) or (before.held and not self._state.held):
            self._turn()
        elif self._state.held and not before.held:
            self._reading.cancel()  # what is on its way would be news
        opened = self._state.opened
        self._tally.watched = opened.id if opened else None
        self._pressed.set()
        self._changed.set()

    async def _act(self, act: Act) -> None:
        said = await trio.to_thread.run_sync(acting.do, self._remote, act, abandon_on_cancel=True)
        self._state = model.done(self._state, act, said)
        self._turn()

    # -- pictures ----------------------------------------------------------------------------------------------------

    async def _frames(self) -> None:
        while True:
            self._pressed, self._changed = trio.Event(), trio.Event()
            self._draw()
            with trio.move_on_after(FRAME_S):
                await self._pressed.wait()
            with trio.move_on_after(TICK_S - FRAME_S):
                await self._changed.wait()

    def _draw(self) -> None:
        if self._told:
            self._told = False  # before the tally is read: what is added from now on tells of itself
            self._stirred.set()
        if not self._state.held:
            self._state = model.heard(replace(self._state, rates=self._tally.rates()), self._tally.events())
        found = frame(self._state, self._room(), self._console, url=self._remote.url, now=datetime.now(UTC))
        self._lines = found.lines
        self._terminal.draw(found.picture)

    # -- what the server says ----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Have what is wanted now be read at once."""
        self._turned.set()
        self._stirred.set()
        self._pressed.set()
        self._changed.set()
        self._reading.cancel()

    async def _readings(self) -> None:
        last: Wanted | None = None
        while True:
            self._turned, self._stirred = trio.Event(), trio.Event()
            asked = wanted(self._state, self._room())
            if not self._state.held or asked != last:
                with trio.CancelScope() as self._reading:
                    await self._read(asked)
                    last = asked
            with trio.move_on_after(LEAST_S):
                await self._turned.wait()
            if self._state.held:
                await self._turned.wait()
            with trio.move_on_after(NET_S - LEAST_S):
                await self._stirred.wait()

    async def _read(self, asked: Wanted) -> None:
        why = f"no answer for {PATIENCE_S:.0f} s; asking again"
        with trio.move_on_after(PATIENCE_S):
            try:
                found = await trio.to_thread.run_sync(
                    reading.read, self._remote, asked, abandon_on_cancel=True, limiter=self._readers
                )
            except Exit as no:
                why = no.message
            else:
                self._state = model.taken(self._state, asked, found.what, self._room())
                why = ""
        if why:
            self._state = model.failed(self._state, asked, why, self._room())
        self._changed.set()

    async def _listen(self) -> None:
        await trio.to_thread.run_sync(self._follow, abandon_on_cancel=True)

    def _follow(self) -> None:
        """Count what the feed tells. Runs in a thread of its own, and ends with the loop."""
        while True:
            try:
                self._count()
            except Exit as no:
                self._tally.end()
                trio.from_thread.run_sync(self._linked, Link.REFUSED, no.message)
            time.sleep(LONGEST_PAUSE_S)

    def _count(self) -> None:
        """Raises: Exit: the server refuses the feed."""
        feed = Subscription(self._remote, {}, if_expired=None)
        for item in feed:
            if isinstance(item, Told):
                self._tally.add(item.event)
                if not self._told:
                    self._told = True
                    trio.from_thread.run_sync(self._changed_by_feed)
            elif item is Sign.LOST:
                # The lists are read anew, so nothing has to be told again: the feed goes on from now.
                feed.cursor = None
                self._tally.end()
                trio.from_thread.run_sync(self._linked, Link.LOST)
            elif item is Sign.BACK:
                self._tally.begin()
                trio.from_thread.run_sync(self._linked, Link.LIVE)

    def _changed_by_feed(self) -> None:
        self._changed.set()

    def _linked(self, link: Link, why: str = "") -> None:
        self._state = model.linked(self._state, link, datetime.now(UTC), why)
        self._turn()
