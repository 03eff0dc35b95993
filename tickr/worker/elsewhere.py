"""Elsewhere: plain handlers, which run in a thread or in another process so that the loop goes on turning.

A thread can not be stopped from outside. Asked to stop, its handler may notice through
``trio.from_thread.check_cancelled()`` and has ``patience_s`` for it; then the thread is abandoned: its attempt ends as
unresponsive, and the thread runs on with nobody listening until it ends by itself (``abandoned``). It keeps its token,
but as many of them as there are threads are made up for by a token more each, so that the living have theirs. It is a
daemon thread, so it does not keep the program from ending. A process is killed.

State: ``abandoned`` and ``in_threads`` are written here only and read by the pool.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import outcome
import trio
import trio_parallel  # type: ignore[import-untyped]

from tickr.worker import debugger, stacks
from tickr.worker.attempt import RunningJob
from tickr.worker.failures import ProcessEnded, Unresponsive
from tickr.worker.retirement import UNBOUNDED, Bounds, Retirement

PROCESS_END_S = 2.0
"""How long processes without work may take to end at a stop before they are killed, in seconds."""
IDLE_S = 60.0
"""A process that had no work for so long ends and gives its memory back, in seconds."""
STARTS = 3
"""So often a process is started for one attempt, if signals to the whole group end it before it is ready for them."""
NICE = 10
"""How far processes step back behind the event loop, whose heartbeat must go out however many of them compute."""


class Elsewhere:
    """The threads and processes of one node.

    Args:
      slots: how many jobs run at once, in threads or in processes; as many threads may be abandoned without a loss.
      patience_s: how long a thread may take to end after it was asked to, in seconds.
      bounds: when a process ends, and another takes its place.
      on_thread_abandoned, on_thread_ended: called in trio's thread when one is abandoned, and when that one has ended.
    """

    def __init__(
        self,
        *,
        slots: int,
        patience_s: float,
        bounds: Bounds = UNBOUNDED,
        on_thread_abandoned: Callable[[RunningJob], None],
        on_thread_ended: Callable[[RunningJob], None],
    ) -> None:
        self._slots = slots
        self._threads = trio.CapacityLimiter(slots)
        self._processes = trio.CapacityLimiter(slots)
        self._patience_s = patience_s
        self._bounds = bounds
        self._on_thread_abandoned = on_thread_abandoned
        self._on_thread_ended = on_thread_ended
        self._context: trio_parallel.WorkerContext | None = None
        self.abandoned: set[RunningJob] = set()
        """The attempts that left behind a thread which still runs."""
        self.in_threads: set[RunningJob] = set()
        """The attempts that wait for a thread, to begin or to end."""
        self.has_debugger = False
        """Whether handlers may wait for a debugger; written by the worker before it runs."""

    async def in_thread(self, running: RunningJob, call: Callable[[], Any]) -> Any:
        """Return what ``call`` returns, or raise what it raises. The job's clock starts with the thread, at the latest.

        Raises: Unresponsive: it was cancelled and did not end in time; its thread is left behind.
        Cancellation: waits shielded, up to ``patience_s``, for how the thread ends; a success then is a success.
        """
        self.in_threads.add(running)
        try:
            return await self._in_thread(running, self._with_debugger(running, call))
        finally:
            self.in_threads.remove(running)

    def _with_debugger(self, running: RunningJob, call: Callable[[], Any]) -> Callable[[], Any]:
        return partial(debugger.run_allowed, running.job.id, call) if self.has_debugger else call

    async def _in_thread(self, running: RunningJob, call: Callable[[], Any]) -> Any:
        thread = _Thread(self._threads, running, call)
        try:
            ended = await trio.to_thread.run_sync(
                thread.run,
                abandon_on_cancel=True,
                limiter=thread,  # type: ignore[arg-type]  # trio asks for these two methods only
                thread_name=stacks.thread_name(running.job.id),
            )
        except trio.Cancelled:
            if not thread.started:
                raise
            with trio.move_on_after(self._patience_s, shield=True):
                await thread.ended.wait()
            if thread.how_ended is None:
                self._abandon(running, thread)
                raise Unresponsive(stacks.of_thread(thread.ident)) from None
            ended = thread.how_ended
        return ended.unwrap()

    @property
    def lost(self) -> int:
        """How many threads fewer than ``slots`` there are for jobs, because too many are abandoned."""
        return max(0, len(self.abandoned) - self._slots)

    @property
    def at_work(self) -> int:
        """How many handlers are in threads or processes just now and somebody waits for them."""
        return self._threads.borrowed_tokens - len(self.abandoned) + self._processes.borrowed_tokens

    def resize(self, slots: int) -> None:
        """Have so many slots from now on."""
        self._slots = self._processes.total_tokens = slots
        self._make_up()

    def _abandon(self, running: RunningJob, thread: _Thread) -> None:
        def ended() -> None:
            self.abandoned.remove(running)
            self._make_up()
            self._on_thread_ended(running)

        self.abandoned.add(running)
        self._make_up()
        thread.when_abandoned_ends = ended
        self._on_thread_abandoned(running)

    def _make_up(self) -> None:
        """Have a token for each slot that is not lost, beside those that the abandoned hold."""
        self._threads.total_tokens = self._slots - self.lost + len(self.abandoned)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have processes to send handlers to: started when needed, kept for a while, ended with the block."""
        async with contextlib.AsyncExitStack() as self._opened:
            yield

    async def _started(self) -> trio_parallel.WorkerContext:
        """Return where processes are kept. Made for the first of them, as its end takes a thread in any case."""
        if self._context is None:
            opening = trio_parallel.open_worker_context(
                init=_stand_back,
                retire=Retirement(self._bounds),
                grace_period=PROCESS_END_S,
                idle_timeout=IDLE_S,
            )
            self._context = await opening.__aenter__()
            self._opened.push_async_callback(_end, opening)
        return self._context

    async def in_process(self, running: RunningJob, call: partial[Any]) -> Any:
        """Return what ``call``, sent to a process of its own, returns. The job's clock starts when one is free, at the
        latest.

        Raises: ProcessEnded: by a signal or by itself, and not with the handler.
        Cancellation: the process is killed.
        """
        async with self._processes:
            running.start_clock()
            context = await self._started()
            call = partial(self._with_debugger(running, call))
            for _ in range(STARTS):
                try:
                    # Its own limiter is the one above, which stays out of the job's time.
                    return await context.run_sync(call, kill_on_cancel=True, limiter=trio.CapacityLimiter(1))
                except trio_parallel.BrokenWorkerError as error:
                    code: int | None = getattr(error.args[-1], "exitcode", None)
                # These two are ignored before the handler begins (``_stand_back``): it has not.
                if code not in (-signal.SIGTERM, -signal.SIGINT):
                    break
            raise ProcessEnded(f"Its process ended unexpectedly{_how(code)}.")


async def _end(opened: AbstractAsyncContextManager[trio_parallel.WorkerContext]) -> None:
    """End the processes. That one had to be killed, or was long since, is no matter: none of them had work."""
    with contextlib.suppress(trio_parallel.BrokenWorkerError):
        await opened.__aexit__(None, None, None)


def _how(code: int | None) -> str:
    """Return how a process ended, in brackets; "" if that is not known."""
    if code is None:
        return ""
    if code >= 0:
        return f" (exit code {code})"
    return f" (killed by signal {-code}{'; out of memory?' if code == -signal.SIGKILL else ''})"


class _Thread:
    """One call in a thread, and the limiter's token for it: trio takes it as it starts and gives it back at its end."""

    def __init__(self, limiter: trio.CapacityLimiter, running: RunningJob, call: Callable[[], Any]) -> None:
        self._limiter = limiter
        self._running = running
        self._call = call
        self.ident = 0
        self.started = False
        self.how_ended: outcome.Outcome[Any] | None = None
        self.ended = trio.Event()
        self.when_abandoned_ends: Callable[[], None] = _nothing

    def run(self) -> outcome.Outcome[Any]:
        self.ident = threading.get_ident()
        self.how_ended = outcome.capture(self._call)  # SystemExit and its like too
        return self.how_ended

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._limiter.acquire_on_behalf_of(borrower)
        self.started = True
        self._running.start_clock()

    def release_on_behalf_of(self, borrower: object) -> None:
        """Called in trio's thread, also for a thread that was abandoned."""
        self._limiter.release_on_behalf_of(borrower)
        self.ended.set()
        self.when_abandoned_ends()


def _nothing() -> None:
    pass


def _stand_back() -> None:
    """Make a new process leave signals to the node, and the processor to the node when that has work.

    Service managers and terminals signal the whole group; the node decides what becomes of its processes.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):  # where there is no such thing
        os.nice(NICE)
