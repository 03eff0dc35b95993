"""Claim: takes due jobs from the index, or from the store while the index is away, and hands them to the pool.

A free slot first, then a claim, so a node holds no job it cannot start; while jobs end quickly, a slot that is free
in a moment counts as well (``pace.py``). What the index gives is a hint: one that is early is kept until its instant
(``early.py``), the store's compare-and-set decides, and ``hints.py`` deals with what was not claimed. A node that keeps
meeting jobs that only others can run steps back for a moment and asks the store for its own, so that neither starves
the other.

State: the queue names and the length of a step back are written and read here only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import MAX_POP, Hint, Index
from tickr.jobs import DEFAULT_QUEUE, Job
from tickr.store.contract import Store
from tickr.worker.early import Early, Reservable
from tickr.worker.hints import Hints

NET_S = 1.0
"""Longest wait between looks into the store while the index is away, in seconds."""
QUEUES_NET_S = 10.0
"""How long a queue that another process used first may stay unknown here if its ring was lost, in seconds."""
WINDOW = 500
"""How many queues one pop looks into; with more of them, each has its turn within seconds."""
STEP_BACK_S, MAX_STEP_BACK_S = 0.05, 1.0
"""First and longest pause after a pop that brought only jobs of others, in seconds."""

Claim = Callable[..., Awaitable[list[Job]]]
"""``Store.claim`` or ``Store.claim_due``."""

log = structlog.get_logger("tickr.worker")


class Slots(Reservable, Protocol):
    """Where claimed jobs go; ``Pool`` in ``worker/pool.py``."""

    async def wait_free(self) -> int:
        """Return ``room``, waiting until it is worth a claim: at the latest when there is a free slot."""
        ...

    @property
    def room(self) -> int:
        """How many jobs may be claimed now."""
        ...

    def start(self, jobs: Sequence[Job]) -> None:
        """Start claimed jobs; at most ``room``."""
        ...

    @property
    def has_suspect(self) -> bool:
        """Whether a suspect runs here of which it is not known yet that it does no harm."""
        ...


QUIET_S = 0.02
"""A claim loop that has waited so long, in seconds, would have heard of anything that was there before."""


class Waiting(NamedTuple):
    """A claim loop that has found nothing to do: for which node, and in which queues."""

    node: str
    queues: frozenset[str]


class Claimer:
    """One claim loop.

    Args:
      types: the job types that have a handler here.
    Attributes:
      node: for whom it claims, or did until it was closed; None from the loss of a lease until there is another.
    """

    def __init__(self, store: Store, index: Index, bell: Bell, slots: Slots, *, types: frozenset[str]) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._slots = slots
        self._types = types
        self._hints = Hints(store, index, bell, types=types)
        self._early = Early(slots)
        self._bringing_suspect = False
        self._store_away = False
        self._queues: list[str] = [DEFAULT_QUEUE]
        self._step_back_s = STEP_BACK_S
        self._waiting = trio.CancelScope()
        self._looking: tuple[Waiting, float] | None = None
        self.node: str | None = None
        self._closed = False

    async def run(self, node: str) -> None:
        """Claim for ``node`` until ``close``.

        Cancellation: what was taken from the index and not claimed yet is out of it until the audit puts it back. A
        claim cut after its COMMIT stands without a runner; the heartbeat finds it. ``close`` cuts no claim.
        """
        self.node = node
        try:
            async with (
                self._bell.listen("queue") as new_queue,
                self._bell.listen("work") as work,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._follow_queues, new_queue)
                async with self._early.claiming(partial(self._claim_early, node)):
                    await self._hints.unpark()
                    await self._claim_all(node, work)
                nursery.cancel_scope.cancel()
        finally:
            early = self._early.give_up()
        with suppress(StoreUnavailable):
            await self._hints.put_back(early)

    async def _claim_all(self, node: str, work: trio.MemoryReceiveChannel[Ring]) -> None:
        while not self._closed:
            if self._store_away:
                await self._outlast_outage()
                continue
            try:
                await self._claim_some(node, work)
            except StoreUnavailable as error:
                self._lose_store(error)

    def _lose_store(self, error: StoreUnavailable) -> None:
        """Take nothing more out of the index for now. What was popped is out of it; the audit brings it back."""
        if not self._store_away:
            log.warning("claim.waiting_for_store", error=str(error))
        self._store_away = True
        self._waiting.cancel()

    def lose_lease(self) -> None:
        """Be nobody's from now on: what has been stored as started for the node meanwhile does not begin here."""
        self.node = None

    def close(self) -> None:
        """Claim nothing more; a claim in flight ends first, and its jobs are started."""
        self._closed = True
        self._waiting.cancel()

    @property
    def waiting(self) -> Waiting | None:
        """Who waits here for work that the index does not have, and has for some time; None while nobody does."""
        if self._looking is None or self._closed:
            return None
        waiting, since = self._looking
        return waiting if trio.current_time() - since >= QUIET_S else None

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A block that only waits: left early when the loop is closed or the queues to look in have changed."""
        with trio.CancelScope() as self._waiting:
            if self._closed:
                self._waiting.cancel()
            yield

    async def _claim_some(self, node: str, work: trio.MemoryReceiveChannel[Ring]) -> None:
        limit, hints = 0, list[Hint]()
        try:
            with self._interruptible():
                limit = min(await self._slots.wait_free(), MAX_POP)
                hints = await self._pop(node, limit)
        except IndexUnavailable:
            if not await self._claim_due(node, limit):
                await self._wait_for_work(work)
        else:
            if hints:
                await self._claim(node, hints, limit)

    async def _pop(self, node: str, limit: int) -> list[Hint]:
        self._queues.append(self._queues.pop(0))  # every queue has its turn at being the first
        if len(self._queues) <= WINDOW:
            self._looking = Waiting(node, frozenset(self._queues)), trio.current_time()
            try:
                return await self._index.pop(self._queues, limit)
            finally:
                self._looking = None
        with trio.move_on_after(NET_S):
            return await self._index.pop(self._queues[:WINDOW], limit)
        self._queues = self._queues[WINDOW:] + self._queues[:WINDOW]
        return []

    async def _claim(self, node: str, hints: list[Hint], limit: int) -> None:
        await reach("claim.after_pop")
        # Less than at the beginning of a long wait, if jobs ended quickly then or have been started directly since.
        room, now = self._slots.room, self._store.now_us()
        due = [hint.id for hint in hints[:room] if hint.run_at <= now]
        if len(due) < len(hints):
            self._early.hold([hint for hint in hints[:room] if hint.run_at > now], now=now)
        jobs = await self._start(node, self._store.claim, due) if due else []
        if surplus := hints[room:]:
            await self._hints.put_back([hint.id for hint in surplus])
        if jobs:
            self._step_back_s = STEP_BACK_S
        others_wait = await self._give_back(due, jobs)
        if others_wait and not jobs and not await self._claim_due(node, limit):
            with self._interruptible():
                await trio.sleep(self._step_back_s)
            self._step_back_s = min(2 * self._step_back_s, MAX_STEP_BACK_S)

    async def _claim_early(self, node: str, ids: Sequence[str]) -> None:
        try:
            await self._give_back(ids, await self._start(node, self._store.claim, ids))
        except StoreUnavailable as error:
            self._lose_store(error)

    async def _claim_due(self, node: str, limit: int) -> bool:
        """Claim straight from the store, whatever the index says. Returns whether there was anything."""
        return bool(await self._start(node, self._store.claim_due, min(limit, self._slots.room)))

    async def _start(self, node: str, claim: Claim, what: Sequence[str] | int) -> list[Job]:
        """Claim ``what`` (ids, or how many of those that are due) and start what the store gives."""
        with self._suspects() as suspects:
            jobs = await claim(what, node=node, types=self._types, suspects=suspects)
            await reach("claim.after_commit")
            self._slots.start(jobs)
        return jobs

    async def _give_back(self, ids: Sequence[str], claimed: Sequence[Job]) -> bool:
        """Deal with those of ``ids`` that were not claimed. Returns whether other nodes wait for some of them."""
        if len(claimed) == len(ids):
            return False
        mine = {job.id for job in claimed}
        return await self._hints.give_back([job_id for job_id in ids if job_id not in mine])

    @contextmanager
    def _suspects(self) -> Iterator[int]:
        """How many suspects a claim, which is the block, may bring along: see ``jobs.SUSPECT_CRASHES``.

        They are started one at a time; so of several claims at once only one may.
        """
        if self._bringing_suspect or self._slots.has_suspect:
            yield 0
            return
        self._bringing_suspect = True
        try:
            yield 1
        finally:
            self._bringing_suspect = False

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
                self._store_away = False
                return

    async def _follow_queues(self, new_queue: trio.MemoryReceiveChannel[Ring]) -> None:
        known = set(self._queues)
        while True:
            try:
                unknown = set(await self._store.queue_names()) - known
            except StoreUnavailable:
                unknown = set()
            if unknown:
                known |= unknown
                self._queues.extend(sorted(unknown))
                self._waiting.cancel()
            with trio.move_on_after(QUEUES_NET_S):
                await new_queue.receive()
