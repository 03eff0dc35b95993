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
from tickr.jobs import WAITING, State
from tickr.links import End
from tickr.store.contract import Store

SWEEP_S = 1.0
"""Pause between sweeps, in seconds; with the lease it bounds how long a job of a dead node waits.

A heartbeat is seen so much later than it was at most; the end of a lease is waited for to the instant.
"""
BATCH = 500

log = structlog.get_logger("tickr.scheduler")


class Sighting(NamedTuple):
    """A node's ``lease_until`` as last read, since when it has been that, and when its lease ends (trio's clock)."""

    lease_until: int
    since: float
    ends_at: float


class Reaper:
    """One node's sweeps.

    Args:
      stretch: how many times longer than ``SWEEP_S`` the pause is.
    """

    def __init__(self, store: Store, announcer: Announcer, *, stretch: float = 1.0) -> None:
        self._store = store
        self._announcer = announcer
        self._pause_s = SWEEP_S * stretch
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
                await trio.sleep_until(self._next_sweep_at())

    def _next_sweep_at(self) -> float:
        """Return when to look again: after a pause, or sooner if a lease may end before."""
        return min([trio.current_time() + self._pause_s, *(last.ends_at for last in self._seen.values())])

    async def _expire_silent_nodes(self) -> None:
        nodes, now = await self._store.nodes(), trio.current_time()
        seen = {}
        for node in nodes:
            if node.lease_until is None:
                continue
            last = self._seen.get(node.id)
            if last is None or last.lease_until != node.lease_until:
                last = Sighting(node.lease_until, now, now + node.lease_s)
            if now < last.ends_at:
                seen[node.id] = last
            elif await self._store.expire(node.id, lease_until=node.lease_until):
                await reach("reap.after_expire")
                silent_s = round(now - last.since, 1)
                log.warning("node.expired", node=node.id, host=node.host, pid=node.pid, silent_s=silent_s)
        self._seen = seen

    async def _take_back(self) -> int:
        jobs = await self._store.reap(BATCH)
        if jobs:
            await reach("reap.after_commit")
        abandoned = [job for job in jobs if job.error is not None and job.error.kind == "node_gone"]
        for job in abandoned:
            log.info("job.cancelled", job=job.id, type=job.type, attempt=job.attempt, error="node_gone")
        await self._announcer.forget([job.entry() for job in abandoned])
        for job in jobs:
            if job in abandoned:
                continue
            said = {"job": job.id, "type": job.type, "node": job.node}
            if job.state is State.SUCCEEDED or job.closing is End.SUCCEEDED:
                log.warning("job.end_found", **said, outcome="crashed")
            else:
                log.warning("job.crashed", **said, crashes=job.crashes, state=job.state.value)
        await self._announcer.announce([job.entry() for job in jobs if job.state in WAITING], at=self._store.now_us())
        return len(jobs)
