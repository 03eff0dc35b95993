"""Hints: what becomes of ids that the index gave and the store did not let this node claim.

Each is looked at once, in the store. Not due by the store's clock, or held by somebody just now: back to waiting until
it is worth another try. Of a type that only other live nodes handle, or encrypted with a key that only they have: back
to the front at once, since they are waiting for it. If nobody can run it: back with a pause that doubles. Of a queue or
a limit key that is full or paused: back to the front, where it is not looked for. Anything else was stale and is
dropped.

State: the pauses and the view of the fleet are written and read here only. A *need* is what a node must have to run a
job: a handler of its type, and the key that it is encrypted with (None for a plain one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.envelopes import name_of
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.contract import EARLY_US, Index, Lane
from tickr.jobs import Entry, Job
from tickr.store.changes import readable
from tickr.store.contract import Node, Store, keys_for
from tickr.worker.gates import LANE_HOLD_US, Gates

HELD_PAUSE_US = 50_000
"""A due job that could not be claimed just now (somebody holds its row) is tried again after this, microseconds."""
SUSPECT_PAUSE_US = 500_000
"""A suspect that must not run beside another one is tried again after this, microseconds."""
PAUSE_US = 100_000
MAX_PAUSE_US = 30_000_000
"""First and longest pause of jobs that no live node can run, microseconds."""
FLEET_S = 5.0
"""How long a look that finds another node for a job is good for, in seconds. That there is none is looked for anew."""
FRONT = 1_000
"""How many due jobs of each queue a node that starts puts to the front (they may have been paused)."""


Need = tuple[str, str | None]

log = structlog.get_logger("tickr.worker")


class Hints:
    """Gives unclaimed ids back to the index.

    Args:
      types: the job types that have a handler here.
      keys: ids of the encryption keys that are here.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        bell: Bell,
        gates: Gates,
        *,
        types: frozenset[str],
        keys: frozenset[str] = frozenset(),
    ) -> None:
        self._gates = gates
        self._store = store
        self._index = index
        self._bell = bell
        self._types = types
        self._keys = keys
        self._pause_us: dict[Need, int] = {}
        self._fleet: list[Node] = []
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

    async def give_back(self, ids: Sequence[str], *, freed: int) -> bool:
        """Look at unclaimed ``ids`` and put back what still waits.

        Args:
          freed: ``Gates.freed`` before they were claimed in vain. Where a place got free since, they go back at once,
            but for suspects: what those wait for is another suspect, most likely, while places get free all the time.
        Returns: whether there were jobs among them that other live nodes wait for.
        Raises: StoreUnavailable: they are out of the index until the audit finds them.
        """
        now = self._store.now_us()
        for_others: list[Entry] = []
        at_once: list[Entry] = []
        later: dict[int, list[Entry]] = defaultdict(list)
        kept_back: list[Entry] = []
        lanes: set[Lane] = set()
        pauses: dict[Need, int] = {}
        asked_at = trio.current_time()
        waiting = await self._store.still_waiting(ids)
        full = {job.id for job in waiting if self._gates.freed > freed or self._gates.held(job)}
        if waiting:
            await self._gates.look()
        for job in waiting:
            if held := self._gates.held(job):
                kept_back.append(job.entry())
                if held.by == "max_running_per_key":
                    lanes.add(Lane(job.queue, str(job.limit_key)))
            elif not self._can_run(job) and await self._others_can_run(job, asked_at):
                for_others.append(job.entry())
            elif job.id in full and not job.suspect and self._gates.controls(job) and self._can_run(job):
                at_once.append(job.entry())
            else:
                later[max(job.run_at, now + self._pause(job, now, pauses))].append(job.entry())
        try:
            if for_others or at_once:
                await self._index.push([*for_others, *at_once], now=now)
            if kept_back:
                await self._index.push(kept_back, now=now + EARLY_US)
                await self._index.hold(sorted(lanes), until=now + LANE_HOLD_US)
            for until, entries in later.items():
                await self._index.park(entries, until=until)
        except IndexUnavailable:
            return bool(for_others)
        if later or lanes:
            await self._bell.ring(Ring("due", at=min([*later, *([now + LANE_HOLD_US] if lanes else [])])))
        return bool(for_others)

    def _pause(self, job: Job, now: int, pauses: dict[Need, int]) -> int:
        """Return for how long a job stays out of the way, microseconds; ``pauses``: those of this look, by need."""
        if self._can_run(job):
            pause = SUSPECT_PAUSE_US if job.suspect else HELD_PAUSE_US
            return pause if job.run_at <= now else 0
        need = job.type, job.extras.sealed
        if need not in self._pause_us and need[1] is not None and job.type in self._types:
            log.warning("job.key_missing", job=job.id, type=job.type, key=name_of(need[1]))
        if need not in pauses:
            pauses[need] = self._pause_us.get(need, PAUSE_US)
            self._pause_us[need] = min(2 * pauses[need], MAX_PAUSE_US)
        return pauses[need]

    def _can_run(self, job: Job) -> bool:
        return job.type in self._types and readable(job, self._keys)

    async def _others_can_run(self, job: Job, asked_at: float) -> bool:
        """Whether other live nodes can. A no is never older than ``asked_at``: a node that has come since brings what
        waits to the front at its start, and nobody would bring what is put away after that.
        """
        for good_since in (trio.current_time() - FLEET_S, asked_at):
            if self._fleet_seen_at < good_since:
                self._fleet = [node for node in await self._store.nodes() if node.takes_jobs or not node.types]
                self._fleet_seen_at = trio.current_time()
            able = [node for node in self._fleet if job.type in node.types]
            if any(readable(job, keys_for(node, self._fleet)) for node in able):
                self._pause_us.pop((job.type, job.extras.sealed), None)
                return True
        return False
