"""The weather: which faults there are just now between the nodes and what they share, and what happens to a call.

State: everything here is written by ``World`` as the plan says, and drawn from ``dice`` call by call; the wrappers in
``faults.py`` ask.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import trio

from tests.simulation.plan import HOUR_S
from tickr.index.heap import HeapIndex, Line
from tickr.store.memory import MemoryStore
from tickr.tallies import Tally

if TYPE_CHECKING:
    from tests.simulation.process import Process

START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
WINDOW_S, IN_WINDOW = 0.05, 50
"""So many calls take no virtual time, of those made within so many seconds; further ones have to wait."""
MAX_CALLS = 4_000
"""So many calls has no run in which nobody asks again and again, for seconds."""

RUNNING_IN: ContextVar[Process | None] = ContextVar("RUNNING_IN", default=None)
"""Whose code a task runs."""

Part = Literal["store", "index"]


class Runaway(Exception):
    """The nodes call and call, and get nowhere."""


class Outage:
    """One that goes on until ``over``. ``of``: the node it is of, None for all. ``silent``: no answer, no refusal."""

    def __init__(self, part: Part, of: int | None, *, silent: bool) -> None:
        self.part = part
        self.of = of
        self.silent = silent
        self.over = trio.Event()


class Snapshot(NamedTuple):
    """What the index held at a moment."""

    ready: dict[str, dict[str, Any]]
    waiting: dict[str, Any]


class Weather:
    """What all nodes share, and what goes wrong with it.

    Attributes:
      chances: of faults of single calls and rings, by name; empty once everything has healed.
      step_us: by how much the store's clock was set forward.
      steps_us: by how much it was when each row of the log was written.
      pending: how many effects and rings are still to come, late.
      trace: takes a line, or is None.
    """

    def __init__(self, dice: random.Random, chances: dict[str, float], nursery: trio.Nursery) -> None:
        self.dice = dice
        self.chances = dict(chances)
        self.store = MemoryStore(clock=self.now_us)
        self.index = HeapIndex()
        self.outages: list[Outage] = []
        self.step_us = 0
        self.highest_step_us = 0
        self.steps_us: list[int] = []
        self.calls = 0
        self.pending = 0
        self.nursery = nursery
        self.trace: Callable[[str], None] | None = None
        self._snapshot = Snapshot({}, {})
        self._window_ends, self._window_full = 0.0, 0
        self.store.on_events(self._written)
        self.store.on_tally(self._counted)

    def _written(self) -> None:
        """Tell whose commit it was, as its own store would."""
        self.steps_us.append(self.step_us)
        process = RUNNING_IN.get()
        if process is not None and not process.dead:
            process.store.told()

    def _counted(self, tally: Tally) -> None:
        process = RUNNING_IN.get()
        if process is not None and not process.dead:
            process.store.counted(tally)

    def true_now_us(self) -> int:
        return START_US + round(trio.current_time() * SECOND_US)

    def now_us(self) -> int:
        """The store's clock."""
        return self.true_now_us() + self.step_us

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace(f"{trio.current_time():10.6f} {text}")

    def apart(self, call: Callable[..., Any], *args: Any) -> None:
        """Have ``call`` go on whatever becomes of the node that caused it."""

        async def go() -> None:
            self.pending += 1
            await call(*args)
            self.pending -= 1

        contextvars.Context().run(self.nursery.start_soon, go)

    def drawn(self, *names: str) -> str | None:
        """Return which of the faults strikes this call, if any."""
        if not self.chances:
            return None
        drawn = self.dice.random()
        for name in names:
            drawn -= self.chances.get(name, 0.0)
            if drawn < 0:
                return name
        return None

    async def count(self) -> None:
        """Count a call; nodes that tease each other at one instant must not keep time from going on."""
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise Runaway
        now = trio.current_time()
        if now >= self._window_ends:
            self._window_ends, self._window_full = now + WINDOW_S, self.calls + IN_WINDOW
        elif self.calls > self._window_full:
            await trio.sleep_until(self._window_ends)

    # -- outages ------------------------------------------------------------------------------------------------------

    def outage(self, part: Part, process: Process) -> Outage | None:
        for one in self.outages:
            if one.part == part and one.of in (None, process.place):
                return one
        return None

    def begin(self, outage: Outage) -> None:
        self.outages.append(outage)

    def end(self, outage: Outage) -> None:
        if outage in self.outages:
            self.outages.remove(outage)
            outage.over.set()

    def heal(self) -> None:
        """From now on nothing goes wrong. The clock stays where it was furthest, so that nothing waits for it."""
        self.chances.clear()
        for outage in list(self.outages):
            self.end(outage)
        self.step_us = self.highest_step_us

    # -- the clock and the index --------------------------------------------------------------------------------------

    def step(self, seconds: float) -> None:
        self.step_us += int(seconds * SECOND_US)
        self.highest_step_us = max(self.highest_step_us, self.step_us)

    def spoil(self, what: str) -> None:
        """Do something to what the index holds; it may forget, and hold what is stale."""
        index = self.index
        match what:
            case "flush":
                self._replace(Snapshot({}, {}))
            case "snapshot":
                ready = {queue: dict(line.members) for queue, line in index._ready.items()}
                self._snapshot = Snapshot(ready, dict(index._waiting.members))
            case "roll_back":
                self._replace(self._snapshot)
            case "lose":
                ready = {queue: self._some(line.members) for queue, line in index._ready.items()}
                self._replace(Snapshot(ready, self._some(index._waiting.members)), epoch=index._epoch)
            case "stale":
                for job in list(self.store._jobs.values()):
                    if self.dice.random() < 0.5:
                        index._add_ready(job.queue, (job.priority, job.run_at, job.id))
                index._add_ready("default", (0, 0, "00000000-0000-7000-8000-00000000dead"))

    def _some(self, members: dict[str, Any]) -> dict[str, Any]:
        return {name: item for name, item in members.items() if self.dice.random() < 0.5}

    def _replace(self, content: Snapshot, epoch: str | None = None) -> None:
        self.index._ready.clear()
        for queue, members in content.ready.items():
            for item in members.values():
                self.index._add_ready(queue, item)
        self.index._waiting = Line()
        for item in content.waiting.values():
            self.index._waiting.add(item)
        self.index._epoch = epoch


STEPS_S = {"hour_on": HOUR_S, "hour_back": -HOUR_S}
