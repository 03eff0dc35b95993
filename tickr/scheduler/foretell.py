"""Foretell: asks the functions that give schedules their ticks, on every node whose code has them.

A function is asked for some ticks in advance, in a thread, and what it tells is kept with its schedule; any scheduler
fires those (``schedules.py``). Of several nodes that ask at the same time one is first in the store. A node asks only
for a schedule whose declaration counts (``declared.py``), so that of two programs beside each other one tells.

What a function does wrong is kept as the schedule's ``fault``, logged, and tried again with pauses that double. One
that hangs holds its own thread and nothing else: it is not called again before that call is over. State: each
``_Teller`` has its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import structlog
import trio

from tickr import ticks
from tickr.bell import Bell, Ring
from tickr.errors import StoreError, StoreUnavailable
from tickr.foresight import AHEAD
from tickr.next_ticks import NextTick, Walked, walk
from tickr.outage import Outage
from tickr.schedule_moves import Foresee
from tickr.schedules import Schedule
from tickr.store.contract import Store
from tickr.ticks import BadTiming, Timing

ANSWER_S = 10.0
"""How long a function may take to answer, in seconds."""
STRIDE_S = 1.0
"""After so long what it has told is kept before it is asked for more, in seconds."""
NET_S = 5.0
"""Safety net for a ring that was lost: never sleep longer, in seconds."""
AGAIN_S, LONGEST_AGAIN_S = 1.0, 300.0
"""First and longest pause after a fault, in seconds."""
AWAY_S = 1.0
"""Pause while the store is away, in seconds."""

log = structlog.get_logger("tickr.scheduler")


class Told(NamedTuple):
    """A function that the code of this node declares for a schedule. ``mark``: of the declaration."""

    schedule: str
    mark: str
    timing: Timing
    function: NextTick


class Foretell:
    """One node's part in it."""

    def __init__(self, declared: Sequence[Told], store: Store, bell: Bell, *, stretch: float = 1.0) -> None:
        """Args: stretch: how many times longer than ``NET_S`` the longest sleep is."""
        self.tellers = [_Teller(one, store, bell, NET_S * stretch) for one in declared]

    @property
    def at_work(self) -> int:
        """How many functions are in their threads just now."""
        return sum(one.thread.borrowed_tokens for one in self.tellers)

    async def run(self) -> None:
        """Ask until cancelled. Cancellation: what was told last may be kept or not; a call is left to itself."""
        async with trio.open_nursery() as nursery:
            for teller in self.tellers:
                nursery.start_soon(teller.run)


class _Teller:
    """Asks one function."""

    def __init__(self, told: Told, store: Store, bell: Bell, net_s: float) -> None:
        self.thread = trio.CapacityLimiter(1)
        self._told = told
        self._store = store
        self._bell = bell
        self._net_s = net_s
        self._outage = Outage(log, "schedule.foretelling")
        self._compared = False  # what is kept of later ticks, as another node has told them, with what is said here
        self._pause_s = AGAIN_S

    async def run(self) -> None:
        async with self._bell.listen("schedule") as rings:
            while True:
                pause_s = AWAY_S
                with self._outage.outlived(StoreUnavailable):
                    pause_s = await self._look()
                with trio.move_on_after(pause_s):
                    while (await rings.receive()).at is not None:
                        pass  # tells schedulers of a tick

    async def _look(self) -> float:
        """Ask the function if need be; return when to look again, in seconds. Raises: StoreUnavailable."""
        schedule = await self._store.schedule(self._told.schedule)
        if schedule is None or not self._tells(schedule):
            return self._net_s
        foreseen, now = schedule.foreseen, self._store.now_us()
        assert foreseen is not None, "a schedule by function has foresight"
        if self._compared and foreseen.fault is None and foreseen.is_enough(now, schedule.end_at):
            return self._net_s if foreseen.few_at() <= now else min(self._net_s, (foreseen.few_at() - now) / 1e6)
        return await self._ask(schedule, foreseen.horizon if self._compared else foreseen.passed(now))

    def _tells(self, schedule: Schedule) -> bool:
        """Whether ``schedule`` goes by this function, and has use for more ticks."""
        counts = schedule.declared[-1:] == (self._told.mark,) and schedule.timing == self._told.timing
        return counts and not schedule.paused and schedule.left != 0

    async def _ask(self, schedule: Schedule, after: int) -> float:
        """Keep what the function tells of the ticks after the instant ``after``; return when to look again."""
        foreseen = schedule.foreseen
        assert foreseen is not None, "a schedule by function has foresight"
        told = await self._walk(schedule, after, foreseen.lacking(self._store.now_us()) if self._compared else AHEAD)
        if told.fault is not None and not self._compared:  # what was told before is better than nothing
            after, told = foreseen.horizon, told._replace(ticks=[])
        self._compared = True
        wish = Foresee(
            name=schedule.name,
            version=schedule.version,
            horizon=foreseen.horizon,
            after=after,
            ticks=tuple(told.ticks),
            no_more=told.no_more,
            fault=told.fault and f"{schedule.timing.function} {told.fault}",
        )
        fault = await self._keep(wish) or wish.fault
        if fault is None:
            self._pause_s = AGAIN_S
            return 0 if told.ticks else AGAIN_S
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_AGAIN_S)
        log.error("schedule.function_failed", schedule=schedule.name, for_s=pause_s, error=fault)
        return pause_s

    async def _keep(self, wish: Foresee) -> str | None:
        """Store ``wish`` and tell schedulers; return why the store refuses it. Raises: StoreUnavailable."""
        try:
            (moved,) = await self._store.move_schedules([wish])
        except StoreUnavailable:
            raise
        except StoreError as error:
            return str(error)
        if moved.after is not None and moved.after.next_at is not None and moved.after != moved.before:
            await self._bell.ring(Ring("schedule", at=moved.after.next_at))
        return None

    async def _walk(self, schedule: Schedule, after: int, wanted: int) -> Walked:
        """Ask the function, in its thread, for ``wanted`` ticks to come, or for some of them if that takes long."""
        try:
            zone = ticks.zone_of(schedule.timing.timezone)
        except BadTiming as error:
            return Walked([], fault=str(error))
        function, now, end_at = self._told.function, self._store.now_us(), schedule.end_at

        def ask() -> Walked:
            until = time.monotonic() + STRIDE_S
            enough = partial(_is_over, until)
            return walk(function, zone, after, now=now, wanted=wanted, end_at=end_at, enough=enough)

        with trio.move_on_after(ANSWER_S):
            return await trio.to_thread.run_sync(ask, limiter=self.thread, abandon_on_cancel=True)
        return Walked([], fault=f"gave no answer within {ANSWER_S:g} s")


def _is_over(until: float) -> bool:
    return time.monotonic() >= until
