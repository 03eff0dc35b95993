"""Hints: what becomes of ids that the index gave and the store did not let this node claim.

Each is looked at once, in the store. Not due by the store's clock, or held by somebody just now: back to waiting until
it is worth another try. Of a type that only other live nodes handle: back to the front at once, since they are waiting
for it. Of a type that nobody handles: back with a pause that doubles. Anything else was stale and is dropped.

State: the pauses and the view of the fleet are written and read here only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.contract import EARLY_US, Index
from tickr.jobs import Entry, Job
from tickr.store.contract import Store

HELD_PAUSE_US = 50_000
"""A due job that could not be claimed just now (somebody holds its row) is tried again after this, microseconds."""
SUSPECT_PAUSE_US = 500_000
"""A suspect that must not run beside another one is tried again after this, microseconds."""
PAUSE_US = 100_000
MAX_PAUSE_US = 30_000_000
"""First and longest pause of jobs whose type no live node handles, microseconds."""
FLEET_S = 5.0
"""How long a look at the other nodes' types is good for, in seconds."""
FRONT = 1_000
"""How many due jobs of each queue a node that starts puts to the front (they may have been paused)."""


class Hints:
    """Gives unclaimed ids back to the index.

    Args:
      types: the job types that have a handler here.
    """

    def __init__(self, store: Store, index: Index, bell: Bell, *, types: frozenset[str]) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._types = types
        self._pause_us: dict[str, int] = {}
        self._fleet_types: frozenset[str] = frozenset()
        self._fleet_seen_at = float("-inf")

    async def unpark(self) -> None:
        """Put due jobs to the front: until this node came, there may have been none that handles their type."""
        with suppress(IndexUnavailable, StoreUnavailable):  # the audit and the end of their pause bring them
            await self._index.push(await self._store.due(FRONT), now=self._store.now_us())

    async def put_back(self, ids: Sequence[str]) -> None:
        """Put ``ids`` that there is no slot for any more where they were: among what is ready, early ones too.

        Raises: StoreUnavailable: they are out of the index until the audit finds them.
        """
        entries = [job.entry() for job in await self._store.still_waiting(ids)]
        with suppress(IndexUnavailable):
            await self._index.push(entries, now=self._store.now_us() + EARLY_US)

    async def give_back(self, ids: Sequence[str]) -> bool:
        """Look at unclaimed ``ids`` and put back what still waits.

        Returns: whether there were jobs among them that other live nodes wait for.
        Raises: StoreUnavailable: they are out of the index until the audit finds them.
        """
        now = self._store.now_us()
        for_others: list[Entry] = []
        later: dict[int, list[Entry]] = defaultdict(list)
        for job in await self._store.still_waiting(ids):
            if job.type not in self._types and job.type in await self._types_of_the_fleet():
                for_others.append(job.entry())
            else:
                later[max(job.run_at, now + self._pause(job, now))].append(job.entry())
        try:
            if for_others:
                await self._index.push(for_others, now=now)
            for until, entries in later.items():
                await self._index.park(entries, until=until)
        except IndexUnavailable:
            return bool(for_others)
        if later:
            await self._bell.ring(Ring("due", at=min(later)))
        return bool(for_others)

    def _pause(self, job: Job, now: int) -> int:
        """Return for how long a job stays out of the way, microseconds."""
        if job.type in self._types:
            pause = SUSPECT_PAUSE_US if job.suspect else HELD_PAUSE_US
            return pause if job.run_at <= now else 0
        pause = self._pause_us.get(job.type, PAUSE_US)
        self._pause_us[job.type] = min(2 * pause, MAX_PAUSE_US)
        return pause

    async def _types_of_the_fleet(self) -> frozenset[str]:
        if trio.current_time() - self._fleet_seen_at > FLEET_S:
            self._fleet_types = frozenset(name for node in await self._store.nodes() for name in node.types)
            self._fleet_seen_at = trio.current_time()
        return self._fleet_types
