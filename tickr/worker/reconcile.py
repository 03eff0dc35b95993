"""Reconcile: what the store has as running here, against what does.

Two ways in: the bell tells of a cancellation at once; the heartbeat brings the list of everything that the store has
as running on this node, a few seconds later but surely. A job on that list whose cancellation was requested is stopped.
One that has another time-out than here is read again, and has that of the store from then on.
One that nobody here knows, several times in a row, was claimed by a claim whose answer got lost: it is handed back, at
no cost to it.

State: ``_reading``, who reads time-outs, and ``_unknown``, at how many heartbeats in a row nobody knew an attempt, are
written and read here only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
import trio

from tickr.bell import Bell
from tickr.errors import StoreUnavailable
from tickr.jobs import Failure, State
from tickr.reports import Outcome
from tickr.store.contract import MAX_BATCH, Running, Store
from tickr.worker.attempt import StopReason
from tickr.worker.outcomes import Outcomes
from tickr.worker.pool import Pool

UNKNOWN_TIMES = 3
"""Heartbeats in a row at which an attempt must be unknown: two thirds of a lease, longer than a claim may take."""
LOST_CLAIM = Failure("lost_claim", "The store had given it to its node, which never came to begin it.")

log = structlog.get_logger("tickr.worker")


class Reconciler:
    """Keeps one node's pool in step with the store."""

    def __init__(self, store: Store, bell: Bell, pool: Pool, outcomes: Outcomes) -> None:
        self._store = store
        self._bell = bell
        self._pool = pool
        self._outcomes = outcomes
        self._unknown: dict[Running, int] = {}
        self._reading = trio.Lock()
        # One list is enough: a newer heartbeat knows all that an older one did.
        self._lists, self._incoming = trio.open_memory_channel[Sequence[Running]](1)

    def heard_from_store(self, running: Sequence[Running]) -> None:
        """Take the list that a heartbeat brought. Never waits; a list that comes while one is worked on is dropped."""
        try:
            self._lists.send_nowait(running)
        except trio.WouldBlock:
            return

    async def run(self) -> None:
        """Stop what shall be stopped and hand back what nobody runs, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_bell)
            async for running in self._incoming:
                self._stop_cancelled(running)
                await self._take_timeouts(self._with_other_timeouts(running))
                await self._hand_back_unknown(running)

    async def _follow_bell(self) -> None:
        async with self._bell.listen("cancel", "timeout") as rings:
            async for ring in rings:
                if ring.job is not None and ring.kind == "cancel":
                    self._pool.stop(ring.job, StopReason.CANCELLED, fence=ring.fence)
                elif ring.job is not None and ring.fence is not None and self._pool.holds(ring.job, ring.fence):
                    await self._take_timeouts([ring.job])

    def _stop_cancelled(self, running: Sequence[Running]) -> None:
        for one in running:
            if one.cancel_requested:
                self._pool.stop(one.id, StopReason.CANCELLED, fence=one.fence)

    def _with_other_timeouts(self, running: Sequence[Running]) -> list[str]:
        """Return the ids of those that have another time-out here than the store has."""
        here = {(job.id, job.fence): job.timeout_us for job in self._pool.running}
        return [one.id for one in running if here.get((one.id, one.fence), one.timeout_us) != one.timeout_us]

    async def _take_timeouts(self, ids: Sequence[str]) -> None:
        """Give the attempts of these jobs the time-outs that they have in the store.

        It is read anew, one reader at a time: what a heartbeat has brought may be older than what was heard since.
        """
        async with self._reading:
            for first in range(0, len(ids), MAX_BATCH):
                with suppress(StoreUnavailable):  # the next heartbeat brings them
                    for job in await self._store.get_many(ids[first : first + MAX_BATCH]):
                        self._pool.change_timeout(job)

    async def _hand_back_unknown(self, running: Sequence[Running]) -> None:
        self._unknown = {one: self._unknown.get(one, 0) + 1 for one in running if not self._knows(one)}
        for one in [one for one, times in self._unknown.items() if times >= UNKNOWN_TIMES]:
            try:
                job = await self._store.get(one.id)
            except StoreUnavailable:
                continue
            if job is not None and job.state is State.RUNNING and job.fence == one.fence and not self._knows(one):
                log.warning("job.lost_claim", job=job.id, type=job.type, attempt=job.attempt)
                self._outcomes.put(Outcome(job=job, kind="released", failure=LOST_CLAIM, may_have_ended=True))

    def _knows(self, one: Running) -> bool:
        return self._pool.holds(one.id, one.fence) or self._outcomes.holds(one.id, one.fence)
