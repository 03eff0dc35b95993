"""One running attempt as its worker, the pool and the watchdog share it: who it is, and how it is asked to stop.

Whoever wants an attempt to end says why (``stop``); the first reason stands and decides, in ``run.py``, how the attempt
ends. A reason is never guessed from the way a handler came back.

State: a ``RunningJob`` is made by the pool; ``reason`` is written by ``stop`` only, ``settled`` by the pool only,
``notepad`` and ``bookmark`` by whoever needs them first, in any thread; ``job`` is as it was claimed, but for what
``kin.py`` notes there, and its timeout.
"""

from __future__ import annotations

import enum
import math
import threading
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import trio

from tickr.jobs import Job
from tickr.reports import Outcome, Statement
from tickr.worker.bookmark import Bookmark
from tickr.worker.emitter import Emitter
from tickr.worker.handlers import Handler
from tickr.worker.kin import Family, Kin
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
    CHILDREN = "children"
    """It waits for its children: it is run again when they have ended, at no cost to it."""
    BATCH = "batch_stopped"
    """Another job of its batch was stopped, and with it the handler: it is run again, at no cost to it."""


class Notetaker(Protocol):
    """Who has pads for what attempts say, bookmarks, a place for children; ``Outcomes`` in ``outcomes.py``."""

    @property
    def family(self) -> Family:
        """Where children go; asked for only by handlers that have some."""
        ...

    def open_notepad(self, job: Job) -> Notepad:
        """Return where an attempt's handler says what; any thread may ask."""
        ...

    def open_bookmark(self, job: Job) -> Bookmark:
        """Return where an attempt's handler keeps what; any thread may ask."""
        ...

    def end_statement(self, job: Job, result: str | None, schema: str | None) -> Statement:
        """Return by what an attempt's handler writes its end, which is then looked for; any thread may ask.

        Raises: RuntimeError: this store has no database that a handler could write to.
        """
        ...

    def open_emitter(self, pad: Notepad) -> Emitter:
        """Return what an attempt's handler emits events with; any thread may ask."""
        ...


class Sink(Notetaker, Protocol):
    """Where outcomes go; ``Outcomes``, too."""

    def put(self, outcome: Outcome) -> None:
        """Take an outcome, never waiting."""
        ...

    async def wait_room(self) -> None:
        """Return when there is room for the outcomes of new jobs."""
        ...


class Company(Protocol):
    """The attempts of a batch, for which one handler is called; ``gathering.py``."""

    @property
    def leader(self) -> RunningJob:
        """In whose task it runs."""
        ...

    def stop(self, reason: StopReason) -> None:
        """Stop all of them, as one was stopped for ``reason``. After the end of the handler nothing happens."""
        ...


_opening = threading.RLock()
"""Held while a pad or a bookmark is opened, so that two threads of one handler never have two."""


class RunningJob:
    """A claimed job from its start until its outcome.

    Attributes:
      record: ``job`` as its handler sees it: with its payload opened, where that is encrypted.
      notepad: what it has said; None as long as it has said nothing, as most do.
      bookmark: what it keeps for the attempts after it; None as long as it has not asked for one, as most do not.
      task: the worker task, while a handler runs in it.
      began_at, stopped_at: trio's time of its start (before that, of its claim) and of its stop, seconds; stopped_at is
        None without a stop.
      company: those with whom it is in one batch, from the call of the handler on.
      settled: its outcome has been given, by its worker or in its stead.
    """

    __slots__ = (
        *("_clock_at", "_emitter", "_ends_at", "_kin", "_leash", "_notetaker", "began_at", "bookmark", "company"),
        *("handler", "job"),
        *("notepad", "reason", "record", "settled", "stopped_at", "task"),
    )

    def __init__(self, job: Job, handler: Handler, notetaker: Notetaker) -> None:
        self.job = self.record = job
        self.handler = handler
        self.notepad: Notepad | None = None
        self.bookmark: Bookmark | None = None
        self.reason: StopReason | None = None
        self.began_at = trio.current_time()
        self.stopped_at: float | None = None
        self.task: trio.lowlevel.Task | None = None
        self.company: Company | None = None
        self.settled = False
        self._leash: Leash | None = None
        self._emitter: Emitter | None = None
        self._clock_at = self._ends_at = math.inf
        self._notetaker = notetaker
        self._kin: Kin | None = None

    @property
    def kin(self) -> Kin:
        """Its children and what its job depends on (``view.Listener``)."""
        if self._kin is None:
            self._kin = Kin(self._notetaker.family, self)
        return self._kin

    def await_children(self) -> None:
        if self.company is not None:
            raise RuntimeError("job.children would end the whole batch; await children in a handler of single jobs")
        self.stop(StopReason.CHILDREN)

    def say(self, fraction: float | None, message: str | None, data: str | None = None) -> None:
        """Take what the handler says (``view.Listener``). After the outcome it counts for nothing."""
        if not self.settled:
            (self.notepad or self._open_notepad()).say(fraction, message, data)

    def open_emitter(self) -> Emitter:
        """Return what puts events on the feed (``view.Listener``). Raises: RuntimeError: its attempt has ended."""
        if self.settled:
            raise RuntimeError("this attempt has ended; what it would emit counts for nothing")
        with _opening:
            if self._emitter is None:
                self._emitter = self._notetaker.open_emitter(self.notepad or self._open_notepad())
            return self._emitter

    def _open_notepad(self) -> Notepad:
        with _opening:
            if self.notepad is None:
                self.notepad = self._notetaker.open_notepad(self.job)
            return self.notepad

    @property
    def shared(self) -> Any:
        """What the handlers of its node share (``view.Listener``)."""
        return self.handler.shared

    def open_bookmark(self) -> Bookmark:
        """Return what the handler keeps values in (``view.Listener``). Raises: RuntimeError: its attempt has ended."""
        if self.settled:
            raise RuntimeError("this attempt has ended; what it would keep counts for nothing")
        with _opening:
            if self.bookmark is None:
                self.bookmark = self._notetaker.open_bookmark(self.job)
            return self.bookmark

    def end_statement(self, result: str | None, schema: str | None) -> Statement:
        """Return by what its end is written (``view.Listener``). Raises: RuntimeError: the attempt has ended."""
        made = self._notetaker.end_statement(self.job, result, schema)
        if self.settled:  # asked only now: an outcome that is put after this knows that there may be an end
            raise RuntimeError("this attempt has ended; what it would write counts for nothing")
        return made

    def close(self) -> None:
        """The attempt has ended: what it has said and kept goes to the store in front of its outcome."""
        self.settled = True
        if self.notepad is not None:
            self.notepad.close()
        if self.bookmark is not None:
            self.bookmark.close()

    def take(self, leash: Leash, *, clock_runs: bool) -> None:
        """Be stopped by ``leash`` from now on; the job's timeout runs from now, or from ``start_clock``."""
        self._leash = leash
        if clock_runs:
            self._start_clock()

    def let_go(self) -> None:
        """The handler has returned: its leash is the next one's."""
        self._leash = None

    @property
    def has_begun(self) -> bool:
        """Whether its handler has been called, or its middleware, or is about to be: the job's time runs."""
        return self._ends_at != math.inf

    def start_clock(self) -> None:
        """The job's timeout runs from now, unless it does already: middleware is a part of the attempt."""
        if self._ends_at == math.inf:
            self._start_clock()

    def _start_clock(self) -> None:
        self._clock_at = now = trio.current_time()
        self._ends_at = now + self.job.timeout_us / 1_000_000
        self.look_at_clock(now)

    def change_timeout(self, job: Job) -> None:
        """Have the timeout of ``job``, which is this attempt's as it is stored now: counted from where it ever was.

        One whose time was over before is stopped for that all the same.
        """
        self.notice_timeout()
        self.job = msgspec.structs.replace(self.job, timeout_us=job.timeout_us, version=job.version)
        if self._clock_at == math.inf or self.reason is not None:
            return
        self._ends_at = self._clock_at + job.timeout_us / 1_000_000
        if self._leash is not None:
            self._leash.scope.deadline = math.inf
        self.look_at_clock(trio.current_time())

    def look_at_clock(self, now: float) -> None:
        """Set the scope's deadline if it is near: to do so for every job at its start would cost more than most take.

        Called at the start and then at least once in ``SOON_S`` seconds.
        """
        if self._ends_at - now <= SOON_S and self._leash is not None and self._leash.scope.deadline != self._ends_at:
            self._leash.scope.deadline = self._ends_at

    @property
    def stop_reason(self) -> str | None:
        """Why it was asked to stop, for who asks from inside the attempt (``view.Listener``), in any thread."""
        if trio.lowlevel.in_trio_run():
            self.notice_timeout()
        return None if self.reason is None else self.reason.value

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to end because of ``reason``. The first reason stands; asking again changes nothing."""
        self.notice_timeout()
        if self.reason is None:
            self._stop(reason)

    @property
    def quiet_until(self) -> float:
        """Until when, in trio's time, nobody has to look at its clock: long past if it has to be looked at anyway."""
        if self.task is None or self.stopped_at is not None or self._ends_at == math.inf:
            return -math.inf
        return self._ends_at - SOON_S

    def notice_timeout(self) -> None:
        """Take note if the time was over before anybody asked for a stop."""
        if self.reason is None and trio.current_time() >= self._ends_at:
            self._stop(StopReason.TIMEOUT)

    def _stop(self, reason: StopReason) -> None:
        self.reason = reason
        self.stopped_at = trio.current_time()
        if self._leash is not None:
            self._leash.scope.cancel(f"job {self.job.id}: {reason.value}")
        if self.company is not None:
            self.company.stop(reason)

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


class Zombie(NamedTuple):
    """A handler that was asked to stop, did not, and was left behind. ``since`` is trio's time, seconds."""

    job_id: str
    type: str
    where: Literal["task", "thread"]
    since: float


def left_behind(running: RunningJob, where: Literal["task", "thread"]) -> Zombie:
    """Return how ``running`` is told of once it is left behind."""
    return Zombie(running.job.id, running.job.type, where, running.stopped_at or math.nan)
