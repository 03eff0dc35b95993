"""Claim: takes due jobs from the index, or from the store while the index is away, and hands them to the pool.

A free slot first, then a claim, so a node holds no job it cannot start; while jobs end quickly, a slot that is free
in a moment counts as well (``pace.py``). What the index gives is a hint: one that is early is kept until its instant
(``early.py``), the store's compare-and-set decides, and ``hints.py`` deals with what was not claimed. A node that keeps
meeting jobs that only others can run steps back for a moment and asks the store for its own, so that neither starves
the other.

Into which queues it looks is said by ``gates.py``.

State: the length of a step back, and which of very many queues come next, are written and read here only.
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
from tickr.jobs import Job
from tickr.meters import Batches
from tickr.store.contract import Store
from tickr.worker.early import Early, Reservable
from tickr.worker.gates import Claiming, Gates
from tickr.worker.hints import Hints
from tickr.worker.load import Appetite

NET_S = 1.0
"""Longest wait between looks into the store while the index is away, in seconds."""
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
    def running(self) -> Sequence[Job]:
        """The jobs that were started and have no outcome yet."""
        ...

    @property
    def has_suspect(self) -> bool:
        """Whether a suspect runs here of which it is not known yet that it does no harm."""
        ...


QUIET_S = 0.02
"""A claim loop that has waited so long, in seconds, would have heard of anything that was there before."""


class Waiting(NamedTuple):
    """A claim loop that has found nothing to do: for which node, and in which queues that anybody may start in."""

    node: str
    queues: frozenset[str]


class Claimer:
    """One claim loop.

    Args:
      types: the job types that have a handler here.
      keys: ids of the encryption keys that are here.
    Attributes:
      node: for whom it claims, or did until it was closed; None from the loss of a lease until there is another.
      appetite: knows when it had nothing to claim.
      claims: how many jobs each brought, and how long the store took; one that failed brought none.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        bell: Bell,
        slots: Slots,
        gates: Gates,
        *,
        types: frozenset[str],
        keys: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._slots = slots
        self._types = types
        self._keys = keys
        self._gates = gates
        self._hints = Hints(store, index, bell, gates, types=types, keys=keys)
        self._early = Early(slots)
        self._bringing_suspect = False
        self._store_away = False
        self._claiming = Claiming()
        self._window = 0
        self._step_back_s = STEP_BACK_S
        self._waiting = trio.CancelScope()
        self._looking: tuple[Waiting, float] | None = None
        self.appetite = Appetite()
        self.node: str | None = None
        self.claims = Batches()
        self._closed = self._quiet = False
        self._wanted = trio.Event()
        gates.serve(self)

    async def run(self, node: str) -> None:
        """Claim for ``node`` until ``close`` or ``set_quiet``.

        Cancellation: what was taken from the index and not claimed yet is out of it until the audit puts it back. A
        claim cut after its COMMIT stands without a runner; the heartbeat finds it. ``close`` cuts no claim.
        """
        self.node = node
        self._gates.work_as(node)
        try:
            async with self._bell.listen("work") as work, trio.open_nursery() as nursery:
                nursery.start_soon(self._gates.follow)
                async with self._early.claiming(partial(self._claim_early, node)):
                    await self._hints.unpark()
                    await self._claim_all(node, work)
                nursery.cancel_scope.cancel()
        finally:
            early = self._early.give_up()
        with suppress(StoreUnavailable):
            await self._hints.put_back(early)

    async def _claim_all(self, node: str, work: trio.MemoryReceiveChannel[Ring]) -> None:
        while not (self._closed or self._quiet):
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
        self._wanted.set()

    def set_quiet(self, quiet: bool) -> None:
        """Claim nothing more for now, as after ``close``; or let ``wait_wanted`` return."""
        self._quiet = quiet
        if quiet:
            self._waiting.cancel()
        self._wanted.set()

    async def wait_wanted(self) -> bool:
        """Wait while this is to be quiet. Returns: whether to claim; False: it is closed."""
        while self._quiet and not self._closed:
            self._wanted = trio.Event()
            await self._wanted.wait()
        return not self._closed

    def taken(self, queue: str) -> int:
        """See ``gates.Loop``."""
        running = sum(job.queue == queue for job in self._slots.running)
        return running + self._early.count(queue) + self._claiming.count(queue)

    def look_again(self) -> None:
        """See ``gates.Loop``."""
        self._waiting.cancel()

    @property
    def waiting(self) -> Waiting | None:
        """Who waits here for work that the index does not have, and has for some time; None while nobody does."""
        if self._looking is None or self._closed or self._quiet:
            return None
        waiting, since = self._looking
        return waiting if trio.current_time() - since >= QUIET_S else None

    @property
    def takes(self) -> bool:
        """Whether it claims what there is, or would."""
        return self.node is not None and not (self._closed or self._quiet or self._store_away)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A block that only waits: left early when the loop is to end or the queues to look in have changed."""
        with trio.CancelScope() as self._waiting:
            if self._closed or self._quiet:
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
                self._gates.took(hints)
                await self._claim(node, hints, limit)

    async def _pop(self, node: str, limit: int) -> list[Hint]:
        (ranked, others), per_key = self._gates.turn(), self._gates.per_key
        queues = ranked + others
        if not queues:
            with self.appetite:
                await trio.sleep_forever()  # until there is one
        if len(queues) <= WINDOW:
            self._looking = Waiting(node, self._gates.plain(queues)), trio.current_time()
            try:
                with self.appetite:
                    return await self._index.pop(queues, limit, most=self._gates.most(queues), per_key=per_key)
            finally:
                self._looking = None
        start = self._window % len(others)
        queues = ranked + (others + others)[start : start + WINDOW]
        with trio.move_on_after(NET_S), self.appetite:
            return await self._index.pop(queues, limit, most=self._gates.most(queues), per_key=per_key)
        self._window = start + WINDOW
        return []

    async def _claim(self, node: str, hints: list[Hint], limit: int) -> None:
        with self._claiming(hints):
            fitting = self._gates.fitting(hints)
            claimed, others_wait = await self._claim_hints(node, fitting)
            if len(fitting) < len(hints):
                await self._hints.put_back([hint.id for hint in hints if hint not in fitting])
        if others_wait and not claimed and not await self._claim_due(node, limit):
            with self._interruptible(), self.appetite:
                await trio.sleep(self._step_back_s)
            self._step_back_s = min(2 * self._step_back_s, MAX_STEP_BACK_S)

    async def _claim_hints(self, node: str, hints: list[Hint]) -> tuple[int, bool]:
        """Claim what is due. Returns how many jobs that brought, and whether other nodes wait for some of ``hints``."""
        await reach("claim.after_pop")
        # Less than at the beginning of a long wait, if jobs ended quickly then or have been started directly since.
        room, now = self._slots.room, self._store.now_us()
        due = [hint.id for hint in hints[:room] if hint.run_at <= now]
        if len(due) < len(hints):
            self._early.hold([hint for hint in hints[:room] if hint.run_at > now], now=now)
        freed = self._gates.freed
        jobs = await self._start(node, self._store.claim, due) if due else []
        if surplus := hints[room:]:
            await self._hints.put_back([hint.id for hint in surplus])
        if jobs:
            self._step_back_s = STEP_BACK_S
        return len(jobs), await self._give_back(due, jobs, freed)

    async def _claim_early(self, node: str, hints: Sequence[Hint]) -> None:
        try:
            with self._claiming(hints):
                fitting = [hint.id for hint in self._gates.fitting(hints)]
                freed = self._gates.freed
                await self._give_back(fitting, await self._start(node, self._store.claim, fitting), freed)
                if len(fitting) < len(hints):
                    await self._hints.put_back([hint.id for hint in hints if hint.id not in fitting])
        except StoreUnavailable as error:
            self._lose_store(error)

    async def claim_from_store(self, node: str) -> bool:
        """Start what the store has for ``node``, whatever the index says. Returns whether there was anything.

        Also where there is no room just now: then there may be something. Raises: StoreUnavailable.
        """
        return self._slots.room < 1 or await self._claim_due(node, MAX_POP)

    async def _claim_due(self, node: str, limit: int) -> bool:
        """Claim straight from the store, whatever the index says. Returns whether there was anything."""
        claim = partial(self._store.claim_due, queues=self._gates.rooms)
        return bool(await self._start(node, claim, min(limit, self._slots.room)))

    async def _start(self, node: str, claim: Claim, what: Sequence[str] | int) -> list[Job]:
        """Claim ``what`` (ids, or how many of those that are due) and start what the store gives."""
        began, jobs = trio.current_time(), list[Job]()
        with self._suspects() as suspects:
            try:
                jobs = await claim(what, node=node, types=self._types, suspects=suspects, keys=self._keys)
            finally:
                self.claims.note(len(jobs), trio.current_time() - began)
            in_order = self._gates.started(jobs)
            await reach("claim.after_commit")
            self._slots.start(in_order)
        return jobs

    async def _give_back(self, ids: Sequence[str], claimed: Sequence[Job], freed: int) -> bool:
        """Deal with those of ``ids`` that were not claimed. Returns whether other nodes wait for some of them."""
        if len(claimed) == len(ids):
            return False
        mine = {job.id for job in claimed}
        return await self._hints.give_back([job_id for job_id in ids if job_id not in mine], freed=freed)

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

        with self._interruptible(), self.appetite, trio.move_on_after(NET_S):
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
