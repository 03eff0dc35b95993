"""The supervisor: keeps processes alive behind one listening socket, as many as there should be, until told to stop.

Comes in: checked settings, the command that starts this program, signals. Goes out: processes, each a node of its own,
and in the end an exit code. It has no store: what a start needs is tried by the first process, alone, and if that one
cannot serve, its reason is the whole program's.

The socket is bound here once and inherited, so connections wait in one queue: a process that dies takes none along that
it had not accepted, and the next to ask for one gets it. Where ``config.processes`` is a range, there are more with the
load: ``scaling.py`` decides, by what the processes tell. State: each ``Seat`` owns its process; ``Fleet`` owns the
socket, the wish to stop and how all ended; which seats there are is written by ``_Seats`` alone.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence

import structlog
import trio

from tickr.api.doors import Doors, open_doors
from tickr.config import Config
from tickr.handle import url_of
from tickr.own_process import SIGNALS, TOLD
from tickr.processes.fleet import Fleet, Verdict
from tickr.processes.scaling import GROW_AFTER_S, SHRINK_AFTER_S, Place, Scaling
from tickr.processes.seat import Seat
from tickr.readiness import READY, Notify, nobody_waits, notify_of_stop

LOOK_S = 1.0
"""Pause between two looks at whether there should be more processes or fewer, in seconds."""

log = structlog.get_logger("tickr.processes")


async def supervise(
    config: Config, command: Sequence[str], *, announce: Callable[[str], None], notify: Notify = nobody_waits
) -> Verdict:
    """Run the processes until SIGTERM or Ctrl-C: the first lets them drain, the second ends them at once.

    Args:
      command: starts this program once more; see ``tickr.processes.supervised`` for what it has to do then.
      announce: called once, with the API's URL ("" without one), when those serve that there are at least.
      notify: tells whoever started the program that they serve, and that they stop.
    Raises: ConfigError: the port cannot be listened on.
    Cancellation: the processes are left behind, without their lifeline: they drain and end.
    """
    doors = open_doors(config)
    with contextlib.ExitStack() as held, trio.open_signal_receiver(*SIGNALS, *TOLD) as signals:
        held.callback(doors.close)
        fleet = Fleet(config, command, doors)
        held.callback(fleet.close_files)
        async with trio.open_nursery() as watching:
            watching.start_soon(_obey_signals, signals, fleet)
            watching.start_soon(fleet.close_when_stopping)
            watching.start_soon(notify_of_stop, fleet.stop.draining, notify)
            async with trio.open_nursery() as nursery:
                seats = _Seats(fleet, nursery)
                watching.start_soon(seats.leave_when_stopping)
                await seats.start()
                if not fleet.stop.draining.is_set():
                    _tell_all_serve(config, doors, announce, notify)
                    watching.start_soon(seats.scale)
            watching.cancel_scope.cancel()
    return fleet.verdict


def _tell_all_serve(config: Config, doors: Doors, announce: Callable[[str], None], notify: Notify) -> None:
    url, lookout = (url_of(address, config) for address in doors.addresses)
    told = {"metrics": lookout} if lookout else {}
    log.info("supervisor.serving", url=url, **told, processes=config.processes.least)
    announce(url)
    notify(READY)


async def _obey_signals(signals: AsyncIterator[int], fleet: Fleet) -> None:
    async for number in signals:
        if number in TOLD:
            fleet.tell(number)
            continue
        log.info("supervisor.stopping", signal=signal.Signals(number).name, grace_s=fleet.config.grace)
        fleet.stop.ask()


class _Seats:
    """The seats that there are, by number. ``nursery``: where they are kept; it ends when the last one has."""

    def __init__(self, fleet: Fleet, nursery: trio.Nursery) -> None:
        self._fleet = fleet
        self._nursery = nursery
        self._seats: dict[int, Seat] = {}

    async def start(self) -> None:
        """Start as many as there are at least and return when they serve.

        The first starts alone, as it may make the tables, or say why it cannot.
        """
        await self._nursery.start(self._keep, self._new())
        if self._fleet.stop.draining.is_set():
            return
        async with trio.open_nursery() as starting:
            for _ in range(1, self._fleet.config.processes.least):
                starting.start_soon(self._nursery.start, self._keep, self._new())

    async def leave_when_stopping(self) -> None:
        await self._fleet.stop.draining.wait()
        for seat in self._seats.values():
            seat.leave()

    async def scale(self) -> None:
        """Have more with the load and fewer without it, until cancelled."""
        bounds = self._fleet.config.processes
        scaling = Scaling(bounds)
        while bounds.least < bounds.most:
            await trio.sleep(LOOK_S)
            # A place that was given up tells that nobody new can start.
            if self._fleet.stop.draining.is_set() or self._fleet.verdict.code:
                return
            now = trio.current_time()
            staying = {seat: seat.place(now) for seat in self._seats.values() if not seat.leaving.is_set()}
            by = scaling.look(now, list(staying.values()), leaving=len(self._seats) - len(staying))
            if by > 0:
                self._add()
            elif by < 0:
                self._remove(staying)

    def _add(self) -> None:
        seat = self._new(added=True)
        reason = f"due jobs have waited for every process for {GROW_AFTER_S:g} s"
        log.info("processes.added", process=seat.number, processes=self._staying, reason=reason)
        self._nursery.start_soon(self._keep, seat)

    def _remove(self, staying: dict[Seat, Place]) -> None:
        """Take the one away that does the least, of several the last."""
        seat = min(staying, key=lambda seat: (_share(staying[seat]), -seat.number))
        seat.leave()
        reason = f"there was little to do for {SHRINK_AFTER_S:g} s"
        log.info("processes.removed", process=seat.number, processes=self._staying, reason=reason)

    @property
    def _staying(self) -> int:
        return sum(not seat.leaving.is_set() for seat in self._seats.values())

    def _new(self, *, added: bool = False) -> Seat:
        number = next(number for number in range(1, len(self._seats) + 2) if number not in self._seats)
        seat = self._seats[number] = Seat(number, self._fleet, added=added)
        return seat

    async def _keep(self, seat: Seat, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await seat.keep(task_status=task_status)
        del self._seats[seat.number]


def _share(place: Place) -> float:
    return place.load.share if place.load else 0.0
