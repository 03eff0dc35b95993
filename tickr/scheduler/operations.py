"""Operations: goes on with those that are running, step by step, as fast as each may go, and forgets old ones.

A step is looked for (a page of the jobs that match, from the operation's place on) and then made: one transaction of
the store that changes the jobs and moves the place. Any number of nodes do it at once; of several that have looked for
the same step one makes it, the others find the place moved, so that neither the work nor the pace is doubled, and a
node that dies anywhere leaves the operation as it was before its step or after it. The store's clock says when the next
step may be made. A ring tells of a new operation; one that is lost costs the longest sleep.

Only after the transaction the index, the workers and the bell are told; what a node that dies here does not tell is
found as ever: by the audit, the next heartbeat, a claim that finds a stale hint.

An operation that the store refuses to go on with is set aside for a while, and keeps no other waiting. State:
``_aside`` and ``_prune_at`` are written and read here only.
"""

from __future__ import annotations

import bisect

import structlog
import trio

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreError, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import Job, State
from tickr.operation_moves import Step
from tickr.operations import KEPT_US, MAX_KEPT, MAX_RUNNING, Operation
from tickr.outage import Outage
from tickr.store.contract import MovedOperation, Store

LONGEST_SLEEP_S = 5.0
"""Safety net for a ring that was lost: never sleep longer, in seconds."""
AWAY_S = 1.0
"""Pause while the store is away, in seconds."""
ASIDE_S = 60.0
"""An operation that cannot be gone on with is tried again after so long, in seconds."""
REST = 1.0
"""After a step, so many times what it took are spent resting: half of the store's time stays for the others."""
PRUNE_S, PRUNE_BATCH = 600.0, 100
"""Pause between two looks for old operations, in seconds, and how many one transaction deletes."""

log = structlog.get_logger("tickr.scheduler")


class Operations:
    """One node's part in it."""

    def __init__(self, store: Store, index: Index, announcer: Announcer, bell: Bell, *, stretch: float = 1.0) -> None:
        """Args: stretch: how many times longer than ``LONGEST_SLEEP_S`` the longest sleep is."""
        self._store = store
        self._index = index
        self._announcer = announcer
        self._bell = bell
        self._longest_s = LONGEST_SLEEP_S * stretch
        self._aside: dict[str, float] = {}  # until when, by trio's clock
        self._outage = Outage(log, "operation")
        self._prune_at = trio.current_time() + PRUNE_S

    async def run(self) -> None:
        """Go on until cancelled. Cancellation: a step is made or not; see the module for what was not told."""
        async with self._bell.listen("operation") as rings:
            while True:
                began = trio.current_time()
                next_at: int | None = None
                with self._outage.outlived(StoreUnavailable):
                    next_at = await self._step_all()
                    await self._prune()
                if self._outage.on:
                    await trio.sleep(AWAY_S)
                else:
                    await self._sleep_until(next_at, REST * (trio.current_time() - began), rings)

    async def _step_all(self) -> int | None:
        """Make the next step of each that is due. Returns when there is another to make, microseconds UTC."""
        due = await self._store.due_operations(MAX_RUNNING)
        nexts = [] if due.next_at is None else [due.next_at]
        self._aside = {id_: until for id_, until in self._aside.items() if until > trio.current_time()}
        away: StoreUnavailable | None = None
        for operation in due.found:
            if operation.id in self._aside:
                continue
            try:
                after = await self._step(operation)
            except StoreUnavailable as error:  # it may be that step alone that is too much: the others go on
                away = error
                continue
            if after and after.due_at is not None:
                nexts.append(after.due_at)
        if away is not None:
            raise away
        return min(nexts, default=None)

    async def _step(self, operation: Operation) -> Operation | None:
        """Make the next step. Returns the operation as it is now; None if it cannot be gone on with."""
        try:
            step = await self._next_step(operation)
            await reach("operation.before_step")
            answer = await self._store.move_operation(step)
        except StoreUnavailable:
            raise
        except StoreError as error:
            log.error("operation.set_aside", operation=operation.id, for_s=ASIDE_S, error=str(error))
            self._aside[operation.id] = trio.current_time() + ASIDE_S
            return None
        await reach("operation.after_step")
        await self._tell(answer)
        return answer.after

    async def _next_step(self, operation: Operation) -> Step:
        size = operation.step_size
        if operation.ids:
            done = operation.cursor if isinstance(operation.cursor, str) else ""
            first = bisect.bisect_right(operation.ids, done)
            ids = operation.ids[first : first + size]
            last = first + size >= len(operation.ids)
            return Step(operation.id, operation.version, ids, ids[-1] if ids else done, last)
        cursor = operation.cursor if isinstance(operation.cursor, tuple) else (operation.created_at + 1, "")
        found, after = await self._store.list_jobs(operation.which, limit=size, before=cursor)
        ids = tuple(job.id for job in found)
        return Step(operation.id, operation.version, ids, after or cursor, after is None)

    async def _tell(self, answer: MovedOperation) -> None:
        """Tell index, workers and log of what a step has done."""
        before, after, _ = answer
        if before is None or after is None or before == after:
            return
        jobs = answer.jobs
        if after.action == "edit":
            await self._announcer.announce_changes(answer.changes, at=self._store.now_us())
        elif after.action == "retry":
            again = [job for job in jobs if job.state is State.READY]
            await self._announcer.announce(
                [job.entry() for job in again], at=again[0].extras.redrives[-1].at if again else 0
            )
        else:
            running = [job for job in jobs if job.state is State.RUNNING]
            await self._bell.ring(*(Ring("cancel", job=job.id, fence=job.fence) for job in running))
            await self._forget([job for job in jobs if job.state is State.CANCELLED])  # or what was so and is deleted
        if after.state != before.state:
            log.info("operation.ended", operation=after.id, state=after.state, done=after.done, skipped=after.skipped)

    async def _forget(self, cancelled: list[Job]) -> None:
        if not cancelled:
            return
        try:
            await self._index.remove([job.entry() for job in cancelled])
        except IndexUnavailable:
            return  # stale hints, which a claim drops

    async def _prune(self) -> None:
        if trio.current_time() < self._prune_at:
            return
        deleted = await self._store.prune_operations(self._store.now_us() - KEPT_US, MAX_KEPT, PRUNE_BATCH)
        if deleted < PRUNE_BATCH:
            self._prune_at = trio.current_time() + PRUNE_S

    async def _sleep_until(
        self, step_at: int | None, at_least_s: float, rings: trio.MemoryReceiveChannel[Ring]
    ) -> None:
        """Return at ``step_at``, or when a ring tells of a new operation, or after the longest sleep."""
        began = trio.current_time()
        with trio.move_on_after(self._longest_s) as nap:
            if step_at is not None:
                left_s = max(at_least_s, (step_at - self._store.now_us()) / 1e6)
                nap.deadline = min(nap.deadline, began + left_s)
            await rings.receive()
