"""Watchdog: notices that the event loop stands still, says whose handler is at it, and in the end gets it out of there.

A daemon thread asks the loop for a sign of life once a second. A loop that does not answer is stuck in some handler
that blocks (``time.sleep``, ``while True``): no other job runs, no heartbeat goes out. After ``blocked_after_s`` the
stack is logged; after ``interrupt_after_s`` the main thread gets a signal whose handler raises ``HandlerBlocked`` right
there, and the attempt ends as a failure of kind ``blocked``. That is done only when the code that the signal meets is
the handler's own: never inside trio, which must not be torn, nor in Tickr, nor when another task runs by now. It is
done again at every step until the loop turns. A loop that has not turned for ``dead_after_s`` is given up: the process
says so and ends, which is all that helps against a handler that swallows every interrupt.

Times are counted in steps that this process was awake for, so a node that was stopped (SIGSTOP, a laptop's lid) and
goes on blames nobody. Where there is no ``pthread_kill`` or the loop is not in the main thread, nothing is interrupted.

State: ``_suspect`` is written by the watching thread and read by the signal handler in the main thread.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import structlog
import trio

from tickr.worker import stacks
from tickr.worker.attempt import RunningJob
from tickr.worker.failures import HandlerBlocked, is_handlers
from tickr.worker.middleware import call_within
from tickr.worker.run import call_handler

Find = Callable[[trio.lowlevel.Task], RunningJob | None]

STEPS = 5
"""``blocked_after_s`` is waited for in so many steps."""
DEAD = 70
"""Exit code of a process that gave up its loop; EX_SOFTWARE of sysexits.h."""
CALLERS = (call_handler.__code__, call_within.__code__)
"""Who calls what is not Tickr's in a worker task: handlers, and the middleware round them."""
LAST_WORDS_S = 5.0
"""How long such a process may take to get its log written, in seconds."""

DEBUGGERS = ("bdb", "cmd", "pdb")
"""Whose prompt blocks the loop because somebody wants it to."""
NOT_TO_BE_TORN = ("trio", "outcome", "trio_parallel", "structlog", *DEBUGGERS)

log = structlog.get_logger("tickr.worker")


@contextlib.contextmanager
def watch(
    find: Find,
    *,
    blocked_after_s: float = 5.0,
    interrupt_after_s: float = 10.0,
    dead_after_s: float | None = None,
    signal_number: int | None = None,
) -> Iterator[None]:
    """Watch the loop that this is entered in, until the block is left.

    Args:
      find: returns the attempt that runs directly in a task; asked from another thread (``Pool.find``).
      interrupt_after_s: more than ``blocked_after_s``, and less than the node's lease.
      dead_after_s: after so long the process is ended with exit code ``DEAD``; None: never, it belongs to others.
      signal_number: the signal to interrupt with, by default SIGUSR2; its handler is put back at the end.
    """
    watchdog = _Watchdog(
        find, blocked_after_s=blocked_after_s, interrupt_after_s=interrupt_after_s, dead_after_s=dead_after_s
    )
    thread = threading.Thread(target=watchdog.run, name="tickr watchdog", daemon=True)
    with _handles(signal_number, watchdog):
        thread.start()
        try:
            yield
        finally:
            watchdog.end()
            thread.join()


@contextlib.contextmanager
def _handles(signal_number: int | None, watchdog: _Watchdog) -> Iterator[None]:
    """Let ``watchdog`` interrupt this thread, if it can be done."""
    number = signal_number or getattr(signal, "SIGUSR2", None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main or not hasattr(signal, "pthread_kill"):
        yield
        return
    before = signal.signal(number, watchdog.interrupted)
    watchdog.signal_number = number
    try:
        yield
    finally:
        signal.signal(number, before)


class _Watchdog:
    def __init__(
        self, find: Find, *, blocked_after_s: float, interrupt_after_s: float, dead_after_s: float | None
    ) -> None:
        self._find = find
        self._interrupt_after_s = interrupt_after_s
        self._step_s = min(1.0, blocked_after_s / STEPS)
        self._pause_s = min(1.0, blocked_after_s)
        self._token = trio.lowlevel.current_trio_token()
        self._loop = threading.get_ident()
        self._suspect: trio.lowlevel.Task | None = None
        self._turned = threading.Event()
        self._ended = threading.Event()
        self._steps_to_log = round(blocked_after_s / self._step_s)
        self._steps_to_interrupt = round(interrupt_after_s / self._step_s)
        self._steps_to_death = None if dead_after_s is None else round(dead_after_s / self._step_s)
        self.signal_number: int | None = None

    def end(self) -> None:
        self._ended.set()
        self._turned.set()

    # -- in the watching thread ----------------------------------------------------------------------------------

    def run(self) -> None:
        while not self._ended.wait(self._pause_s):
            self._turned = threading.Event()
            try:
                self._token.run_sync_soon(self._turned.set)
            except trio.RunFinishedError:
                return
            self._wait_for_turn()
            self._suspect = None

    def _wait_for_turn(self) -> None:
        """Return when the loop has turned; meanwhile count how long, and how long one and the same task is at it."""
        steps = steps_of_task = 0
        task = None
        while not self._turned.wait(self._step_s) and not self._ended.is_set():
            frames = self._frames()
            found = _task(frames)
            steps, steps_of_task, task = steps + 1, steps_of_task + 1 if found is task else 1, found
            if steps == self._steps_to_log and not any(_package(frame) in DEBUGGERS for frame in frames):
                log.error("loop.blocked", **self._place(frames, task, steps))
            if steps == self._steps_to_death:
                _end_process(self._place(frames, task, steps))
            if steps_of_task >= self._steps_to_interrupt and self.signal_number and self._attempt(task):
                self._suspect = task
                signal.pthread_kill(self._loop, self.signal_number)

    def _frames(self) -> list[FrameType]:
        """Return the loop's stack, innermost frame first."""
        innermost = sys._current_frames().get(self._loop)
        return [] if innermost is None else [frame for frame, _ in traceback.walk_stack(innermost)]

    def _attempt(self, task: trio.lowlevel.Task | None) -> RunningJob | None:
        """Return whose task it is: the attempt that runs in it, or in the task that started it, and so on."""
        while task is not None:
            running = self._find(task)
            if running is not None:
                return running
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return None

    def _place(self, frames: list[FrameType], task: trio.lowlevel.Task | None, steps: int) -> dict[str, Any]:
        """Return what a log line says of a loop that stands still."""
        running = self._attempt(task)
        who = {} if running is None else {"job": running.job.id, "type": running.job.type}
        return {"seconds": round(steps * self._step_s, 1), "stack": stacks.of_frames(frames[::-1]), **who}

    # -- in the main thread, between two instructions of whatever runs there ----------------------------------------

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler: raise, if this is a moment at which only the blocking handler can notice."""
        suspect = self._suspect
        try:
            if suspect is None or trio.lowlevel.current_task() is not suspect:
                return  # it has gone on since
        except RuntimeError:
            return
        if _is_in_handler(frame, directly=self._find(suspect) is not None):
            raise HandlerBlocked(f"It kept the event loop from turning for more than {self._interrupt_after_s:g} s.")


def _end_process(place: dict[str, Any]) -> None:
    """Say that the loop is dead, get the log out, and end this process and those of its handlers. Does not return."""

    def say() -> None:
        log.critical("loop.dead", **place)
        logging.shutdown()  # whoever set up logging gets its last lines out

    try:
        # In a thread of its own: the loop's may hold for ever a lock that logging wants.
        saying = threading.Thread(target=say, name="tickr last words", daemon=True)
        saying.start()
        saying.join(LAST_WORDS_S)
        for process in multiprocessing.active_children():  # they would go on with jobs that others now start
            process.kill()
    finally:
        os._exit(DEAD)


def _task(frames: list[FrameType]) -> trio.lowlevel.Task | None:
    """Return the task that trio was running in ``frames``. Only trio's own frame tells that to another thread."""
    for frame in frames:
        if _is_trios_loop(frame):
            task = frame.f_locals.get("task")
            return task if isinstance(task, trio.lowlevel.Task) else None
    return None


def _is_trios_loop(frame: FrameType) -> bool:
    return frame.f_code.co_name == "unrolled_run" and frame.f_globals.get("__name__") == "trio._core._run"


def _is_in_handler(frame: FrameType | None, *, directly: bool) -> bool:
    """Whether everything that runs from ``frame`` outwards is the handler's, up to where Tickr or trio called it.

    Args:
      directly: the task is the worker's, which calls the handler; otherwise one that the handler started.
    """
    inside = False
    while frame is not None:
        if frame.f_code in CALLERS:
            return inside and directly
        if _is_trios_loop(frame):
            return inside and not directly
        if not _may_be_torn(frame):
            return False
        inside = True
        frame = frame.f_back
    return False


def _may_be_torn(frame: FrameType) -> bool:
    """Whether an exception out of nowhere in this frame harms nobody but the handler."""
    return is_handlers(frame) and _package(frame) not in NOT_TO_BE_TORN


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]
