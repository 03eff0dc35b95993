"""Seat: one place among the processes. It starts a process, hears what it says, and has another take its place.

Comes in: what all seats have in common (``Fleet``), the wish that this one be given up (``leave``). Goes out: a process
that lives for as long as it should, and what it told of its load. State: each seat owns its process, and notes how that
does; the supervisor reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from typing import NamedTuple

import msgspec
import structlog
import trio

from tickr.processes.fleet import Fleet, Verdict
from tickr.processes.link import DRAIN, NOW, SERVING, VARIABLE, Lines, Task, load_of, pack, reason_of
from tickr.processes.scaling import Place
from tickr.values import Range
from tickr.worker.load import Load

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 10.0
"""Before a process is started again that did not last: none at first, then this, doubling, at most so long."""
STEADY_S = 10.0
"""A process that has served for so long, in seconds, did last."""
ENDS_WITHIN_S = 25.0
"""What a process may need to stop beside its grace, in seconds: answers, outcomes, its lease, the log."""
LAST_WORDS_S = 1.0
"""How long the last words of a process that has ended are waited for, in seconds."""
TOLD_LATELY_S = 3.0
"""What a process told of its load holds for so long, in seconds."""
BAD_CONFIGURATION = 2
"""The exit code of a process that no repetition helps; see ``tickr/cli/exits.py``."""
SIGNALLED = 128
"""Added to a signal's number, it is the exit code of what the signal ended, as shells count."""

log = structlog.get_logger("tickr.processes")


def pause_s(falls: int) -> float:
    """Return how long to wait before the next start, after so many processes in a row that did not last."""
    return 0.0 if falls < 2 else min(FIRST_PAUSE_S * 2.0 ** min(falls - 2, 16), MAX_PAUSE_S)


class _End(NamedTuple):
    """How a process ended: exit code (negative: the signal), reason if it told one, seconds it served (None: never)."""

    code: int
    reason: str = ""
    served_s: float | None = None

    @property
    def exit_code(self) -> int:
        return self.code if self.code >= 0 else SIGNALLED - self.code


class Seat:
    """One place among the processes: who sits in it, and after that one's death the next.

    Args:
      number: of the place, from 1.
      added: while the others serve already. If it cannot start, they go on.
    Attributes:
      leaving: nobody will sit here any more once who does has ended.
    """

    def __init__(self, number: int, fleet: Fleet, *, added: bool = False) -> None:
        self.number = number
        self.leaving = trio.Event()
        self._fleet = fleet
        self._stop = fleet.stop
        self._log = log.bind(process=number)
        self._came_up = trio.Event()
        if added:
            self._came_up.set()
        self._falls = 0
        self._served_at: float | None = None  # when the process that sits here began to serve
        self._load: Load | None = None
        self._told_at = 0.0
        self._reason = ""

    def leave(self) -> None:
        """Have who sits here stop gracefully, as by SIGTERM, and nobody take the place."""
        self.leaving.set()

    def place(self, now: float) -> Place:
        """Return what there is to know for ``Scaling``."""
        serves_s = None if self._served_at is None else now - self._served_at
        steady = serves_s is not None and (self._falls == 0 or serves_s >= STEADY_S)
        return Place(steady, self._load if now - self._told_at <= TOLD_LATELY_S else None)

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have a process here until it is to leave; ``started`` when it serves for the first time, or never will."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell_when, self._came_up, task_status)
            await self._replace()
            self._came_up.set()

    async def _replace(self) -> None:
        while True:
            end = await self._live()
            if self.leaving.is_set():
                return self._judge_stop(_verdict_at_stop(end), end)
            if not self._came_up.is_set():
                self._log.error("process.ended", **_told(end))
                return self._fleet.give_up(Verdict(end.exit_code or 1, end.reason))
            if end.served_s is None and end.code == BAD_CONFIGURATION:
                # The handlers' code has changed, most likely. The others go on with what they have loaded.
                self._log.error("process.given_up", **_told(end))
                return self._fleet.judge(Verdict(end.exit_code, end.reason))
            self._falls = 0 if (end.served_s or 0) >= STEADY_S else self._falls + 1
            self._tell_end(end, pause_s(self._falls))
            with trio.move_on_after(pause_s(self._falls)):
                await self.leaving.wait()
                return None

    def _judge_stop(self, verdict: Verdict, end: _End) -> None:
        if verdict.code:
            self._log.error("process.ended", **_told(end))
        if self._stop.draining.is_set():  # how one ended that left before says nothing of the whole
            self._fleet.judge(verdict)

    def _tell_end(self, end: _End, pause: float) -> None:
        if end.code == 0 and end.served_s is not None:
            self._log.info("process.ended", **_told(end), restart_in_s=pause)
        else:
            self._log.error("process.ended", **_told(end), restart_in_s=pause)

    async def _live(self) -> _End:
        """Start a process and return when it has ended. At a stop there is none to start."""
        if self.leaving.is_set():
            return _End(0)
        self._served_at = self._load = None
        self._reason = ""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.sendall(pack(self._task()))
                try:
                    process = await self._start(theirs)
                except OSError as error:
                    return _End(1, f"The system cannot start a process: {error}")
            self._log.info("process.started", pid=process.pid)
            async with trio.open_nursery() as beside:
                link = trio.socket.from_stdlib_socket(ours)
                heard = await beside.start(self._hear, process, link)
                beside.start_soon(self._stop_process, process, link)
                code = await process.wait()
                self._fleet.serving.discard(process)
                with trio.move_on_after(LAST_WORDS_S):
                    await heard.wait()
                beside.cancel_scope.cancel()
        self._fleet.forget(self.number - 1)
        served_s = None if self._served_at is None else trio.current_time() - self._served_at
        self._served_at = self._load = None
        return _End(code, self._reason, served_s)

    def _task(self) -> Task:
        config = self._fleet.config
        bounds, alone = config.processes, msgspec.structs.replace(config, processes=Range(1, 1))
        return Task(self.number, bounds.most, bounds.least < bounds.most, alone)

    async def _start(self, link: socket.socket) -> trio.Process:
        """Start this program anew, not a fork of it. In a session of its own: Ctrl-C is for the supervisor alone."""
        with contextlib.ExitStack() as held:
            given = self._fleet.given(link.fileno(), held)
            return await trio.lowlevel.open_process(
                self._fleet.command,
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor for descriptor in given if descriptor >= 0],
                env={**os.environ, VARIABLE: given.written()},
                start_new_session=True,
            )

    async def _hear(
        self, process: trio.Process, link: trio.socket.SocketType, *, task_status: trio.TaskStatus[trio.Event]
    ) -> None:
        """Note what the process says, until it says no more."""
        over, lines = trio.Event(), Lines()
        task_status.started(over)
        with contextlib.suppress(OSError):
            while received := await link.recv(65_536):
                for line in lines.read(received):
                    self._note(process, line)
        over.set()

    def _note(self, process: trio.Process, line: bytes) -> None:
        if line == SERVING and self._served_at is None:
            self._served_at = trio.current_time()
            self._fleet.serving.add(process)
            self._came_up.set()
        elif load := load_of(line):
            self._load, self._told_at = load, trio.current_time()
        elif reason := reason_of(line):
            self._reason = reason

    async def _stop_process(self, process: trio.Process, link: trio.socket.SocketType) -> None:
        """Pass the stop on when it comes; kill a process that is still there when every bound of its own is over."""
        await self.leaving.wait()
        await _say(link, DRAIN)
        with trio.move_on_after(self._fleet.config.grace + ENDS_WITHIN_S):
            await self._stop.now.wait()
        if self._stop.now.is_set():
            await _say(link, NOW)
            await trio.sleep(ENDS_WITHIN_S)
        self._log.error("process.killed", pid=process.pid)
        process.kill()


async def _tell_when(came_up: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    await came_up.wait()
    task_status.started()


async def _say(link: trio.socket.SocketType, word: bytes) -> None:
    with contextlib.suppress(OSError):  # it has ended; who waits for it sees that
        await link.send(word)


def _told(end: _End) -> dict[str, object]:
    """Return what the log says of an end; -9 is more at home there as SIGKILL."""
    how: dict[str, object] = {"code": end.code}
    if end.code < 0:
        with contextlib.suppress(ValueError):
            how = {"signal": signal.Signals(-end.code).name}
    served = None if end.served_s is None else round(end.served_s, 1)
    return {**how, "served_s": served, **({"reason": end.reason} if end.reason else {})}


def _verdict_at_stop(end: _End) -> Verdict:
    # A process that was reached by a signal before it could handle one had nothing yet to stop.
    if end.served_s is None and end.code in (-signal.SIGTERM, -signal.SIGINT):
        return Verdict()
    return Verdict(end.exit_code)
