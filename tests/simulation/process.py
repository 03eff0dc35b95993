"""One node of a simulation, as if it were a process: it can be killed, frozen and stopped.

*Killed*: from that instant nothing of it reaches store, index, bell, ledger or client; its tasks are cancelled only to
be rid of them. *Frozen*: none of its tasks gets another turn until it is thawed, as after SIGSTOP: time goes on, what
it waits for happens, and then it wakes up to all of that at once. trio has no such thing, so while somebody is frozen
its ``Runner.reschedule`` is replaced by one that keeps back the tasks of the frozen.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import outcome
import trio
from trio._core._run import GLOBAL_RUN_CONTEXT, Runner

from tests.simulation import handlers
from tests.simulation.faults import FaultyIndex, FaultyStore, LossyBell
from tests.simulation.plan import LEASE_S, NodePlan
from tests.simulation.weather import RUNNING_IN
from tickr.api.doors import Doors
from tickr.config import Config
from tickr.errors import StoreUnavailable, TickrError
from tickr.handle import Handle
from tickr.service import Service

if TYPE_CHECKING:
    from tests.simulation.world import World

_reschedule = Runner.reschedule
_NOTHING: Any = object()


class Process:
    """``place`` is which of the plan's nodes it is; ``number`` its own, as a pid."""

    def __init__(self, world: World, plan: NodePlan, place: int, number: int) -> None:
        self.world = world
        self.plan = plan
        self.place = place
        self.number = number
        self.dead = False
        self.frozen = False
        self.ended = False
        self.stood_still = False
        """Whether it was frozen, or made to pause at a failpoint: then it may not know that others have its jobs."""
        self.asked_to_stop = False
        self.killed_at_us: int | None = None
        self.registered_at_us: list[int] = []
        """When it has asked for a lease, again after each that it lost."""
        self.node_id = ""
        self.handle: Handle | None = None
        self.store = FaultyStore(self, world.weather)
        self.index = FaultyIndex(self, world.weather)
        self.bell = LossyBell(self, world.weather, lambda: world.others(self))
        self.listening: set[trio.CancelScope] = set()
        """Left by those who listen to it, once it is asked to stop."""
        self._scope = trio.CancelScope()
        self._waited_for: set[trio.Event] = set()
        self._asleep: list[trio.lowlevel.Task] = []

    def __repr__(self) -> str:
        return f"n{self.number}"

    @property
    def serves(self) -> bool:
        return self.handle is not None and not self.dead and not self.asked_to_stop

    @property
    def has_served(self) -> bool:
        return self.handle is not None or bool(self.node_id)

    async def run(self) -> None:
        """Live until stopped or killed. Raises: what a node ends of that it should not."""
        RUNNING_IN.set(self)
        types = frozenset(handlers.jobs) - {self.plan.lacks}
        config = Config(
            store="memory:",
            roles=self.plan.roles,
            workers=self.plan.slots,
            grace=self.plan.grace_s,
            lease=LEASE_S,
        )
        node = Service(config, handlers.some(types))
        with self._scope:
            try:
                async with trio.open_nursery() as self._requests:
                    async with trio.open_nursery() as tasks:
                        await node.live_on(node.wired(self.store, self.index, self.bell), tasks, Doors(), self)
                    self._requests.cancel_scope.cancel()
            except* StoreUnavailable:
                if self.handle is not None and not self.dead:
                    raise
                self.world.weather.say(f"{self} could not start")
            except* Exception:
                if not self.dead:
                    raise
        if self.handle is not None:
            self.node_id = self.handle.node_id
        self.handle, self.ended = None, True
        self._hang_up()
        self.world.weather.say(f"{self} has ended")

    def started(self, handle: Handle) -> None:
        """Called by the node once it serves."""
        self.handle = handle
        if self.world.closing:
            self.stop()

    async def lives(self) -> None:
        """Return at once; of a node that was killed, never."""
        if self.dead:
            await trio.sleep_forever()

    async def ask(self, call: Callable[..., Awaitable[Any]], *args: Any, within_s: float, **kwargs: Any) -> Any:
        """Have the node do what a client asks. Returns: an outcome, or None if no answer came."""
        answers: list[outcome.Outcome[Any]] = []
        done = trio.Event()
        bounded = within_s < math.inf

        async def serve() -> None:
            RUNNING_IN.set(self)
            self.world.asked += bounded
            try:
                answer: outcome.Outcome[Any] = outcome.Value(await call(*args, **kwargs))
            except TickrError as error:
                answer = outcome.Error(error)
            finally:
                self.world.asked -= bounded
            await self.lives()
            answers.append(answer)
            done.set()

        self._requests.start_soon(serve)
        self._waited_for.add(done)
        with trio.move_on_after(within_s):
            await done.wait()
        self._waited_for.discard(done)
        return answers[0] if answers else None

    def _hang_up(self) -> None:
        """Whoever waits for an answer notices that there will be none."""
        for done in self._waited_for:
            done.set()

    # -- what is done to it -------------------------------------------------------------------------------------------

    def kill(self) -> None:
        if not self.dead:
            self.world.weather.say(f"{self} is killed")
            self.dead = True
            self.killed_at_us = self.world.weather.true_now_us()
            self.world.ledger.forget(self)
            self._hang_up()
            self._wake()
            self._scope.cancel()

    def stop(self) -> None:
        if self.serves and self.handle is not None:
            self.world.weather.say(f"{self} is asked to stop")
            self.asked_to_stop = True
            for scope in self.listening:
                scope.cancel()
            self.handle.stop()

    async def freeze(self, seconds: float) -> None:
        if self.dead or self.frozen:
            return
        self.world.weather.say(f"{self} is frozen")
        self.frozen = self.stood_still = True
        runq = GLOBAL_RUN_CONTEXT.runner.runq
        for task in [task for task in runq if task.context.get(RUNNING_IN) is self]:
            runq.remove(task)
            self._asleep.append(task)
        Runner.reschedule = _reschedule_unless_frozen  # type: ignore[method-assign]
        await trio.sleep(seconds)
        self.thaw()

    def thaw(self) -> None:
        if self.frozen:
            self.world.weather.say(f"{self} goes on")
            self._wake()

    def keep_back(self, task: trio.lowlevel.Task) -> None:
        self._asleep.append(task)

    def _wake(self) -> None:
        self.frozen = False
        GLOBAL_RUN_CONTEXT.runner.runq.extend(self._asleep)
        self._asleep.clear()
        if not any(one.frozen for one in self.world.processes):
            Runner.reschedule = _reschedule  # type: ignore[method-assign]


def _reschedule_unless_frozen(runner: Runner, task: trio.lowlevel.Task, next_send: Any = _NOTHING) -> None:
    _reschedule(runner, task, outcome.Value(None) if next_send is _NOTHING else next_send)
    process = task.context.get(RUNNING_IN)
    if process is not None and process.frozen:
        process.keep_back(runner.runq.pop())
