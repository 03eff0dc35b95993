"""Burst: work until nothing is left that this node may start now, then say so.

The index gives hints alone, so it is the store that is asked, by a claim: what it gives runs, and it is asked again
once nothing runs here any more. "Left" is what is due by the store's clock, of a type and a queue of this node, and
held back by no pause and no limit. What is due later (delayed, retrying), blocked, or running on another node is not
waited for.
"""

from __future__ import annotations

from contextlib import suppress

import structlog
import trio

from tickr.errors import StoreUnavailable
from tickr.store.contract import Store
from tickr.worker.claim import Claimer

NET_S = 1.0
"""Longest time between two looks, in seconds: what ran may have been taken away from this node."""
TICKS_S = 5.0
"""How long due ticks of schedules are waited for, in seconds: there may be one that nobody here can fire."""
LOST_AT_ONCE = 1_000

log = structlog.get_logger("tickr.worker")


class Burst:
    """Watches one node's work come to its end. ``job_ended`` is called when outcomes have been stored."""

    def __init__(self, store: Store, claimer: Claimer) -> None:
        self._store = store
        self._claimer = claimer
        self._stored = trio.Event()

    def job_ended(self) -> None:
        self._stored.set()

    async def wait_nothing_left(self, *, schedules: bool) -> None:
        """Return once nothing is left. While the store is away it is waited for.

        Args:
          schedules: whether ticks that are due already shall be jobs first.
        """
        ticks_until = trio.current_time() + (TICKS_S if schedules else 0)
        while True:
            self._stored = trio.Event()
            with suppress(StoreUnavailable):
                if not await self._has_ticks(ticks_until) and not await self._has_work():
                    log.info("node.nothing_left", node=self._claimer.node)
                    return
            with trio.move_on_after(NET_S):
                await self._stored.wait()

    async def _has_ticks(self, until: float) -> bool:
        return trio.current_time() < until and bool((await self._store.due_schedules(1)).found)

    async def _has_work(self) -> bool:
        """Take back what was lost with nodes that are gone, start what may be started, look at what runs here."""
        node = self._claimer.node
        if node is None:
            return True  # it has no lease yet, or none at the moment
        await self._store.reap(LOST_AT_ONCE)
        return await self._claimer.claim_from_store(node) or bool(await self._store.at_work(1, node=node))
