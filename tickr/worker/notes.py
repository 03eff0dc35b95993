"""Notes: what running attempts say (how far they are, lines for their log), on its way to the store, not too often.

``tickr.Job`` brings it in, from whatever thread the handler runs in, and never waits. Each attempt that says anything
has a ``Notepad``. In rounds, eight a second at most and never two on their way, what the pads hold goes into the line
to the store; what a pad holds at its attempt's end goes there right before the outcome. Of one attempt at most
``KEPT_A_SECOND`` are kept in any second: what it said last of each kind waits for its turn, what it said before that
is left out. Lines are also kept with the job (``logbook.py``), and all of them.

State: ``_lines`` and ``_progress`` of a pad are filled by any thread and emptied in trio's; ``in_round`` is set by any
thread. Everything else is written in trio's thread.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from tickr.errors import Overloaded
from tickr.jobs import Job
from tickr.reports import Lines, Note
from tickr.worker import logbook
from tickr.worker.logbook import Logbook

ROUND_S = 0.125
"""Shortest time between two rounds, in seconds; an attempt that reports all the time is kept as evenly as this."""
KEPT_A_SECOND = 10
"""So many notes of one attempt are kept in any second, by the instants at which they were said."""
STEADY = KEPT_A_SECOND - 2
"""So many while it runs; the others are for the last progress and the last line, which are always kept."""
MAX_LINES = 10
"""Lines of one attempt that wait for the next round; of more, the oldest are left out."""
MAX_IN_LINE = 3 * (MAX_LINES + 3) + 1 + logbook.MAX_IN_LINE
"""So much of one attempt is in the line at most: a round's notes, those of its end, those that go with an event, that
event, and the lines to keep.

The notes are the lines, a progress, and one of each kind that had to wait before.
"""
MAX_LOG_MESSAGE = 2_000
MAX_PROGRESS_MESSAGE = 500
"""Longer messages are cut, in characters."""

SECOND_US = 1_000_000


def cut(message: str, limit: int) -> str:
    """Return ``message`` as at most ``limit`` characters that everybody can store and show."""
    if len(message) > limit:
        message = f"{message[: limit - 1]}…"
    # Lone surrogates can not be encoded, and NUL ends a text for more programs than one would think.
    return message.encode("utf-8", "replace").decode().replace("\0", "?")


class _Said(NamedTuple):
    """One thing said. ``order`` grows within the attempt; ``line`` numbers the lines alone, 0 for progress."""

    order: int
    at: int
    line: int
    fraction: float | None
    message: str | None
    data: str | None = None


class Notepad:
    """What one attempt has said and what is not on its way yet. Bounded."""

    __slots__ = (
        *("_job", "_kept_at", "_last_line", "_line_numbers", "_lines", "_logbook", "_notes", "_number", "_orders"),
        *("_progress", "_waiting", "closed", "in_round"),
    )

    def __init__(self, job: Job, notes: Notes) -> None:
        self._job = job
        self._notes = notes
        self._orders = itertools.count()
        self._line_numbers = itertools.count(1)
        self._lines: deque[_Said] = deque(maxlen=MAX_LINES)
        self._progress: deque[_Said] = deque(maxlen=1)
        self._waiting: list[_Said] = []  # at most one of each kind, in their order
        self._kept_at: deque[int] = deque(maxlen=STEADY)  # when the last so many were kept
        self._number = 0
        self._last_line = 0
        self._logbook = Logbook(job, notes.kept_lines)
        self.in_round = False
        self.closed = False

    def say(self, fraction: float | None, message: str | None, data: str | None = None) -> None:
        """Take a progress, or with ``fraction`` None a line. Never waits; any thread may call it."""
        # Nothing but single steps that no other thread can get into: a lock could be met again by a finalizer.
        at = self._notes.now_us()
        if fraction is None:
            number = next(self._line_numbers)
            self._lines.append(_Said(next(self._orders), at, number, None, message))
            self._logbook.add(number, at, message or "")
        else:
            self._progress.append(_Said(next(self._orders), at, 0, fraction, message, data))
        if not self.in_round:
            self.in_round = True
            self._notes.take_along(self)

    def tell(self, name: str, data: str) -> trio.Event:
        """Put an event of the application's own into the line, behind what was said before; see ``emitter.py``.

        In trio's thread. Returns what is set when it is stored.
        """
        said: list[Note | Lines] = [*self.take(now := self._notes.now_us())]
        self._number += 1
        said.append(Note(job=self._job, kind="emitted", number=self._number, at=now, message=name, data=data))
        return self._notes.put(said)

    def close(self) -> None:
        """The attempt has ended: put into the line what it said, the last of each kind whatever came before."""
        self.closed = True
        notes = self.take(self._notes.now_us())
        notes += [self._note(said) for said in self._waiting]
        said: list[Note | Lines] = [*notes, *self._logbook.take(ended=True)]
        if said:
            self._notes.put(said)

    def take(self, now: int) -> list[Note]:
        """Return what is kept of what was said until ``now`` (microseconds), in its order."""
        notes = list[Note]()
        for said in self._emptied():
            self._waiting = [one for one in self._waiting if bool(one.line) is not bool(said.line)] + [said]
            self._keep(notes, said.at)
        self._keep(notes, now)
        return notes

    def take_lines(self) -> list[Lines]:
        """Return what is to be kept with the job of what was logged until now."""
        return self._logbook.take()

    @property
    def waits(self) -> bool:
        """Whether there is something that may not be kept yet."""
        return bool(self._waiting)

    def _emptied(self) -> list[_Said]:
        said = []
        for pile in (self._lines, self._progress):
            with contextlib.suppress(IndexError):
                while True:
                    said.append(pile.popleft())
        return sorted(said)

    def _keep(self, notes: list[Note], now: int) -> None:
        while self._waiting and self._has_room(now):
            self._kept_at.append(now)
            notes.append(self._note(self._waiting.pop(0)))

    def _has_room(self, now: int) -> bool:
        kept = self._kept_at
        return len(kept) < STEADY or not 0 <= now - kept[0] < SECOND_US  # below 0: the clock was set back

    def _note(self, said: _Said) -> Note:
        self._number += 1
        if not said.line:
            return Note(
                job=self._job,
                kind="progress",
                number=self._number,
                at=said.at,
                fraction=said.fraction,
                message=said.message,
                data=said.data,
            )
        # With several threads at it, a line may be taken before one that was said a moment earlier.
        dropped = max(0, said.line - self._last_line - 1)
        self._last_line = max(self._last_line, said.line)
        return Note(job=self._job, kind="log", number=self._number, at=said.at, message=said.message, dropped=dropped)


class Notes:
    """The pads of one process. Made in trio's thread; ``run`` must be running.

    Args:
      now_us: the store's clock, microseconds UTC; asked by any thread.
      put: puts them into the line to the store, in their order, and returns what is set when they are stored.
      kept_lines: how many lines of a job are kept with it; 0: none, they are told and no more.
    """

    def __init__(
        self, now_us: Callable[[], int], put: Callable[[Sequence[Note | Lines]], trio.Event], *, kept_lines: int = 0
    ) -> None:
        self.now_us = now_us
        self.put = put
        self.kept_lines = kept_lines
        self._speaking: dict[Notepad, None] = {}  # a set that keeps its order
        self._woken = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    def open(self, job: Job) -> Notepad:
        """Return the pad of an attempt; ``job`` is the record as it was claimed. Any thread may ask."""
        return Notepad(job, self)

    def take_along(self, pad: Notepad) -> None:
        """Ask ``pad`` in the next round. Any thread may call it, once for each round."""
        if threading.get_ident() == self._thread:
            self._add(pad)
            return
        with contextlib.suppress(trio.RunFinishedError):  # a thread that was left behind, and outlives it all
            self._token.run_sync_soon(self._add, pad)

    def _add(self, pad: Notepad) -> None:
        self._speaking[pad] = None
        self._woken.set()

    async def run(self) -> None:
        """Put what running attempts say into the line, round by round, until cancelled."""
        while True:
            await self._woken.wait()
            stored = self._round()
            await trio.sleep(ROUND_S)
            if stored is not None:
                # While the store is slow or away, pads throw out the old for the new instead of queueing up.
                await stored.wait()

    def _round(self) -> trio.Event | None:
        speaking, self._speaking = self._speaking, {}
        self._woken = trio.Event()
        said, now = list[Note | Lines](), self.now_us()
        for pad in speaking:
            if pad.closed:
                continue
            pad.in_round = False  # before it is emptied: whoever speaks from now on asks for the next round
            said += [*pad.take(now), *pad.take_lines()]
            if pad.waits:
                pad.in_round = True
                self._add(pad)
        with contextlib.suppress(Overloaded):  # said after the last outcomes have gone: nobody can hear it any more
            return self.put(said) if said else None
        return None
