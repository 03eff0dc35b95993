"""Statistics: adds up what commits say they did, by minute, hour and day, and deletes what is too old of that.

The rows of the log that have not been added up are read, summed up here, and added together with the place up to which
they go: in one transaction that does nothing when somebody else has moved that place. So each row is counted once,
through every crash, and any number of nodes do it at once. The log is not pruned beyond it (``retention.py``).
"""

from __future__ import annotations

import structlog
import trio

from tickr.errors import StoreError
from tickr.failpoints import reach
from tickr.outage import Outage
from tickr.store.contract import Store, Tallied
from tickr.store.sums import Sums, add_row
from tickr.tallies import Step

PAUSE_S = 3.0
"""Pause between two looks at the log, in seconds: about so old is what is shown at most."""
BATCH, BATCH_PAUSE_S = 500, 0.05
"""Rows of the log that are added at once, and the pause after as many, in seconds: 10,000 commits a second."""
MOST_SUMS = 10_000
"""With as many in hand they are stored before the rest of the rows is looked at: some tens of megabytes."""
KEEP_S = {Step.MINUTE: 48 * 3600, Step.HOUR: 60 * 86_400, Step.DAY: 2 * 365 * 86_400}
"""How long sums are kept, in seconds from when their step began."""
PRUNE_S = 600.0
"""Pause between two looks for sums that are too old, in seconds."""
PRUNE_BATCH, PRUNE_BATCH_PAUSE_S = 500, 0.1
"""How many of them one transaction deletes, and the pause after it in seconds."""

log = structlog.get_logger("tickr.scheduler")


class Statistics:
    """One node's part in it.

    Args:
      stretch: how many times longer than ``PAUSE_S`` the pause is.

    State, its own: ``_prune_at``, when (trio's clock) it looks next for what is too old.
    """

    def __init__(self, store: Store, *, stretch: float = 1.0) -> None:
        self._store = store
        self._pause_s = PAUSE_S * stretch
        self._prune_s = PRUNE_S * stretch
        self._prune_at = float("-inf")
        self._outage = Outage(log, "statistics")

    async def run(self) -> None:
        """Add and delete until cancelled. Cancellation: a batch is added whole, or not at all."""
        while True:
            pause_s = self._pause_s
            with self._outage.outlived(StoreError):
                if await self._add() == BATCH:
                    pause_s = BATCH_PAUSE_S
                elif trio.current_time() >= self._prune_at and await self._prune():
                    pause_s = PRUNE_BATCH_PAUSE_S
            await trio.sleep(pause_s)

    async def _add(self) -> int:
        """Add the first rows that have not been added. Returns how many there were."""
        now = self._store.now_us()
        await self._store.number_events()
        after, rows = await self._store.untallied(BATCH)
        if not rows:
            return 0
        if lost := rows[0].seq - after - 1:
            log.warning("statistics.rows_lost", rows=lost)
        more: Sums = {}
        for row in rows:
            add_row(more, row)
            await trio.lowlevel.checkpoint()  # a commit may have moved jobs of a thousand queues
            if len(more) >= MOST_SUMS or row is rows[-1]:
                upto = Tallied(row.seq, row.created_at if row is not rows[-1] or len(rows) == BATCH else now)
                if not await self._store.add_tallies(more, after=after, upto=upto):
                    break
                await reach("statistics.after_commit")
                more, after = {}, row.seq
        return len(rows)

    async def _prune(self) -> bool:
        """Delete a batch of each step. Returns whether there may be more."""
        now = self._store.now_us()
        for step in Step:
            if await self._store.prune_sums(step, now - KEEP_S[step] * 1_000_000, PRUNE_BATCH) == PRUNE_BATCH:
                return True
        self._prune_at = trio.current_time() + self._prune_s
        return False
