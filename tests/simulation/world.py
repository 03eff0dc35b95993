"""One run of a plan: nodes are started and kept up, jobs submitted, faults let loose; then all heals and must get done.

State: everything that the verdict needs is an attribute here once ``run`` has returned.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import trio

from tests.simulation import schedules
from tests.simulation.clients import Listener, Submitter
from tests.simulation.handlers import Ledger
from tests.simulation.plan import BUSIEST, LEASE_S, Ordering, Pause, Plan, PointPlan, Strike
from tests.simulation.process import Process
from tests.simulation.weather import RUNNING_IN, STEPS_S, Outage, Weather
from tickr import failpoints
from tickr.bell import Ring
from tickr.jobs import FINAL

DRAINED_S = 30.0
"""In so many virtual seconds after everything has healed every job must be done. The longest chain is a poison job's:
three leases and sweeps."""
LIMITED = 2
"""So many times longer it may take where queues are limited."""
STOPPED_S = 30.0
"""In so many a node must have ended that was asked to stop, after everything has healed."""
START_AGAIN_S = 0.5
"""A node that could not start is started again after so many seconds."""
ORDERED_S = 10.0
"""In so many after everything has healed the index must have the orders of queues."""
LOOK_S = 0.25


class World:
    """Attributes:
    asked: how many requests nodes work on, given up by who asked or not.
    wrong: what was found to be wrong already during the run.
    pauses: when (true microseconds) which queue was paused or resumed.
    last: the nodes that were there at the end, and were stopped in peace.
    """

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self.submitters = [Submitter(self, job) for job in plan.jobs]
        self.listeners = [Listener(self) for _ in range(plan.listeners)]
        self.processes: list[Process] = []
        self.wrong: list[str] = []
        self.healed_at = 0.0
        self.last: list[Process] = []
        self._trace = trace
        self._dice = random.Random(plan.seed)
        self.asked = 0
        self.pauses: list[tuple[int, str, bool]] = []
        self.closing = False

    @property
    def stepped(self) -> bool:
        """Whether the store's clock is set now and then: then only that clock knows when what is due."""
        return "steps" in self.plan.families

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            self.ended_at_us = self.weather.true_now_us()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self.weather = Weather(self._dice, self.plan.chances, nursery)
            self.weather.trace = self._trace
            with ExitStack() as points:
                for point in self.plan.points:
                    points.enter_context(failpoints.armed(point.name, self._strikes_at(point)))
                for queue, limits in self.plan.limits.items():
                    await self.weather.store.control(queue, limits=limits)
                for pause in self.plan.pauses:
                    nursery.start_soon(self._pause, pause)
                nursery.start_soon(self._order, self.plan.orders)
                await schedules.put(self.weather.store, self.plan.schedules)
                for place in range(len(self.plan.nodes)):
                    nursery.start_soon(self._keep_up, place)
                for submitter in self.submitters:
                    nursery.start_soon(submitter.run)
                for listener in self.listeners:
                    nursery.start_soon(listener.run)
                for strike in self.plan.strikes:
                    await trio.sleep_until(strike.at)
                    nursery.start_soon(self._strike, strike)
                await trio.sleep_until(self.plan.heals_at)
            self._heal()
            await self._until("ordered", ORDERED_S, self._is_ordered)
            await self._until("caught up", DRAINED_S, lambda: schedules.caught_up(self.weather.store))
            await schedules.pause(self.weather.store)
            full = LIMITED if self.plan.limits else 1  # one after the other, behind a lost one for a lease
            await self._until("done", full * DRAINED_S, self._is_done)
            await self._until("told", DRAINED_S, self._is_told)
            self.closing = True
            self.last = [one for one in self.processes if one.serves]
            for process in self.last:
                process.stop()
            await self._until("stopped", STOPPED_S, lambda: all(one.ended for one in self.processes))
            nursery.cancel_scope.cancel()

    # -- the nodes ----------------------------------------------------------------------------------------------------

    async def _keep_up(self, place: int) -> None:
        """Have a node in this place, as a supervisor does."""
        while not self.closing:
            process = Process(self, self.plan.nodes[place], place, len(self.processes) + 1)
            self.processes.append(process)
            await process.run()
            await trio.sleep(self.plan.restart_s if process.has_served else START_AGAIN_S)

    async def somebody(self) -> Process:
        """Return a node that serves."""
        while True:
            if serving := [one for one in self.processes if one.serves]:
                return self._dice.choice(serving)
            await trio.sleep(LOOK_S)

    def others(self, process: Process) -> list[Process]:
        return [one for one in self.processes if one is not process and not one.dead]

    # -- the faults ---------------------------------------------------------------------------------------------------

    async def _strike(self, strike: Strike) -> None:
        self.weather.say(f"-- {strike.what}")
        process = self._struck(strike.who)
        match strike.what:
            case "kill" if process:
                process.kill()
            case "stop" if process:
                process.stop()
            case "freeze" if process:
                await process.freeze(strike.lasts)
            case "hour_on" | "hour_back":
                self.weather.step(STEPS_S[strike.what])
            case "flush" | "lose" | "snapshot" | "roll_back" | "stale":
                self.weather.spoil(strike.what)
            case _:
                await self._outage(strike, process.place if process else 0)

    async def _pause(self, pause: Pause) -> None:
        """Pause a queue for its time. Whoever does it rings, as long as there is a node to do it at."""
        await trio.sleep_until(pause.at)
        for paused in (True, False):
            self.weather.say(f"-- {pause.queue} {'paused' if paused else 'resumed'}")
            await self.weather.store.control(pause.queue, paused=paused)
            self.pauses.append((self.weather.true_now_us(), pause.queue, paused))
            for process in self.processes:
                if process.serves:
                    process.bell.ring_nowait(Ring("queue"))
                    break
            await trio.sleep(pause.lasts)

    async def _order(self, orders: Sequence[Ordering]) -> None:
        """Give queues their orders, by a node that dies before it tells the index."""
        for ordering in orders:
            await trio.sleep_until(ordering.at)
            self.weather.say(f"-- {ordering.queue} {ordering.order} first")
            await self.weather.store.control(ordering.queue, order=ordering.order)

    def _struck(self, place: int) -> Process | None:
        """Return the node that is in ``place`` now, if there is one."""
        if place == BUSIEST:
            return max(self.processes, key=self.ledger.count, default=None)
        return next((one for one in reversed(self.processes) if one.place == place), None)

    async def _outage(self, strike: Strike, place: int) -> None:
        what, _, how = strike.what.partition("_")
        silent = how == "silent" or (how == "from_index" and strike.lasts > LEASE_S)
        part = "index" if what == "index" or how == "from_index" else "store"
        outage = Outage(part, place if what == "cut" else None, silent=silent)
        self.weather.begin(outage)
        await trio.sleep(strike.lasts)
        self.weather.end(outage)

    def _strikes_at(self, point: PointPlan):  # type: ignore[no-untyped-def]
        left = point.passes

        async def strike() -> None:
            nonlocal left
            process = RUNNING_IN.get()
            left -= 1
            if left != -1 or process is None or process.dead:
                return
            self.weather.say(f"{process} {point.what} at {point.name}")
            if point.what == "kill":
                process.kill()
                await trio.sleep_forever()
            process.stood_still = True
            if point.what == "freeze":
                self.weather.apart(process.freeze, point.lasts)
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep(point.lasts)

        return strike

    def _heal(self) -> None:
        self.weather.say("-- everything heals")
        self.healed_at = trio.current_time()
        self.weather.heal()
        for process in self.processes:
            process.thaw()

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _until(self, what: str, within_s: float, holds: Callable[[], bool]) -> None:
        with trio.move_on_after(within_s):
            while not holds():  # noqa: ASYNC110  # what it looks at is not Tickr's to tell
                await trio.sleep(LOOK_S)
            self.weather.say(f"-- {what}")
            return
        self.wrong.append(f"not {what} {within_s:g} s after everything had healed")

    def _is_ordered(self) -> bool:
        """Whether the index has the orders that the store has."""
        index, newest = self.weather.index, self.weather.store._controls.newest_first
        return index._newest == newest and not index._turning

    def _is_done(self) -> bool:
        if self.weather.pending or self.asked or not all(one.done for one in self.submitters):
            return False
        return all(job.state in FINAL for job in self.weather.store._jobs.values())

    def _is_told(self) -> bool:
        log = self.weather.store._log.state()
        return all(listener.cursor == f"{log.history}.{log.head}" for listener in self.listeners)
