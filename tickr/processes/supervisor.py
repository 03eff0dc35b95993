"""The supervisor: keeps ``config.processes`` processes alive behind one listening socket, until it is told to stop.

Comes in: checked settings, the command that starts this program, signals. Goes out: processes, each a node of its own,
and in the end an exit code. It has no store: what a start needs is tried by the first process, alone, and if that one
cannot serve, its reason is the whole program's.

The socket is bound here once and inherited, so connections wait in one queue: a process that dies takes none along that
it had not accepted, and the next to ask for one gets it. State: each ``_Seat`` owns its process; ``_Fleet`` owns the
socket, the wish to stop and how all ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog
import trio

from tickr.api.doors import Doors, open_doors
from tickr.api.entrance import AWAY, Listening, Tally, tally_file
from tickr.config import Config
from tickr.handle import Stop, url_of
from tickr.metrics.board import Board, board_file
from tickr.own_process import SIGNALS, TOLD
from tickr.processes.link import DRAIN, NOW, SERVING, VARIABLE, Given, Task, pack, reason_of
from tickr.readiness import READY, Notify, nobody_waits, notify_of_stop

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 10.0
"""Before a process is started again that did not last: none at first, then this, doubling, at most so long."""
STEADY_S = 10.0
"""A process that has served for so long, in seconds, did last."""
ENDS_WITHIN_S = 25.0
"""What a process may need to stop beside its grace, in seconds: answers, outcomes, its lease, the log."""
LAST_WORDS_S = 1.0
"""How long the last words of a process that has ended are waited for, in seconds."""
BAD_CONFIGURATION = 2
"""The exit code of a process that no repetition helps; see ``tickr/cli/exits.py``."""
SIGNALLED = 128
"""Added to a signal's number, it is the exit code of what the signal ended, as shells count."""

log = structlog.get_logger("tickr.processes")


class Verdict(NamedTuple):
    """How all ended.

    Attributes:
      code: exit code; 0 if every process stopped as it should.
      reason: why Tickr could not start, in the process's own words; "" if it did, or if there were none.
    """

    code: int = 0
    reason: str = ""


async def supervise(
    config: Config, command: Sequence[str], *, announce: Callable[[str], None], notify: Notify = nobody_waits
) -> Verdict:
    """Run the processes until SIGTERM or Ctrl-C: the first lets them drain, the second ends them at once.

    Args:
      command: starts this program once more; see ``tickr.processes.supervised`` for what it has to do then.
      announce: called once, with the API's URL ("" without one), when all of them serve.
      notify: tells whoever started the program that all of them serve, and that they stop.
    Raises: ConfigError: the port cannot be listened on.
    Cancellation: the processes are left behind, without their lifeline: they drain and end.
    """
    doors = open_doors(config)
    with contextlib.ExitStack() as held, trio.open_signal_receiver(*SIGNALS, *TOLD) as signals:
        held.callback(doors.close)
        fleet = _Fleet(config, command, doors)
        held.callback(fleet.close_files)
        async with trio.open_nursery() as watching:
            watching.start_soon(_obey_signals, signals, fleet)
            watching.start_soon(fleet.close_when_stopping)
            watching.start_soon(notify_of_stop, fleet.stop.draining, notify)
            async with trio.open_nursery() as seats:
                await fleet.start(seats)
                if not fleet.stop.draining.is_set():
                    url, lookout = (url_of(address, config) for address in doors.addresses)
                    told = {"metrics": lookout} if lookout else {}
                    log.info("supervisor.serving", url=url, **told, processes=config.processes)
                    announce(url)
                    notify(READY)
            watching.cancel_scope.cancel()
    return fleet.verdict


async def _obey_signals(signals: AsyncIterator[int], fleet: _Fleet) -> None:
    async for number in signals:
        if number in TOLD:
            fleet.tell(number)
            continue
        log.info("supervisor.stopping", signal=signal.Signals(number).name, grace_s=fleet.config.grace)
        fleet.stop.ask()


def pause_s(falls: int) -> float:
    """Return how long to wait before the next start, after so many processes in a row that did not last."""
    return 0.0 if falls < 2 else min(FIRST_PAUSE_S * 2.0 ** min(falls - 2, 16), MAX_PAUSE_S)


class _Fleet:
    """What the seats have in common. ``verdict`` is written by the seats: the first that is not good stands.

    ``serving``: the processes that take work, written by their seats.
    """

    def __init__(self, config: Config, command: Sequence[str], doors: Doors) -> None:
        self.config = config
        self.command = command
        self.stop = Stop()
        self.verdict = Verdict()
        self.serving: set[trio.Process] = set()
        self.doors = doors
        self.tally_file, self.board_file = tally_file(config.processes), board_file(config.processes)
        self.tally = Tally(self.tally_file, config.processes)
        self._board = Board(self.board_file, config.processes)

    def close_files(self) -> None:
        self.tally_file.close()
        self.board_file.close()

    def given(self, link: int, held: contextlib.ExitStack) -> Given:
        """Return what a process inherits. The sockets are its own while ``held`` is: a stop may close the fleet's.

        Not by ``sock.dup()``: that would make the socket block, for everybody, since all share one open file.
        """

        def lent(sock: Listening | None) -> int:
            if sock is None:
                return -1
            descriptor = os.dup(sock.fileno())
            held.callback(os.close, descriptor)
            return descriptor

        api, lookout = map(lent, self.doors)
        tally = -1 if api < 0 else self.tally_file.fileno()
        return Given(link, api, tally, lookout, self.board_file.fileno())

    def forget(self, place: int) -> None:
        """Note that the process there has ended: it could not say so itself, if it was killed."""
        self.tally[place] = AWAY
        self._board.bury(place)

    async def start(self, nursery: trio.Nursery) -> None:
        """Start all and return when they serve: the first alone, as it may make the tables, or say why it cannot."""
        first, *others = (_Seat(number, self) for number in range(1, self.config.processes + 1))
        await nursery.start(first.keep)
        if self.stop.draining.is_set():
            return
        async with trio.open_nursery() as starting:
            for seat in others:
                starting.start_soon(nursery.start, seat.keep)

    async def close_when_stopping(self) -> None:
        """Let go of the port at the stop: when the processes have, too, clients are refused instead of kept waiting."""
        await self.stop.draining.wait()
        self.doors.close()

    def tell(self, number: int) -> None:
        """Pass on a signal that ends nobody, to those that serve: before, they could not understand it."""
        for process in self.serving:
            process.send_signal(number)

    def give_up(self, verdict: Verdict) -> None:
        """Stop all of them for this reason."""
        self.judge(verdict)
        self.stop.drain()

    def judge(self, verdict: Verdict) -> None:
        if self.verdict.code == 0:
            self.verdict = verdict


class _End(NamedTuple):
    """How a process ended: exit code (negative: the signal), reason if it told one, seconds it served (None: never)."""

    code: int
    reason: str = ""
    served_s: float | None = None

    @property
    def exit_code(self) -> int:
        return self.code if self.code >= 0 else SIGNALLED - self.code


class _Seat:
    """One place among the processes: who sits in it, and after that one's death the next."""

    def __init__(self, number: int, fleet: _Fleet) -> None:
        self._number = number
        self._fleet = fleet
        self._stop = fleet.stop
        self._log = log.bind(process=number)
        self._served_at: float | None = None  # when the process that sits here began to serve

    async def keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Have a process here until the stop; ``started`` when it serves for the first time, or never will."""
        came_up = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell_when, came_up, task_status)
            await self._replace(came_up)
            came_up.set()

    async def _replace(self, came_up: trio.Event) -> None:
        falls = 0
        while True:
            end = await self._live(came_up)
            if self._stop.draining.is_set():
                verdict = _verdict_at_stop(end)
                if verdict.code:
                    self._log.error("process.ended", **_told(end))
                return self._fleet.judge(verdict)
            if not came_up.is_set():
                self._log.error("process.ended", **_told(end))
                return self._fleet.give_up(Verdict(end.exit_code or 1, end.reason))
            if end.served_s is None and end.code == BAD_CONFIGURATION:
                # The handlers' code has changed, most likely. The others go on with what they have loaded.
                self._log.error("process.given_up", **_told(end))
                return self._fleet.judge(Verdict(end.exit_code, end.reason))
            falls = 0 if (end.served_s or 0) >= STEADY_S else falls + 1
            self._tell_end(end, pause_s(falls))
            with trio.move_on_after(pause_s(falls)):
                await self._stop.draining.wait()
                return None

    def _tell_end(self, end: _End, pause: float) -> None:
        if end.code == 0 and end.served_s is not None:
            self._log.info("process.ended", **_told(end), restart_in_s=pause)
        else:
            self._log.error("process.ended", **_told(end), restart_in_s=pause)

    async def _live(self, came_up: trio.Event) -> _End:
        """Start a process and return when it has ended. At a stop there is none to start."""
        if self._stop.draining.is_set():
            return _End(0)
        self._served_at = None
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.sendall(pack(self._task()))
                try:
                    process = await self._start(theirs)
                except OSError as error:
                    return _End(1, f"The system cannot start a process: {error}")
            self._log.info("process.started", pid=process.pid)
            words: list[bytes] = []
            async with trio.open_nursery() as beside:
                link = trio.socket.from_stdlib_socket(ours)
                heard = await beside.start(self._hear, process, link, words, came_up)
                beside.start_soon(self._stop_process, process, link)
                code = await process.wait()
                self._fleet.serving.discard(process)
                with trio.move_on_after(LAST_WORDS_S):
                    await heard.wait()
                beside.cancel_scope.cancel()
        self._fleet.forget(self._number - 1)
        served_s = None if self._served_at is None else trio.current_time() - self._served_at
        return _End(code, reason_of(b"".join(words)), served_s)

    def _task(self) -> Task:
        config = self._fleet.config
        return Task(self._number, config.processes, msgspec.structs.replace(config, processes=1))

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
        self,
        process: trio.Process,
        link: trio.socket.SocketType,
        words: list[bytes],
        came_up: trio.Event,
        *,
        task_status: trio.TaskStatus[trio.Event],
    ) -> None:
        """Collect what the process says, until it says no more: that it serves, or why it does not."""
        over = trio.Event()
        task_status.started(over)
        with contextlib.suppress(OSError):
            while said := await link.recv(65_536):
                words.append(said)
                if self._served_at is None and SERVING in said:
                    self._served_at = trio.current_time()
                    self._fleet.serving.add(process)
                    came_up.set()
        over.set()

    async def _stop_process(self, process: trio.Process, link: trio.socket.SocketType) -> None:
        """Pass the stop on when it comes; kill a process that is still there when every bound of its own is over."""
        await self._stop.draining.wait()
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
