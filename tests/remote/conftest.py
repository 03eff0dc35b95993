"""Leases on a stage: memory store, heap, bell and feed in virtual time, all real; or their parts, on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tests.store.conftest import backend as backend
from tests.store.conftest import clock as clock
from tests.store.conftest import store as store
from tickr.bell import Ring
from tickr.feed.feed import Feed
from tickr.index.heap import open_heap
from tickr.jobs import Job
from tickr.remote.beats import Held
from tickr.remote.leases import Leases, Poll, Taken, leases_on
from tickr.scheduler.promote import promote
from tickr.scheduler.reap import Reaper
from tickr.sealing import NO_VAULT, Vault

LEASE_S = 15.0


class Site(Stage):
    """A stage with leases. ``leases`` are those of one node; ``another_node`` makes more."""

    stopping: trio.Event
    leases: Leases
    nursery: trio.Nursery

    def another_node(self, vault: Vault = NO_VAULT) -> Leases:
        """Return the leases of one node more, on the same store."""
        feed = Feed(self.store, self.bell)
        leases = leases_on(
            *(self.store, self.index, self.bell, feed, self.announcer),
            lease_s=LEASE_S,
            max_result_bytes=100,
            stopping=self.stopping,
            chance=lambda: 0.5,
            vault=vault,
        )
        self.nursery.start_soon(feed.run)
        self.nursery.start_soon(leases.run)
        return leases

    async def poll(
        self,
        lease: str | None = None,
        *types: str,
        most: int = 1,
        wait: float = 0.0,
        held: tuple[Held, ...] = (),
        on: Leases | None = None,
        queues: tuple[str, ...] = (),
    ) -> Taken:
        return await (on or self.leases).poll(
            Poll(
                lease,
                None if lease else frozenset(types or ("noop",)),
                None if lease else frozenset(queues),
                most,
                trio.current_time() + wait,
                held,
                slots=max(1, most),
            )
        )

    async def session(self, *types: str, queues: tuple[str, ...] = ()) -> str:
        """Return a new lease."""
        return (await self.poll(None, *types, most=0, queues=queues)).lease

    async def taken(self, lease: str, count: int = 1) -> list[Job]:
        """Return ``count`` jobs that ``lease`` has claimed and knows of."""
        found: list[Job] = []
        while len(found) < count:
            polled = await self.poll(lease, most=count - len(found), wait=5, held=tuple(map(held, found)))
            assert polled.jobs
            found += polled.jobs
        return found


def held(job: Job, **said: Any) -> Held:
    return Held(job.id, job.fence, **said)


@asynccontextmanager
async def open_leases() -> AsyncIterator[Site]:
    async with open_heap() as index, trio.open_nursery() as nursery:
        site = Site(index)
        site.store.port.on_events(partial(site.bell.ring_nowait, Ring("feed")))
        site.stopping, site.nursery = trio.Event(), nursery
        site.leases = site.another_node()
        nursery.start_soon(promote, site.store, site.index, site.bell)
        nursery.start_soon(Reaper(site.store, site.announcer).run)
        await wait_all_tasks_blocked()
        yield site
        nursery.cancel_scope.cancel()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Goes with ``autojump_clock``."""
    async with open_leases() as opened:
        yield opened
