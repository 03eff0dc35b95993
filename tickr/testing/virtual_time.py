"""Virtual time: trio's clock jumps whenever all tasks wait, and Tickr's store goes by it.

trio's autojump counts tasks only: while a thread computes, or an answer is on its way through a socket, it sees
everybody waiting, and hours go by in no time. So before each wait of the loop this looks whether there is such work.
While a thread or a process is busy no time passes; once it has been for ``SLOW_S`` real seconds, time passes as fast as
for real, so that its time-out can come. While somebody waits for a socket, time jumps only after ``IO_S`` of silence.

A thread of our own counts the seconds in which the loop turned and time did not jump; a test that hangs is ended by
that (``stuck``), and one that stands at a debugger's prompt is not.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tickr.instants import EPOCH, datetime_of
from tickr.store.contract import us_of

SLOW_S = 5.0
"""A thread that is busy for longer takes its time in virtual seconds as well, in real seconds. A process that is new
takes a second and more to begin where there is much to do."""
IO_S = 0.05
"""How long nothing must come through any socket before time jumps while somebody waits for one, in real seconds."""
TICK_S = 0.5
"""How often real time is looked at, in seconds."""
UNWIND_S = 15.0
"""How long what runs may take to end after the end of the test, in real seconds; longer than threads are waited for."""
DUST_S = 6e-7
"""What is to happen at an instant may be late by so much, as sums of seconds are not exact; less than a microsecond."""

WAITING = ("tasks_waiting_read", "tasks_waiting_write", "tasks_waiting_overlapped", "tasks_waiting")
"""What trio calls the tasks that wait for a socket, a pipe or the like; each system has some of these."""

_wreckage: list[object] = []

NO_VIRTUAL_TIME = (
    "tickr.testing needs trio's virtual clock, and this trio runs with a real one. Put @running(jobs) over the test; "
    "with pytest-trio, name autojump_clock among the arguments of the test itself; "
    "with trio.run, give it clock=trio.testing.MockClock()."
)


class VirtualTime(trio.abc.Instrument):
    """The time of one test; a context manager inside of trio.

    Args:
      start: the instant that it is at first.
      stuck_s: how many real seconds may go by without a jump.
      at_work: how many handlers are in threads or processes just now, beside those in trio's own threads.
      alone: nobody but Tickr runs at the moment, which waits for no sockets.
    Attributes:
      stuck: set once time has not jumped for ``stuck_s``.
    Raises: RuntimeError: trio's clock is a real one.
    """

    def __init__(
        self, start: datetime, *, stuck_s: float, at_work: Callable[[], int], alone: Callable[[], bool]
    ) -> None:
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, MockClock):
            raise RuntimeError(NO_VIRTUAL_TIME)
        self._clock = clock
        self._began_s = clock.current_time()
        self._start_us = round((start - EPOCH).total_seconds() * 1_000_000)
        self._stuck_s = stuck_s
        self._at_work = at_work
        self._alone = alone
        self.stuck = trio.Event()
        self._limiter = trio.to_thread.current_default_thread_limiter()
        self._token = trio.lowlevel.current_trio_token()
        self._before = clock.autojump_threshold, clock.rate
        self._threshold = 0.0
        self._changed = trio.Event()
        self._seen_s = -math.inf
        self._still_s = self._held_s = 0.0
        self._abort: Callable[[], BaseException] | None = None
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="tickr real time", daemon=True)

    def __enter__(self) -> VirtualTime:
        self._at_rest = max(1, _waiting_for_io())  # trio itself waits to be woken by threads
        self._clock.autojump_threshold, self._clock.rate = 0.0, 0.0
        trio.lowlevel.add_instrument(self)
        self._pulse.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        trio.lowlevel.remove_instrument(self)
        self._clock.autojump_threshold, self._clock.rate = self._before
        self._pulse.join()

    # -- instants -----------------------------------------------------------------------------------------------------

    def now_us(self) -> int:
        """Return the store's clock, microseconds since 1970 UTC. Any thread may ask."""
        return self._start_us + round((self._clock.current_time() - self._began_s) * 1_000_000)

    @property
    def start_us(self) -> int:
        return self._start_us

    @property
    def now(self) -> datetime:
        return datetime_of(self.now_us())

    async def pass_until(self, at_us: int) -> None:
        """Return at the instant ``at_us``, when all that is to happen at it and before has happened."""
        next_s = until_s = self._began_s + (at_us - self._start_us) / 1_000_000
        while next_s <= until_s + DUST_S:
            await trio.sleep_until(next_s)
            await self.settle()
            next_s = trio.current_time() + trio.lowlevel.current_statistics().seconds_to_next_deadline

    async def pass_for(self, seconds: float) -> None:
        await self.pass_until(self.now_us() + us_of(seconds))

    async def settle(self) -> None:
        """Return when all wait for time to pass, and no thread or socket is waited for."""
        while True:
            await wait_all_tasks_blocked(IO_S if 0 < self._threshold < math.inf else 0.0)
            if self._threshold < math.inf:
                return
            await self._changed.wait()

    # -- before each wait of the loop ---------------------------------------------------------------------------------

    def before_io_wait(self, timeout: float) -> None:
        if self._ended.is_set():
            return
        wanted = self._wanted()
        if wanted != self._threshold:
            self._threshold = self._clock.autojump_threshold = wanted
            self._clock.rate, self._held_s = 0.0, 0.0
            # The wait that follows was reckoned by the old one: this ends it, and no jump comes after it.
            self._token.run_sync_soon(self._tell_changed, idempotent=True)

    def _wanted(self) -> float:
        """Return how long all must have waited, in real seconds, before time jumps."""
        if self._limiter.borrowed_tokens or self._at_work():
            return math.inf
        return 0.0 if self._alone() or _waiting_for_io() <= self._at_rest else IO_S

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- real time ----------------------------------------------------------------------------------------------------

    def goes_on(self) -> None:
        """The test itself does something, if only at this instant: it does not hang."""
        self._still_s = 0.0

    def abort_if_stuck(self, because: Callable[[], BaseException]) -> None:
        """From now on, if what runs does not end within ``UNWIND_S``, break trio's loop with ``because()``.

        It takes no leave of its tasks then, and none of them is ever tidied up. That is better than to hang for ever.
        """
        self.goes_on()
        self._abort = because

    def _beat(self) -> None:
        """In a thread: have the loop count while it turns. One that does not turn (a debugger) counts nothing."""
        while not self._ended.wait(TICK_S):
            try:
                self._token.run_sync_soon(self._tick, idempotent=True)
            except trio.RunFinishedError:
                return

    def _tick(self) -> None:
        now_s, held = self._clock.current_time(), self._threshold == math.inf
        self._still_s = 0.0 if now_s != self._seen_s and not held else self._still_s + TICK_S
        self._held_s = self._held_s + TICK_S if held else 0.0
        if self._held_s >= SLOW_S:
            self._clock.rate = 1.0
        self._seen_s = now_s
        if self._still_s >= self._stuck_s:
            self.stuck.set()
        if self._abort and self._still_s >= UNWIND_S:
            error = self._abort()
            self._ended.set()
            _break(self._clock, error)


def _waiting_for_io() -> int:
    """Return how many tasks wait for a socket, a pipe or the like."""
    found = trio.lowlevel.current_statistics().io_statistics
    return sum(getattr(found, name, 0) for name in WAITING)


def _break(clock: MockClock, error: BaseException) -> None:
    """Have trio's loop end by ``error``: nothing else gets past a task that swallows every cancellation."""

    def fail() -> float:
        raise error

    # What is left of the tasks is kept: to collect it would run their code once more, in the middle of other tests.
    _wreckage.append(trio.lowlevel.current_root_task())
    clock._real_clock = fail
