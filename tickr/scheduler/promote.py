"""Promote: moves what is about to be due from waiting to ready, and sleeps exactly until the next is.

That is ``EARLY_US`` before its instant, for which whoever pops it waits.

Wakes at the next due instant, or earlier when the bell tells of an earlier one, from this process or another. While the
index is away there is nothing to promote: workers take due jobs from the store.
"""

from __future__ import annotations

import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable
from tickr.failpoints import reach
from tickr.index.contract import EARLY_US, Index
from tickr.store.contract import Store

BATCH = 1_000
"""Entries moved by one call, so that no call holds the index for long."""
LONGEST_SLEEP_S = 5.0
"""Safety net for a ring that was lost: never sleep longer, in seconds."""


async def promote(store: Store, index: Index, bell: Bell, stretch: float = 1.0) -> None:
    """Run until cancelled. Cancellation: an entry is either moved or not.

    Args:
      stretch: how many times longer than ``LONGEST_SLEEP_S`` the longest sleep is.
    """
    async with bell.listen("due") as rings:
        while True:
            await index.wait_available()
            try:
                next_due_at = await _promote_all_due(store, index)
            except IndexUnavailable:
                continue
            await _sleep_until(store, next_due_at, rings, LONGEST_SLEEP_S * stretch)


async def _promote_all_due(store: Store, index: Index) -> int | None:
    while True:
        await reach("promote.before")
        moved, next_due_at = await index.promote(store.now_us() + EARLY_US, BATCH)
        if moved:
            await reach("promote.after")
        if moved < BATCH:
            return next_due_at


async def _sleep_until(
    store: Store, due_at: int | None, rings: trio.MemoryReceiveChannel[Ring], longest_s: float
) -> None:
    """Return just before ``due_at``, or at once on a ring that may bring an earlier one, or after the longest sleep."""
    with trio.move_on_after(longest_s) as nap:
        while True:
            if due_at is not None:
                nap.deadline = min(nap.deadline, trio.current_time() + (due_at - EARLY_US - store.now_us()) / 1e6)
            ring = await rings.receive()
            if ring.at is not None:
                due_at = ring.at if due_at is None else min(ring.at, due_at)
