"""Reap: takes back the running jobs of nodes whose lease has ended.

Any number of nodes sweep; each job is taken back once. A node that had lost the store itself keeps quiet for a while
before it sweeps again: while the store was away nobody could renew a lease, so its end says nothing about the owner.
"""

from __future__ import annotations

import structlog
import trio

from tickr.announce import Announcer
from tickr.errors import StoreUnavailable
from tickr.jobs import WAITING
from tickr.store.contract import Store

SWEEP_S = 1.0
"""Pause between sweeps, in seconds; with the lease it bounds how long a job of a dead node waits."""
BATCH = 500

log = structlog.get_logger("tickr.scheduler")


async def reap(store: Store, announcer: Announcer, *, quiet_s: float) -> None:
    """Run until cancelled.

    Args:
      quiet_s: seconds to wait after the store was away; longer than the time between two heartbeats.
    Cancellation: a job taken back and not announced is found by the audit.
    """
    while True:
        try:
            taken_back = await _sweep(store, announcer)
        except StoreUnavailable:
            await _outlast_outage(store, quiet_s)
            continue
        if taken_back < BATCH:
            await trio.sleep(SWEEP_S)


async def _sweep(store: Store, announcer: Announcer) -> int:
    jobs = await store.reap(BATCH)
    for job in jobs:
        log.warning("job.crashed", job=job.id, type=job.type, node=job.node, crashes=job.crashes, state=job.state.value)
    await announcer.announce([job.entry() for job in jobs if job.state in WAITING], at=store.now_us())
    return len(jobs)


async def _outlast_outage(store: Store, quiet_s: float) -> None:
    while True:
        await trio.sleep(SWEEP_S)
        try:
            await store.ping()
        except StoreUnavailable:
            continue
        break
    await trio.sleep(quiet_s)
