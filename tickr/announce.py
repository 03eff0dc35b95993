"""Announce: after COMMIT, put what waits into the index and ring for whoever it concerns.

Truth first, then tell: everything that makes a job wait (intake, outcomes, reaping) calls this once the store has it.
An index that is away is no error here: workers then claim from the store, and the audit puts in what is missing.

State: ``_queues_seen`` (which queue names this process has rung for) is written and read here only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.events import Change
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import WAITING, Entry, Job, State
from tickr.store.contract import Store

FORGET_WITHIN_S = 1.0


class Announcer:
    """Tells index and bell about stored jobs. One for a process.

    Args:
      index: None where entries would pile up, in an index of this process alone that no worker here takes from.
    """

    def __init__(self, store: Store, index: Index | None, bell: Bell) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._queues_seen: set[str] = set()

    async def announce(self, entries: Sequence[Entry], *, at: int) -> None:
        """Index ``entries`` and wake schedulers and workers.

        Args:
          entries: jobs that wait in the store.
          at: instant of the change by the store's clock, microseconds UTC; what is due then is ready at once. The clock
            as estimated here may be a little behind the store's, and must not make such a job look early.
        Cancellation: some may not be indexed; the audit finds them.
        """
        if not entries:
            return
        now = max(self._store.now_us(), at)
        rings = []
        if self._index:
            try:
                await self._index.push(entries, now=now)
            except IndexUnavailable:
                rings.append(Ring("work"))
            else:
                await reach("announce.after_index")
        later = [entry.run_at for entry in entries if entry.run_at > now]
        if later:
            rings.append(Ring("due", at=min(later)))
        new_queues = {entry.queue for entry in entries} - self._queues_seen
        if new_queues:
            self._queues_seen |= new_queues
            rings.append(Ring("queue"))
        if rings:
            await self._bell.ring(*rings)

    async def forget(self, entries: Sequence[Entry]) -> None:
        """Take entries of jobs that wait no more out of the index, if that does not take long.

        What is left there would only be a stale hint, so a failure costs nothing; but where nobody takes a queue any
        more, nobody would take it out.
        """
        if entries and self._index:
            with suppress(IndexUnavailable), trio.move_on_after(FORGET_WITHIN_S):
                await self._index.remove(entries)

    async def announce_orders(self) -> None:
        """Have the index order its queues as the store says, if that does not take long; the audit does so anyway."""
        if self._index:
            with suppress(IndexUnavailable, StoreUnavailable), trio.move_on_after(FORGET_WITHIN_S):
                await self._index.order(await self._store.newest_first())

    async def announce_hold(self, until: int) -> None:
        """Let workers know that queues are held up, none of them for longer than ``until``, microseconds UTC."""
        await self._bell.ring(Ring("queue", at=until))

    async def announce_changes(self, changes: Iterable[Change], *, at: int) -> None:
        """Tell index and bell what has been changed about jobs: where they stand, and when they end.

        Args:
          changes: which are no moves. at: as for ``announce``.
        Cancellation: as for ``announce``; who runs earlier than the index knows is found by the audit, too.
        """
        pairs = [(change.before, change.after) for change in changes if change.before is not None]
        placed = [(was, job) for was, job in pairs if job.state in WAITING and was.entry() != job.entry()]
        if placed and self._index:
            with suppress(IndexUnavailable):
                await self._index.remove([was.entry() for was, _ in placed])
        await self.announce([job.entry() for _, job in placed], at=at)
        rings = [
            Ring("timeout", job=job.id, fence=job.fence)
            for was, job in pairs
            if job.state is State.RUNNING and was.timeout_us != job.timeout_us
        ]
        rings += [Ring("expiry", at=ends) for was, job in pairs if (ends := _new_end(was, job)) is not None]
        if rings:
            await self._bell.ring(*rings)


def _new_end(was: Job, job: Job) -> int | None:
    """Return when ``job`` expires, if that is another instant than it was."""
    return job.extras.expires_at if job.extras.expires_at != was.extras.expires_at else None
