"""One stage of a job's way at a time, in virtual time: memory store, heap, bell in process, all real."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import pytest
import trio

from tests.ports import Observed
from tickr.announce import Announcer
from tickr.api import program
from tickr.bell import LocalBell
from tickr.index.heap import open_heap
from tickr.jobs import Job, NewJob
from tickr.queues import Order
from tickr.store.contract import Node
from tickr.store.memory import MemoryStore
from tickr.worker.claim import Claimer, Slots
from tickr.worker.family import Family
from tickr.worker.gates import Gates

START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
NODE = "11111111-1111-7111-8111-111111111111"


class Stage:
    """The ports of one node, and what a test does with them.

    Attributes:
      step_us: by how much the store's wall clock was set forward, microseconds; otherwise it is trio's virtual clock.
    """

    def __init__(self, index: Any) -> None:
        self.step_us = 0
        self.store = Observed(MemoryStore(clock=self.wall_clock))
        self.index = Observed(index)
        self.bell = LocalBell()
        self.announcer = Announcer(self.store, self.index, self.bell)

    @property
    def family(self) -> Family:
        return Family(self.store, self.announcer, self.bell, self.describe)

    def describe(self, fields: Mapping[str, Any]) -> NewJob:
        return program.read(self.store, lambda type: None, fields)

    def gates(self, here: Mapping[str, int | None] | None = None, order: Order = ()) -> Gates:
        return Gates(self.store, self.index, self.bell, here=here, order=order)

    def claimer(self, slots: Slots, types: Collection[str], gates: Gates | None = None) -> Claimer:
        """Return a claim loop of this stage; it is for all queues unless ``gates`` say otherwise."""
        return Claimer(self.store, self.index, self.bell, slots, gates or self.gates(), types=frozenset(types))

    def wall_clock(self) -> int:
        return START_US + self.step_us + round(trio.current_time() * SECOND_US)

    async def insert(self, count: int = 1, **fields: Any) -> list[Job]:
        """Store jobs without telling anybody: as a process does that dies after COMMIT."""
        new = [NewJob(id=str(uuid.uuid4()), **{"type": "noop", **fields}) for _ in range(count)]
        return [job for job, _ in await self.store.insert(new)]

    async def submit(self, count: int = 1, **fields: Any) -> list[Job]:
        """Store jobs and announce them, as the intake does."""
        jobs = await self.insert(count, **fields)
        await self.announcer.announce([job.entry() for job in jobs], at=jobs[0].created_at)
        return jobs

    async def register(self, node: str = NODE, *, types: tuple[str, ...] = (), lease_s: float = 10_000) -> None:
        await self.store.register(Node(id=node, host="there", pid=1, version="0", types=types), lease_s=lease_s)

    async def run_elsewhere(self, job: Job, node: str = NODE, *, lease_s: float = 15) -> Job:
        """Have another node claim ``job``."""
        await self.register(node, lease_s=lease_s)
        (claimed,) = await self.store.claim([job.id], node=node, types={job.type})
        assert isinstance(claimed, Job)
        return claimed

    def slow_down_claims(self, seconds: float) -> None:
        """Have the store answer claims so much later, as real ones do."""
        claim = self.store.port.claim

        async def slow(*args: object, **how: object) -> list[Job]:
            await trio.sleep(seconds)  # virtual
            claimed: list[Job] = await claim(*args, **how)
            return claimed

        self.store.port.claim = slow

    async def get(self, job: Job) -> Job:
        found = await self.store.get(job.id)
        assert isinstance(found, Job)
        return found

    async def indexed(self) -> tuple[int, int]:
        """How many entries the index has ready and waiting."""
        sizes = await self.index.sizes()
        return sizes.ready, sizes.waiting


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """Goes with ``autojump_clock``, which pytest-trio wants to see among a test's own arguments."""
    async with open_heap() as index:
        yield Stage(index)
