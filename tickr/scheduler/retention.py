"""Retention: keeps the log of events to what the operator wants kept.

Rows are given their numbers, so that a log that nobody reads does not pile up before its first reader; and rows older
than ``events_keep`` are deleted from the front, a batch at a time with a pause between, so that neither claims nor
submissions wait for it. A subscriber whose cursor is older than that is told so.

Any number of nodes do it at once: each row is numbered once and deleted once.
"""

from __future__ import annotations

import structlog
import trio

from tickr.errors import StoreError
from tickr.failpoints import reach
from tickr.store.contract import Store, us_of

LOOK_S = 5.0
"""Pause between two looks for rows without a number, in seconds."""
PRUNE_S = 60.0
"""Pause between two looks for rows that are too old, in seconds; not longer than rows are kept."""
BATCH = 500
"""Rows deleted by one transaction at most; even of the longest it holds up other writers for less than a second."""
BATCH_PAUSE_S = 0.1
"""Pause after a batch, in seconds: a node deletes at most 5,000 rows, or about 200,000 events, a second."""

log = structlog.get_logger("tickr.scheduler")


class Retention:
    """One node's part in it.

    State, its own: ``_prune_at``, when (trio's clock) it looks next for what is too old; ``_away``, whether the store
    was when last asked.
    """

    def __init__(self, store: Store, *, events_keep_s: float) -> None:
        self._store = store
        self._keep_us = us_of(events_keep_s)
        self._prune_s = min(PRUNE_S, events_keep_s)
        self._prune_at = float("-inf")
        self._away = False

    async def run(self) -> None:
        """Number and prune until cancelled. Cancellation: a batch is numbered or deleted whole, or not at all."""
        while True:
            pause_s = LOOK_S
            try:
                await self._store.number_events()
                await reach("retention.after_number")
                if trio.current_time() >= self._prune_at and await self._prune():
                    pause_s = BATCH_PAUSE_S
                self._away = False
            except StoreError as error:
                if not self._away:
                    log.info("retention.interrupted", error=str(error))
                self._away = True
            await trio.sleep(pause_s)

    async def _prune(self) -> bool:
        """Delete a batch. Returns whether there may be more."""
        deleted = await self._store.prune_events(self._store.now_us() - self._keep_us, BATCH)
        if deleted:
            await reach("retention.after_prune")
        else:
            self._prune_at = trio.current_time() + self._prune_s
        return deleted > 0
