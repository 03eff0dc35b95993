"""Retention: keeps the log of events, the jobs that have ended, and their keys, to what the operator wants kept.

Events: rows are given their numbers, so that a log that nobody reads does not pile up before its first reader; and rows
older than ``events_keep`` are deleted from the front, once the statistics have them. A subscriber whose cursor is older
than that is told so. Jobs: those that ended longer ago than ``keep_succeeded`` or ``keep_failed``, or than an age of
their own says, are deleted with their attempts, and so are those that are too many. Keys, and checkpoints: those that
stand for nothing any more.
Rows of the inbox: those that were refused longer ago than ``keep_failed``. The trail of changes: what is older than
``keep_audit``.

All a batch at a time with a pause between, so that neither claims nor submissions wait for it. Any number of nodes do
it at once: each row is numbered once and deleted once.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
import trio

from tickr.errors import StoreError
from tickr.failpoints import reach
from tickr.jobs import State
from tickr.outage import Outage
from tickr.store.contract import Pruned, ScanPosition, Store, us_of

LOOK_S = 5.0
"""Pause between two looks for rows without a number, in seconds."""
PRUNE_S = 60.0
"""Pause between two looks for rows that are too old, in seconds; not longer than rows are kept."""
BATCH = 500
"""Rows deleted by one transaction at most; even of the longest it holds up other writers for less than a second."""
BATCH_PAUSE_S = 0.1
"""Pause after a batch, in seconds: a node deletes at most 5,000 rows, or about 200,000 events, a second."""

WALK_S, LONGEST_WALK_S = 60.0, 3600.0
"""Pause between two walks through the jobs that have ended, in seconds: the second is what it doubles up to while they
find nothing to delete. Neither is longer than a tenth of the time that jobs are kept."""
LARGEST_PAGE, SMALLEST_PAGE = 500, 16
"""How many jobs one transaction looks at, and at most deletes."""
QUICK_S, SLOW_S = 0.025, 0.1
"""A page that took less is followed by one of twice its size, one that took more by one of half of it, in seconds."""
REST = 4
"""After a page, so many times what it took are spent resting: at most a fifth of one processor is busy with this."""
BEHIND_S = 600.0
"""A walk that takes longer than that has more to delete than it gets done: it goes on at half of a processor."""
BEHIND_REST, BEHIND_PAUSE_S = 1, 0.01

REMOVALS_PAUSE_S = 5.0
"""Pause between two looks for jobs that have an age of their own and are older than that, in seconds."""
REMOVALS_BATCH, REMOVALS_BATCH_PAUSE_S = 200, 0.1
"""How many of them one transaction deletes, and the pause after it in seconds, or ``REST`` times what it took."""

KEYS_PAUSE_S = 60.0
"""Pause between two looks for keys and checkpoints that stand for nothing any more, in seconds."""
KEYS_BATCH, KEYS_BATCH_PAUSE_S = 500, 0.1
"""How many one transaction looks at, and the pause after it in seconds: a node deletes at most 5,000 a second."""

INBOX_PAUSE_S = 60.0
"""Pause between two looks for refused rows that are too old, in seconds; not longer than they are kept."""
INBOX_BATCH, INBOX_BATCH_PAUSE_S = 100, 0.1
"""How many of them one transaction deletes, each of up to 16 MiB, and the pause after it in seconds."""

TRAIL_PAUSE_S = 600.0
"""Pause between two looks for entries of the trail that are too old, in seconds; not longer than they are kept."""
TRAIL_BATCH, TRAIL_BATCH_PAUSE_S = 500, 0.1
"""How many of them one transaction deletes, and the pause after it in seconds."""

log = structlog.get_logger("tickr.scheduler")


class Retention:
    """One node's part in it.

    Args:
      stretch: how many times longer than ``LOOK_S`` the pause is.

    State, its own: ``_prune_at``, when (trio's clock) it looks next for what is too old.
    """

    def __init__(self, store: Store, *, events_keep_s: float, stretch: float = 1.0) -> None:
        self._store = store
        self._look_s = LOOK_S * stretch
        self._keep_us = us_of(events_keep_s)
        self._prune_s = min(PRUNE_S, events_keep_s)
        self._prune_at = float("-inf")
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Number and prune until cancelled. Cancellation: a batch is numbered or deleted whole, or not at all."""
        while True:
            pause_s = self._look_s
            with self._outage.outlived(StoreError):
                await self._store.number_events()
                await reach("retention.after_number")
                if trio.current_time() >= self._prune_at and await self._prune():
                    pause_s = BATCH_PAUSE_S
            await trio.sleep(pause_s)

    async def _prune(self) -> bool:
        """Delete a batch. Returns whether there may be more."""
        counted, _ = await self._store.tallied()
        deleted = await self._store.prune_events(self._store.now_us() - self._keep_us, BATCH, upto=counted)
        if deleted:
            await reach("retention.after_prune")
        else:
            self._prune_at = trio.current_time() + self._prune_s
        return deleted > 0


class Walks:
    """Walks through the jobs of a state, page by page, at a pace that leaves the store to others.

    State, its own: ``_page``, how many jobs the next page has.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._page = SMALLEST_PAGE

    async def nodes(self) -> int:
        """Return how many nodes walk: together they shall not take more of the store than one alone."""
        return max(1, sum("scheduler" in node.roles for node in await self._store.nodes()))

    async def walk(self, prune: Callable[[int, ScanPosition | None], Awaitable[Pruned]], nodes: int) -> int:
        """Call ``prune`` with the size of a page and its place until it is through. Returns how many jobs it deleted.

        Cancellation: a page is deleted whole, or not at all.
        """
        total = 0
        position: ScanPosition | None = None
        since = trio.current_time()
        while True:
            began = trio.current_time()
            deleted, position = await prune(self._page, position)
            took_s = trio.current_time() - began
            total += deleted
            self._fit_page(took_s)
            behind = began - since > BEHIND_S
            pause_s, rest = (BEHIND_PAUSE_S, BEHIND_REST) if behind else (BATCH_PAUSE_S, REST)
            await trio.sleep(nodes * max(pause_s, rest * took_s))
            if position is None:
                return total

    def _fit_page(self, took_s: float) -> None:
        if took_s > SLOW_S:
            self._page = max(SMALLEST_PAGE, self._page // 2)
        elif took_s < QUICK_S:
            self._page = min(LARGEST_PAGE, self._page * 2)


class JobRetention:
    """One node's part in deleting the jobs that ended long enough ago.

    A walk goes through the jobs of each state once, page by page, those that may be old first.
    """

    def __init__(self, store: Store, *, keep_succeeded_s: float, keep_failed_s: float) -> None:
        """Args: how long to keep them, in seconds; infinity is for ever."""
        keep_s = {State.SUCCEEDED: keep_succeeded_s, State.FAILED: keep_failed_s, State.CANCELLED: keep_failed_s}
        self._store = store
        self._keep_us = {state: us_of(keep) for state, keep in keep_s.items() if keep != math.inf}
        tenth_s = max(1.0, min(keep_s.values()) / 10)
        self._shortest_s, self._longest_s = min(WALK_S, tenth_s), min(LONGEST_WALK_S, tenth_s)
        self._walks = Walks(store)
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Walk and rest until cancelled; return at once if all is kept for ever.

        Cancellation: a page is deleted whole, or not at all.
        """
        pause_s = self._shortest_s
        while self._keep_us:
            with self._outage.outlived(StoreError):
                deleted = await self._walk()
                pause_s = self._shortest_s if deleted else min(2 * pause_s, self._longest_s)
            await trio.sleep(pause_s)

    async def _walk(self) -> int:
        """Delete what is old enough. Returns how many jobs."""
        nodes = await self._walks.nodes()
        counts = {state: await self._walks.walk(partial(self._prune, state), nodes) for state in self._keep_us}
        return _told(counts)

    async def _prune(self, state: State, limit: int, position: ScanPosition | None) -> Pruned:
        return await self._store.prune_jobs(state, self._store.now_us() - self._keep_us[state], limit, position)


class CountRetention:
    """One node's part in deleting the jobs that are too many, the oldest first.

    Args:
      keep_succeeded, keep_failed: how many to keep of those that ended so; the latter also of the cancelled ones. None:
        any number.
      stretch: how many times longer than ``WALK_S`` the pause is.
    """

    def __init__(
        self, store: Store, *, keep_succeeded: int | None, keep_failed: int | None, stretch: float = 1.0
    ) -> None:
        keep = {State.SUCCEEDED: keep_succeeded, State.FAILED: keep_failed, State.CANCELLED: keep_failed}
        self._store = store
        self._keep = {state: count for state, count in keep.items() if count is not None}
        self._look_s = WALK_S * stretch
        self._walks = Walks(store)
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Look, walk and rest until cancelled; return at once if any number is kept.

        Cancellation: a page is deleted whole, or not at all.
        """
        while self._keep:
            with self._outage.outlived(StoreError):
                nodes = await self._walks.nodes()
                _told({state: await self._keep_last(state, count, nodes) for state, count in self._keep.items()})
            await trio.sleep(self._look_s)

    async def _keep_last(self, state: State, count: int, nodes: int) -> int:
        edge = await self._store.last_beyond(state, count)
        return 0 if edge is None else await self._walks.walk(partial(self._store.prune_beyond, state, edge), nodes)


def _told(counts: Mapping[State, int]) -> int:
    if total := sum(counts.values()):
        log.info("retention.jobs_deleted", **{state.value: count for state, count in counts.items() if count})
    return total


class OwnAgeRetention:
    """One node's part in deleting jobs that say themselves how long they are kept.

    Args:
      stretch: how many times longer than ``REMOVALS_PAUSE_S`` the pause is.
    """

    def __init__(self, store: Store, *, stretch: float = 1.0) -> None:
        self._store = store
        self._look_s = REMOVALS_PAUSE_S * stretch
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Look and rest until cancelled. Cancellation: a batch is deleted whole, or not at all."""
        while True:
            with self._outage.outlived(StoreError):
                if total := await self._remove():
                    log.info("retention.jobs_deleted", by_own_age=total)
            await trio.sleep(self._look_s)

    async def _remove(self) -> int:
        """Delete all whose time has come. Those that have to stay yet are passed over, and seen again the next time."""
        total, place = 0, None
        while True:
            began = trio.current_time()
            deleted, place = await self._store.remove_due(REMOVALS_BATCH, place)
            total += deleted
            if place is None:
                return total
            await trio.sleep(max(REMOVALS_BATCH_PAUSE_S, REST * (trio.current_time() - began)))


class KeyRetention:
    """One node's part in deleting keys and checkpoints.

    Args:
      stretch: how many times longer than ``KEYS_PAUSE_S`` the pause is.
    """

    def __init__(self, store: Store, *, stretch: float = 1.0) -> None:
        self._store = store
        self._look_s = KEYS_PAUSE_S * stretch
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Look and rest until cancelled. Cancellation: a batch is deleted whole, or not at all."""
        while True:
            pause_s = self._look_s
            with self._outage.outlived(StoreError):
                looked_at = [await self._store.prune_keys(KEYS_BATCH), await self._store.prune_checkpoints(KEYS_BATCH)]
                if KEYS_BATCH in looked_at:
                    pause_s = KEYS_BATCH_PAUSE_S
            await trio.sleep(pause_s)


class InboxRetention:
    """One node's part in deleting rows of the inbox that were refused."""

    def __init__(self, store: Store, *, keep_failed_s: float) -> None:
        """Args: how long to keep them, in seconds; infinity is for ever."""
        self._store = store
        self._keep_s = keep_failed_s
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Look and rest until cancelled; return at once if all are kept for ever.

        Cancellation: a batch is deleted whole, or not at all.
        """
        while self._keep_s != math.inf:
            pause_s = min(INBOX_PAUSE_S, self._keep_s)
            with self._outage.outlived(StoreError):
                before = self._store.now_us() - us_of(self._keep_s)
                if await self._store.prune_inbox(before, INBOX_BATCH) == INBOX_BATCH:
                    pause_s = INBOX_BATCH_PAUSE_S
            await trio.sleep(pause_s)


class TrailRetention:
    """One node's part in deleting what was changed long ago, and by whom.

    Args:
      stretch: how many times longer than ``TRAIL_PAUSE_S`` the pause is.
    """

    def __init__(self, store: Store, *, keep_s: float, stretch: float = 1.0) -> None:
        self._store = store
        self._keep_us = us_of(keep_s)
        self._look_s = min(TRAIL_PAUSE_S * stretch, keep_s)
        self._outage = Outage(log, "retention")

    async def run(self) -> None:
        """Look and rest until cancelled. Cancellation: a batch is deleted whole, or not at all."""
        while True:
            pause_s = self._look_s
            with self._outage.outlived(StoreError):
                if await self._store.prune_trail(self._store.now_us() - self._keep_us, TRAIL_BATCH) == TRAIL_BATCH:
                    pause_s = TRAIL_BATCH_PAUSE_S
            await trio.sleep(pause_s)
