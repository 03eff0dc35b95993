"""Those outside: who submits, cancels and drives again, and who listens. They believe nothing that no node told them.

State: ``Submitter.heard`` and ``Listener.events`` are read when the run is over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import outcome
import trio

from tests.faults.history import Answer, Submission
from tests.simulation.faults import shown
from tests.simulation.plan import JobPlan
from tests.simulation.process import Process
from tests.simulation.weather import RUNNING_IN, SECOND_US
from tickr.errors import Overloaded, StoreUnavailable
from tickr.feed.selection import EVERYTHING
from tickr.handle import Handle

if TYPE_CHECKING:
    from tests.simulation.world import World

PAUSE_S = 0.4
"""Between two tries, in seconds."""
ENDS: dict[str, tuple[str, ...]] = {
    "broken": ("failed",),
    "hopeless": ("failed",),
    "late": ("failed",),
    "poison": ("failed",),
}


def job_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


class Submitter:
    """Who wants one job done.

    Attributes:
      heard: what it may say of its submission, once it has asked.
      cancelled: whether it has asked for that; ``cancelled_version``: of the job, once that was answered.
    """

    def __init__(self, world: World, plan: JobPlan) -> None:
        self._world = world
        self._plan = plan
        self.number = plan.number
        self.heard: Submission | None = None
        self.cancelled = False
        self.cancelled_version: int | None = None
        self.done = False

    @property
    def lives_us(self) -> int | None:
        """After how long its job expires, microseconds; None: never."""
        lives_s = self._plan.options.get("expires_in")
        return None if lives_s is None else round(lives_s * SECOND_US)

    async def run(self) -> None:
        await trio.sleep_until(self._plan.at)
        await self._submit()
        plan = self._plan
        if plan.cancel_s is not None:
            await trio.sleep(plan.cancel_s)
            self.cancelled = True
            answer = await self._wish("cancel")
            if isinstance(answer, outcome.Value):
                self.cancelled_version = answer.value.version
        if plan.redrive_s is not None:
            await trio.sleep(plan.redrive_s)
            await self._wish("retry")
        self.done = True

    async def _submit(self) -> None:
        plan, answer = self._plan, None
        asked_at = self._world.weather.true_now_us()
        for _ in range(plan.tries):
            answer = await self._try(answer)
            self._hear(asked_at, answer)
            if answer == "ok":
                return
            await trio.sleep(PAUSE_S)

    async def _try(self, before: Answer | None) -> Answer:
        plan = self._plan
        process = await self._world.somebody()
        handle = process.handle
        assert handle is not None
        given = await process.ask(
            handle.submit,
            plan.type,
            plan.payload,
            id=job_id(plan.number),
            within_s=plan.patience_s,
            **plan.options,
        )
        if isinstance(given, outcome.Value):
            answer: Answer = "ok"
        elif given is None or before == "unknown":
            answer = "unknown"
        else:
            assert isinstance(given.error, (Overloaded, StoreUnavailable)), given.error
            answer = "unknown" if getattr(given.error, "outcome_unknown", False) else "refused"
        self._world.weather.say(f"client {plan.number} asked {process}: {answer}")
        return answer

    def _hear(self, asked_at: int, answer: Answer) -> None:
        plan = self._plan
        self.heard = Submission(
            id=job_id(plan.number),
            number=plan.number,
            type=plan.type,
            asked_at=asked_at,
            answered_at=self._world.weather.true_now_us(),
            answer=answer,
            max_attempts=plan.options.get("max_attempts", 3),
            ends=(*ENDS.get(plan.type, ("succeeded",)), *(("cancelled",) if self.lives_us is not None else ())),
            expires_in=None if self._world.stepped else self.lives_us,
            crashes_it=plan.type == "poison",
        )

    async def _wish(self, what: str) -> Any:
        process = await self._world.somebody()
        assert process.handle is not None
        intake = process.handle._context.intake
        call = intake.cancel if what == "cancel" else intake.retry
        given = await process.ask(call, job_id(self._plan.number), within_s=self._plan.patience_s)
        self._world.weather.say(f"client {self._plan.number} asked {process} to {what}: {shown(given)}")
        return given


class Listener:
    """Who follows the feed from its beginning, node after node, each time from where it got to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cursor = "earliest"
        self.events: list[str] = []

    async def run(self) -> None:
        while True:
            process = await self._world.somebody()
            assert process.handle is not None
            await process.ask(self._listen, process, process.handle, within_s=math.inf)
            await trio.sleep(PAUSE_S)

    async def _listen(self, process: Process, handle: Handle) -> None:
        assert RUNNING_IN.get() is process
        with trio.CancelScope() as listening:
            process.listening.add(listening)
            async with handle.feed.subscribe(EVERYTHING, after=self.cursor) as subscription:
                while True:
                    delivery = await subscription.receive()
                    await process.lives()
                    self.events += [told.event.id for told in delivery.events]
                    self.cursor = delivery.cursor
