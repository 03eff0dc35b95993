"""One node's slots on a stage: what the tests of claims, direct starts and reconciling have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio
from trio.testing import wait_all_tasks_blocked

from tests.stages.conftest import NODE, Stage
from tickr.queues import Order
from tickr.worker.handlers import Jobs
from tickr.worker.outcomes import Outcomes
from tickr.worker.pool import Pool


class Slots:
    """A pool, its outcomes and its claim loop; ``work`` is the handler of ``noop``, ``here`` the queues it is for."""

    def __init__(
        self,
        stage: Stage,
        work: Callable[..., Awaitable[object]],
        *,
        slots: int = 10,
        here: Mapping[str, int | None] | None = None,
        order: Order = (),
    ) -> None:
        gates = stage.gates(here, order)
        self.stage = stage
        self.jobs = Jobs()
        self.jobs.handler("noop")(work)
        self.outcomes = Outcomes(stage.store, stage.announcer, stage.family, in_flight=100, ended=gates.ended)
        self.pool = Pool(self.jobs, self.outcomes, slots=slots, max_result_bytes=100)
        self.claimer = stage.claimer(self.pool, self.jobs.types, gates)

    async def run(self, nursery: trio.Nursery) -> None:
        """Run what is started here; nothing is claimed."""
        nursery.start_soon(self.outcomes.run)
        nursery.start_soon(self.pool.run, nursery)
        await wait_all_tasks_blocked()

    async def claim(self, nursery: trio.Nursery, node: str = NODE) -> None:
        await self.stage.register(node)
        nursery.start_soon(self.claimer.run, node)
        await wait_all_tasks_blocked()

    @property
    def claims(self) -> int:
        """How many claims there were on this stage, whoever made them."""
        return self.stage.store.calls["claim"]
