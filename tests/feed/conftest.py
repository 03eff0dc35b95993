"""The feed alone, in virtual time: memory store and bell in process, both real, and a log written through the store."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from tests.ports import Observed
from tickr.bell import LocalBell, Ring
from tickr.feed.delivery import Delivery
from tickr.feed.feed import Feed
from tickr.feed.selection import EVERYTHING, Selection
from tickr.feed.subscription import Subscription
from tickr.jobs import Job, NewJob
from tickr.store.memory import MemoryStore

START_US = 1_700_000_000_000_000
LONG_S = 100
"""Virtual seconds after which something that should come certainly does not."""


def names(delivery: Delivery) -> list[str]:
    """The ids of a delivery's events, read from the JSON that goes out."""
    return [msgspec.json.decode(told.body)["id"] for told in delivery.events]


class Log:
    """A store and who reads it.

    Attributes:
      deaf: commits ring no bell.
      told: the ids of all events written, row by row.
    """

    def __init__(self) -> None:
        self.memory = MemoryStore(clock=self.wall_clock)
        self.store = Observed(self.memory)
        self.bell = LocalBell()
        self.feed = Feed(self.store, self.bell)
        self.told: list[list[str]] = []
        self.hear()

    def wall_clock(self) -> int:
        return START_US + round(trio.current_time() * 1_000_000)

    def deafen(self) -> None:
        self.memory.on_events(lambda: None)

    def hear(self) -> None:
        self.memory.on_events(partial(self.bell.ring_nowait, Ring("feed")))

    async def write(self, count: int = 1, **fields: Any) -> list[Job]:
        """Commit one row of events: ``count`` new jobs."""
        new = [NewJob(id=str(uuid.uuid4()), **{"type": "noop", **fields}) for _ in range(count)]
        jobs = [job for job, _ in await self.store.insert(new)]
        self.told.append([f"{job.id}.1" for job in jobs])
        return jobs

    @property
    def all_told(self) -> list[str]:
        return [name for row in self.told for name in row]

    @asynccontextmanager
    async def listening(
        self, after: str | None = None, selection: Selection = EVERYTHING
    ) -> AsyncIterator[Subscription]:
        async with self.feed.subscribe(selection, after=after) as subscription:
            yield subscription


async def receive(subscription: Subscription, count: int) -> list[str]:
    """Receive until ``count`` events have come; what is no event is passed over."""
    got: list[str] = []
    with trio.fail_after(LONG_S):
        while len(got) < count:
            got += names(await subscription.receive())
    return got


async def caught_up(subscription: Subscription) -> list[str]:
    """Receive until the replay is over. Returns what was replayed."""
    got: list[str] = []
    with trio.fail_after(LONG_S):
        while (delivery := await subscription.receive()).kind != "caught_up":
            got += names(delivery)
    return got


@pytest.fixture
async def log(nursery: trio.Nursery) -> AsyncIterator[Log]:
    """Goes with ``autojump_clock``, which pytest-trio wants to see among a test's own arguments."""
    made = Log()
    nursery.start_soon(made.feed.run)
    yield made
    nursery.cancel_scope.cancel()
