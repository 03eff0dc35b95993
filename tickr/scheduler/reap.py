"""Reap: takes back the running jobs of nodes that are gone.

A node is alive while its row is there. The reaper watches the rows: one that has not been renewed for a whole lease,
as counted by *this process's monotonic clock*, is taken away by compare-and-delete; running jobs without a row go back.
No wall clock takes part, so a step of one steals nothing and shields nobody. While the store is away nobody can renew;
what was seen before an outage is forgotten, and everybody has a full lease after it.

Any number of nodes sweep; each job is taken back once. State: ``_seen`` is written and read here only.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog
import trio

from tickr.announce import Announcer
from tickr.errors import StoreUnavailable
from tickr.failpoints import reach
from tickr.jobs import WAITING
from tickr.store.contract import Store

SWEEP_S = 1.0
"""Pause between sweeps, in seconds; with the lease it bounds how long a job of a dead node waits."""
BATCH = 500

log = structlog.get_logger("tickr.scheduler")


class Sighting(NamedTuple):
    """A node's ``lease_until`` as last read, and since when (trio's clock) it has been that."""

    lease_until: int | None
    since: float


class Reaper:
    """One node's sweeps."""

    def __init__(self, store: Store, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer
        self._seen: dict[str, Sighting] = {}

    async def run(self) -> None:
        """Sweep until cancelled. Cancellation: a job taken back and not announced is found by the audit."""
        while True:
            try:
                await self._expire_silent_nodes()
                taken_back = await self._take_back()
            except StoreUnavailable:
                self._seen.clear()
                taken_back = 0
            if taken_back < BATCH:
                await trio.sleep(SWEEP_S)

    async def _expire_silent_nodes(self) -> None:
        nodes, now = await self._store.nodes(), trio.current_time()
        seen = {}
        for node in nodes:
            before = self._seen.get(node.id)
            renewed = before is None or before.lease_until != node.lease_until
            seen[node.id] = last = Sighting(node.lease_until, now) if before is None or renewed else before
            silent_s = now - last.since
            if silent_s >= node.lease_s and node.lease_until is not None:
                if await self._store.expire(node.id, lease_until=node.lease_until):
                    await reach("reap.after_expire")
                    log.warning("node.expired", node=node.id, host=node.host, pid=node.pid, silent_s=round(silent_s, 1))
                del seen[node.id]
        self._seen = seen

    async def _take_back(self) -> int:
        jobs = await self._store.reap(BATCH)
        if jobs:
            await reach("reap.after_commit")
        for job in jobs:
            log.warning(
                "job.crashed", job=job.id, type=job.type, node=job.node, crashes=job.crashes, state=job.state.value
            )
        await self._announcer.announce([job.entry() for job in jobs if job.state in WAITING], at=self._store.now_us())
        return len(jobs)
