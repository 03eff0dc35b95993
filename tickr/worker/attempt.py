"""One running attempt as its worker, the pool and the watchdog share it: who it is, and how it is asked to stop.

Whoever wants an attempt to end says why (``stop``); the first reason stands and decides, in ``run.py``, how the attempt
ends. A reason is never guessed from the way a handler came back.

State: a ``RunningJob`` is made by the pool; ``reason`` is written by ``stop`` only, ``settled`` by the pool only,
``notepad`` by whoever speaks first, in any thread.
"""

from __future__ import annotations

import enum
import math
import threading
from typing import Protocol

import trio

from tickr.jobs import Job
from tickr.worker.handlers import Handler
from tickr.worker.leash import Leash
from tickr.worker.notes import Notepad

SOON_S = 5.0
"""A deadline that is further off, in seconds, is given to trio only later: most jobs end before."""


class StopReason(enum.Enum):
    CANCELLED = "cancelled"
    """Somebody asked for it: the job ends cancelled."""
    SHUTDOWN = "shutdown"
    """This node stops: the job is handed back, at no cost to it."""
    LEASE_LOST = "lease_lost"
    """Others may be running the job already: whatever this attempt does is void."""
    TIMEOUT = "timeout"
    """The job's own time is over: spends an attempt, as an error does."""


class Notetaker(Protocol):
    """Who has pads for what attempts say; ``Outcomes`` in ``outcomes.py``."""

    def open_notepad(self, job: Job) -> Notepad: ...


_opening = threading.RLock()
"""Held while a pad is opened, so that two threads of one handler never have two."""


class RunningJob:
    """A claimed job from its start until its outcome.

    Attributes:
      notepad: what it has said; None as long as it has said nothing, as most do.
      task: the worker task, while a handler runs in it.
      began_at, stopped_at: trio's time of its start (before that, of its claim) and of its stop, seconds; stopped_at is
        None without a stop.
      settled: its outcome has been given, by its worker or in its stead.
    """

    __slots__ = (
        *("_ends_at", "_leash", "_notetaker", "began_at", "handler", "job"),
        *("notepad", "reason", "settled", "stopped_at", "task"),
    )

    def __init__(self, job: Job, handler: Handler, notetaker: Notetaker) -> None:
        self.job = job
        self.handler = handler
        self.notepad: Notepad | None = None
        self.reason: StopReason | None = None
        self.began_at = trio.current_time()
        self.stopped_at: float | None = None
        self.task: trio.lowlevel.Task | None = None
        self.settled = False
        self._leash: Leash | None = None
        self._ends_at = math.inf
        self._notetaker = notetaker

    def say(self, fraction: float | None, message: str | None) -> None:
        """Take what the handler says (``handlers.Listener``). After the outcome it counts for nothing."""
        if not self.settled:
            (self.notepad or self._open_notepad()).say(fraction, message)

    def _open_notepad(self) -> Notepad:
        with _opening:
            if self.notepad is None:
                self.notepad = self._notetaker.open_notepad(self.job)
            return self.notepad

    def take(self, leash: Leash, *, clock_runs: bool) -> None:
        """Be stopped by ``leash`` from now on; the job's timeout runs from now, or from ``start_clock``."""
        self._leash = leash
        if clock_runs:
            self.start_clock()

    def let_go(self) -> None:
        """The handler has returned: its leash is the next one's."""
        self._leash = None

    def start_clock(self) -> None:
        """The job's timeout runs from now."""
        self._ends_at = (now := trio.current_time()) + self.job.timeout_us / 1_000_000
        self.look_at_clock(now)

    def look_at_clock(self, now: float) -> None:
        """Set the scope's deadline if it is near: to do so for every job at its start would cost more than most take.

        Called at the start and then at least once in ``SOON_S`` seconds.
        """
        if self._ends_at - now <= SOON_S and self._leash is not None and self._leash.scope.deadline != self._ends_at:
            self._leash.scope.deadline = self._ends_at

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to end because of ``reason``. The first reason stands; asking again changes nothing."""
        self.notice_timeout()
        if self.reason is None:
            self._stop(reason)

    def notice_timeout(self) -> None:
        """Take note if the time was over before anybody asked for a stop."""
        if self.reason is None and trio.current_time() >= self._ends_at:
            self._stop(StopReason.TIMEOUT)

    def _stop(self, reason: StopReason) -> None:
        self.reason = reason
        self.stopped_at = trio.current_time()
        if self._leash is not None:
            self._leash.scope.cancel()

    def remind(self) -> None:
        """Cancel what the handler waits for at this moment, once, and keep the cancellation from it after that.

        For one that was written off: it does not listen, and might spin on its cancellation for ever.
        """
        if self._leash is not None:
            self._leash.shelter.shield = False
            self._leash.shelter.shield = True

    def expose(self) -> None:
        """Let the cancellation through again: the program ends, and this is the handler's last chance to end first."""
        if self._leash is not None:
            self._leash.shelter.shield = False
