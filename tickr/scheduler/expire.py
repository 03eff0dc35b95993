"""Expire: ends jobs that wait when their ``expires_at`` comes, those that no worker would ever look at as well.

No claim starts such a job, so nothing here decides whether one runs; this is for those who wait for it to end. Sleeps
until the next one, as the store or a ring tells, and looks at least once a second: if its ring is lost, one that is to
expire sooner may end so much late.

Any number of nodes do it at once; each job is ended once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import Job
from tickr.store.contract import Store

NET_S = 1.0
"""Longest pause between two looks, in seconds."""
BATCH = 200
"""Jobs ended by one transaction; claims and submissions wait no longer than it takes."""
AGAIN_S = 0.02
"""Pause where the next has expired already, as when somebody else holds it just now, in seconds. After a batch it is at
least as long as that took: half of the store's time stays for the others."""

log = structlog.get_logger("tickr.scheduler")


async def expire(store: Store, index: Index, bell: Bell, stretch: float = 1.0) -> None:
    """Run until cancelled. Cancellation: each job is ended or not; what it left in the index is a stale hint.

    Args:
      stretch: how many times longer than ``NET_S`` the longest pause is.
    """
    async with bell.listen("expiry") as rings:
        while True:
            began = trio.current_time()
            pause_s = NET_S * stretch
            try:
                ended, next_at = await store.end_expired(BATCH)
            except StoreUnavailable:
                ended, next_at, pause_s = [], None, NET_S
            if ended:
                await reach("expire.after_commit")
                await _forget(index, ended)
            if next_at is not None:
                took_s = trio.current_time() - began
                pause_s = min(pause_s, max((next_at - store.now_us()) / 1e6, took_s, AGAIN_S))
            await _rest(store, pause_s, rings)


async def _rest(store: Store, pause_s: float, rings: trio.MemoryReceiveChannel[Ring]) -> None:
    """Return after the pause, or when what a ring tells of expires."""
    with trio.move_on_after(pause_s) as nap:
        while True:
            ring = await rings.receive()
            if ring.at is not None:
                left_s = max(AGAIN_S, (ring.at - store.now_us()) / 1e6)
                nap.deadline = min(nap.deadline, trio.current_time() + left_s)


async def _forget(index: Index, ended: Sequence[Job]) -> None:
    """Take them out of the index: where nobody takes their queue, nobody would ever drop them."""
    if log.is_enabled_for(logging.INFO):
        for job in ended:
            log.info("job.expired", job=job.id, type=job.type, queue=job.queue, attempt=job.attempt)
    try:
        await index.remove([job.entry() for job in ended])
    except IndexUnavailable:
        return  # it is filled anew from what waits, or a worker finds stale hints
