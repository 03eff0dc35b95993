"""Between a node and its store, index and bell: what the node says goes through here, or fails as the contracts allow.

A call fails before its effect, or after it (the outcome is unknown), or has its effect when nobody waits any more, or
takes long; during an outage it is refused, or hangs until it gives up or the outage is over. Of a node that was killed
nothing gets through from that instant on, and nothing comes back to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.weather import START_US, Weather
from tickr.bell import LocalBell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable, TickrError
from tickr.index.contract import Hint
from tickr.store.event_log import nobody_counts, nobody_listens
from tickr.tallies import Tally

if TYPE_CHECKING:
    from tests.simulation.process import Process

STORE_S = 1.6
"""No call of the store takes longer, in seconds; as far below two thirds of the lease as the real ones."""
INDEX_S = 0.3
"""After so many silent seconds the index counts as away."""
BACK_S = 0.3
"""An index that answers again is noticed within so many seconds."""
LATE_S = 3.0
"""A ring, or the effect of a call that was given up, may be so many seconds late."""
READS = frozenset(
    {"ping", "get", "get_many", "attempts", "queue_names", "due", "waiting_after", "still_waiting", "epoch", "nodes"}
    | {
        "schedule",
        "schedules",
        "due_schedules",
        "standings",
        "newest_first",
        "ahead",
        "inbox_rows",
        "inbox_refused",
        "key_uses",
    }
    | {"event_rows", "number_events", "feed_state", "tally", "operation", "operations", "due_operations"}
    | {"untallied", "tallied", "sums", "weights", "busiest", "marks", "backlog"}
    | {"tokens", "trail"}
    | {"node", "at_work", "open_links", "waits_of", "children", "checkpoint", "job_log", "last_beyond"}
)


class FaultyStore:
    """The shared store as one node reaches it. Its clock is known from the last answer, and carried on."""

    def __init__(self, process: Process, weather: Weather) -> None:
        self.name, self.writers = weather.store.name, weather.store.writers
        self.told: Callable[[], None] = nobody_listens
        self.counted: Callable[[Tally], None] = nobody_counts
        self._process = process
        self._weather = weather
        self._step_us = weather.step_us

    def now_us(self) -> int:
        return START_US + self._step_us + round(trio.current_time() * 1_000_000)

    def on_events(self, call: Callable[[], None]) -> None:
        self.told = call

    def on_tally(self, call: Callable[[Tally], None]) -> None:
        self.counted = call

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._weather.store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(name, method, args, kwargs)

        setattr(self, name, call)
        return call

    async def _call(self, name: str, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        weather, process = self._weather, self._process
        await weather.count()
        await process.lives()
        if name == "register":
            process.registered_at_us.append(weather.true_now_us())
        if outage := weather.outage("store", process):
            await self._sit_out(name, outage.over, silent=outage.silent)
        fault = weather.drawn("store_before", "store_after", "store_ghost", "store_slow")
        if fault is None:
            answer = await method(*args, **kwargs)
        else:
            answer = await self._faulty(fault, name, method, args, kwargs)
        await process.lives()
        self._step_us = weather.step_us
        if weather.trace and (name not in READS or fault):
            weather.say(f"{process} store.{name} {shown(args)} -> {shown(answer)}")
        return answer

    async def _sit_out(self, name: str, over: trio.Event, *, silent: bool) -> None:
        with trio.move_on_after(STORE_S if silent else 0):
            await over.wait()
        if not over.is_set():
            self._weather.say(f"{self._process} store.{name} unavailable")
            raise StoreUnavailable("an outage")

    async def _faulty(self, fault: str, name: str, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        weather, dice = self._weather, self._weather.dice
        weather.say(f"{self._process} store.{name} {shown(args)}: {fault}")
        if fault == "store_slow":
            pause_s, first = dice.uniform(0.05, STORE_S - 0.1), dice.random() < 0.5
            if first:
                await trio.sleep(pause_s)
            await self._process.lives()
            answer = await method(*args, **kwargs)
            if not first:
                await trio.sleep(pause_s)
            return answer
        if fault == "store_before" or name in READS:
            await trio.lowlevel.checkpoint()
            raise StoreUnavailable("it failed before its effect")
        if fault == "store_ghost":
            weather.apart(self._haunt, dice.uniform(0.0, LATE_S), name, method, args, kwargs)
            await trio.lowlevel.checkpoint()
        else:
            await method(*args, **kwargs)
        raise StoreUnavailable("it may have failed", outcome_unknown=True)

    async def _haunt(self, after_s: float, name: str, method: Callable[..., Any], args: Any, kwargs: Any) -> None:
        await trio.sleep(after_s)
        with contextlib.suppress(TickrError):
            answer = await method(*args, **kwargs)
            self._weather.say(f"{self._process}'s ghost store.{name} {shown(args)} -> {shown(answer)}")


class FaultyIndex:
    """The shared index as one node reaches it: each notices by itself that it is away, and that it is back."""

    name = "heap"
    shared = True

    def __init__(self, process: Process, weather: Weather) -> None:
        self._process = process
        self._weather = weather
        self._up, self._down = trio.Event(), trio.Event()
        self._up.set()
        self._pops: dict[trio.CancelScope, None] = {}

    @property
    def available(self) -> bool:
        return self._up.is_set()

    async def wait_available(self) -> None:
        await self._up.wait()

    async def wait_unavailable(self) -> None:
        await self._down.wait()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._weather.index, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(name, method, args, kwargs)

        setattr(self, name, call)
        return call

    async def pop(self, queues: Sequence[str], limit: int, **bounds: Any) -> list[Hint]:
        with trio.CancelScope() as popping:
            self._pops[popping] = None
            try:
                hints: list[Hint] = await self._call("pop", self._weather.index.pop, (queues, limit), bounds)
                return hints
            finally:
                del self._pops[popping]
        raise IndexUnavailable("it went away")

    async def _call(self, name: str, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        weather, process = self._weather, self._process
        await weather.count()
        await process.lives()
        if not self._up.is_set():
            await trio.lowlevel.checkpoint()
            raise IndexUnavailable("it is away")
        if outage := weather.outage("index", process):
            await self._sit_out(outage.over, silent=outage.silent)
        fault = weather.drawn("index_before", "index_after")
        if fault == "index_before":
            await self._fail(name, fault)
        answer = await method(*args, **kwargs)
        await process.lives()
        if fault == "index_after":
            await self._fail(name, fault)
        if weather.trace and name not in ("epoch", "missing", "promote"):
            weather.say(f"{process} index.{name} {shown(args)} -> {shown(answer)}")
        return answer

    async def _sit_out(self, over: trio.Event, *, silent: bool) -> None:
        if silent:
            with trio.move_on_after(INDEX_S):
                await over.wait()
        if not over.is_set():
            await self._fail("…", "outage")

    async def _fail(self, name: str, fault: str) -> None:
        self._weather.say(f"{self._process} index.{name}: {fault}")
        self.fall()
        await trio.lowlevel.checkpoint()
        raise IndexUnavailable(fault)

    def fall(self) -> None:
        """The node notices that the index is away."""
        if self._up.is_set():
            self._up = trio.Event()
            self._down.set()
            for popping in self._pops:
                popping.cancel()
            self._weather.apart(self._come_back)

    async def _come_back(self) -> None:
        while outage := self._weather.outage("index", self._process):
            await outage.over.wait()
        await trio.sleep(self._weather.dice.uniform(0.0, BACK_S))
        self._down = trio.Event()
        self._up.set()


class LossyBell:
    """One node's bell. Itself hears its rings at once; to the others they are sent."""

    def __init__(self, process: Process, weather: Weather, others: Callable[[], Sequence[Process]]) -> None:
        self.local = LocalBell()
        self._process = process
        self._weather = weather
        self._others = others

    def ring_nowait(self, *rings: Ring) -> None:
        if self._process.dead:
            return
        self.local.ring_nowait(*rings)
        for other in self._others():
            for ring in rings:
                self._send(other, ring)

    def _send(self, other: Process, ring: Ring) -> None:
        match self._weather.drawn("ring_lost", "ring_late", "ring_doubled"):
            case "ring_lost":
                return
            case "ring_late":
                self._weather.apart(self._deliver, other, ring, self._weather.dice.uniform(0.0, LATE_S))
            case "ring_doubled":
                other.bell.local.ring_nowait(ring, ring)
            case _:
                other.bell.local.ring_nowait(ring)

    async def _deliver(self, other: Process, ring: Ring, after_s: float) -> None:
        await trio.sleep(after_s)
        other.bell.local.ring_nowait(ring)

    async def ring(self, *rings: Ring) -> None:
        self.ring_nowait(*rings)
        await trio.lowlevel.checkpoint()

    def listen(self, *kinds: str) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Ring]]:
        return self.local.listen(*kinds)


def shown(value: Any) -> str:
    """Return ``value`` as a line of the trace has it."""
    match value:
        case None | bool() | int() | float():
            return str(value)
        case str():
            return value[-4:] if len(value) == 36 else value
        case tuple() | list() | dict() | set() | frozenset():
            return "[" + " ".join(shown(one) for one in value) + "]"
    if hasattr(value, "job"):
        return f"{getattr(value, 'kind', '')}({shown(value.job)})"
    if hasattr(value, "fence"):
        return f"{shown(value.id)}.{value.fence}:{value.state}"
    return shown(value.id) if hasattr(value, "id") else type(value).__name__
