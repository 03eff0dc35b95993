"""Backlog: looks every few seconds how long the oldest due job of each queue has waited, and deletes what is too old.

What is seen is kept by the store (``store/backlog.py``). A step in which no node looked stays without an age. Of any
number of nodes that do it one looks at a time: the store knows when somebody did.
"""

from __future__ import annotations

import structlog
import trio

from tickr.errors import StoreError
from tickr.outage import Outage
from tickr.scheduler.statistics import KEEP_S, PRUNE_BATCH, PRUNE_BATCH_PAUSE_S, PRUNE_S
from tickr.store.contract import Store, us_of
from tickr.tallies import Step

LOOK_S = 5.0
"""Pause between two looks, in seconds: what waited for less may not have been seen."""
APART_S = 4.0
"""Nobody looks sooner than that after another node did, in seconds."""

log = structlog.get_logger("tickr.scheduler")


class BacklogAge:
    """One node's part in it.

    Args:
      stretch: how many times longer than ``LOOK_S`` the pause is.

    State, its own: ``_prune_at``, when (trio's clock) it looks next for what is too old.
    """

    def __init__(self, store: Store, *, stretch: float = 1.0) -> None:
        self._store = store
        self._look_s = LOOK_S * stretch
        self._prune_s = PRUNE_S * stretch
        self._prune_at = float("-inf")
        self._outage = Outage(log, "backlog")

    async def run(self) -> None:
        """Look and delete until cancelled. Cancellation: a look is kept whole, or not at all."""
        while True:
            pause_s = self._look_s
            with self._outage.outlived(StoreError):
                await self._store.look_at_backlog(us_of(APART_S))
                if trio.current_time() >= self._prune_at and await self._prune():
                    pause_s = PRUNE_BATCH_PAUSE_S
            await trio.sleep(pause_s)

    async def _prune(self) -> bool:
        """Delete a batch of each step, kept as long as the sums of it are. Returns whether there may be more."""
        now = self._store.now_us()
        for step in Step:
            if await self._store.prune_backlog(step, now - us_of(KEEP_S[step]), PRUNE_BATCH) == PRUNE_BATCH:
                return True
        self._prune_at = trio.current_time() + self._prune_s
        return False
