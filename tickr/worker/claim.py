"""Claim: takes due jobs from the index, or from the store while the index is away, and hands them to the pool.

A free slot first, then a claim, so a node never holds a job it cannot start. What the index gives is a hint; the
store's compare-and-set decides. What was taken from the index and not claimed is looked at once: not due by the store's
clock, back to waiting; of a type without a handler here, back with a pause (short when another live node handles it,
otherwise doubling); anything else was stale.

State: the queue names, the pauses and the view of the fleet are written and read here only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.contract import MAX_POP, Index
from tickr.jobs import DEFAULT_QUEUE, Job
from tickr.store.contract import Store

NET_S = 1.0
"""Longest wait between looks into the store while the index is away, in seconds."""
QUEUES_NET_S = 10.0
"""How long a queue that another process used first may stay unknown here if its ring was lost, in seconds."""
LOCKED_PAUSE_US = 50_000
"""A due job that could not be claimed just now (somebody holds its row) is tried again after this, microseconds."""
PAUSE_US = 100_000
MAX_PAUSE_US = 30_000_000
"""First and longest pause of jobs whose type has no handler here, microseconds."""
FLEET_S = 5.0
"""How long a look at the other nodes' types is good for, in seconds."""
FRONT = 1_000
"""How many due jobs of each queue a node that starts puts back to the front (they may have been paused)."""

log = structlog.get_logger("tickr.worker")


class Slots(Protocol):
    """Where claimed jobs go; ``Pool`` in ``worker/pool.py``."""

    async def wait_free(self) -> int:
        """Return the number of free slots, waiting until there is at least one."""
        ...

    def start(self, jobs: Sequence[Job]) -> None:
        """Start claimed jobs; at most as many as there are free slots."""
        ...


class Claimer:
    """One claim loop.

    Args:
      types: the job types that have a handler here.
    """

    def __init__(self, store: Store, index: Index, bell: Bell, slots: Slots, *, types: frozenset[str]) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._slots = slots
        self._types = types
        self._queues: list[str] = [DEFAULT_QUEUE]
        self._waiting = trio.CancelScope()
        self._closed = False
        self._pause_us: dict[str, int] = {}
        self._fleet_types: frozenset[str] = frozenset()
        self._fleet_seen_at = float("-inf")

    async def run(self, node: str) -> None:
        """Claim for ``node`` until ``close``.

        Cancellation: nothing is taken from the index and dropped. A claim cut after its COMMIT stands without a
        runner; the heartbeat finds it. ``close`` cuts no claim.
        """
        async with (
            self._bell.listen("queue") as new_queue,
            self._bell.listen("work") as work,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._follow_queues, new_queue)
            await self._unpark()
            while not self._closed:
                try:
                    await self._claim_some(node, work)
                except StoreUnavailable as error:
                    log.warning("claim.waiting_for_store", error=str(error))
                    await self._outlast_outage()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Claim nothing more; a claim in flight ends first, and its jobs are started."""
        self._closed = True
        self._waiting.cancel()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A block that only waits: left early when the loop is closed or the queues to look in have changed."""
        with trio.CancelScope() as self._waiting:
            if self._closed:
                self._waiting.cancel()
            yield

    async def _claim_some(self, node: str, work: trio.MemoryReceiveChannel[Ring]) -> None:
        limit, ids = 0, list[str]()
        try:
            with self._interruptible():
                limit = min(await self._slots.wait_free(), MAX_POP)
                self._queues.append(self._queues.pop(0))  # every queue has its turn at being the first
                ids = await self._index.pop(self._queues, limit)
        except IndexUnavailable:
            jobs = await self._store.claim_due(limit, node=node, types=self._types)
            self._slots.start(jobs)
            if not jobs:
                await self._wait_for_work(work)
        else:
            if ids:
                await self._claim(node, ids)

    async def _claim(self, node: str, ids: list[str]) -> None:
        try:
            jobs = await self._store.claim(ids, node=node, types=self._types)
        except StoreUnavailable:
            await self._bell.ring(Ring("audit"))  # these ids are out of the index now
            raise
        self._slots.start(jobs)
        if len(jobs) < len(ids):
            claimed = {job.id for job in jobs}
            await self._put_back([job_id for job_id in ids if job_id not in claimed])

    async def _put_back(self, ids: list[str]) -> None:
        """Give what could not be claimed back to the index, at the instant when it is worth another try."""
        now = self._store.now_us()
        later = [
            job.entry()._replace(run_at=max(job.run_at, now + await self._pause(job)))
            for job in await self._store.still_waiting(ids)
        ]
        if not later:
            return
        try:
            for entry in later:
                await self._index.park([entry], until=entry.run_at)
        except IndexUnavailable:
            return
        await self._bell.ring(Ring("due", at=min(entry.run_at for entry in later)))

    async def _pause(self, job: Job) -> int:
        """Return for how long a job stays out of the way, microseconds."""
        if job.type in self._types:
            return LOCKED_PAUSE_US if job.run_at <= self._store.now_us() else 0
        if job.type in await self._types_of_the_fleet():
            return PAUSE_US  # soon enough it comes to a node that can run it
        pause = self._pause_us.get(job.type, PAUSE_US)
        self._pause_us[job.type] = min(2 * pause, MAX_PAUSE_US)
        return pause

    async def _types_of_the_fleet(self) -> frozenset[str]:
        if trio.current_time() - self._fleet_seen_at > FLEET_S:
            self._fleet_types = frozenset(name for node in await self._store.nodes() for name in node.types)
            self._fleet_seen_at = trio.current_time()
        return self._fleet_types

    async def _unpark(self) -> None:
        """Put due jobs to the front: until this node came, there may have been none that handles their type."""
        try:
            await self._index.push(await self._store.due(FRONT), now=self._store.now_us())
        except (IndexUnavailable, StoreUnavailable):
            return  # the audit and the end of their pause bring them

    async def _wait_for_work(self, work: trio.MemoryReceiveChannel[Ring]) -> None:
        """Return on a ring, when the index is back, or after the net's second."""

        async def index_is_back() -> None:
            await self._index.wait_available()
            nursery.cancel_scope.cancel()

        with self._interruptible(), trio.move_on_after(NET_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index_is_back)
                await work.receive()
                nursery.cancel_scope.cancel()

    async def _outlast_outage(self) -> None:
        with self._interruptible():
            while True:
                await trio.sleep(NET_S)
                try:
                    await self._store.ping()
                except StoreUnavailable:
                    continue
                return

    async def _follow_queues(self, new_queue: trio.MemoryReceiveChannel[Ring]) -> None:
        while True:
            try:
                names = await self._store.queue_names()
            except StoreUnavailable:
                names = []
            unknown = [name for name in names if name not in self._queues]
            if unknown:
                self._queues.extend(unknown)
                self._waiting.cancel()
            with trio.move_on_after(QUEUES_NET_S):
                await new_queue.receive()
