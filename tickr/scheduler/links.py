"""Links: when jobs end, those that wait for them go on, or end as well; so do the children of those that fail.

Nothing is done while no job waits for another but to ask, every few seconds, whether one does; a ring tells it sooner.
Then the ends of jobs are gathered from the feed (``feed/ends.py``), so that what waits goes on some milliseconds after
what it waits for; and once a second a page of the waits that are not over is looked at, for whatever was not heard. As
soon as no wait is open, nobody listens any more.

Any number of nodes do it at once; each job is settled once. State, its own:
``_place`` and ``_found``, how far a walk through the waits has come, and how many it has found; ``_stopped``, whom it
has asked to stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
import trio

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import JobError, StoreError
from tickr.failpoints import reach
from tickr.feed.ends import Ends
from tickr.feed.feed import Feed
from tickr.jobs import WAITING, Job, State
from tickr.outage import Outage
from tickr.store.contract import LinkPlace, Store

LOOK_S = 5.0
"""Pause between two looks whether any job waits for another, in seconds."""
NET_S = 1.0
"""Pause between two looks at a page of the open waits, in seconds; also while the store is away."""
PAGE = 500
"""How many of them are looked at together."""
TOGETHER = 200
"""So many jobs that have ended are dealt with together."""
MAX_STOPPED = 10_000
"""So many jobs are remembered that were asked to stop, so that nobody asks again with each end of another."""

log = structlog.get_logger("tickr.scheduler")


class Links:
    """One node's part in it.

    Args:
      stretch: how many times longer than ``LOOK_S`` and ``NET_S`` the pauses are.
    """

    def __init__(self, store: Store, feed: Feed, announcer: Announcer, bell: Bell, stretch: float = 1.0) -> None:
        self._store = store
        self._feed = feed
        self._announcer = announcer
        self._bell = bell
        self._look_s, self._net_s = LOOK_S * stretch, NET_S * stretch
        self._outage = Outage(log, "links")
        self._place: LinkPlace | None = None
        self._found = 0
        self._stopped: set[str] = set()

    async def run(self) -> None:
        """Look and settle until cancelled. Cancellation: a job that was not announced is found by the audit."""
        async with self._bell.listen("links") as rings:
            while True:
                with self._outage.outlived(StoreError):
                    if (await self._store.open_links(1)).looked_at:
                        await self._follow()
                if self._outage.on:
                    await trio.sleep(NET_S)
                else:
                    await _rest(self._look_s, rings)

    async def _follow(self) -> None:
        """Settle what is to be settled until no wait is open."""
        while True:
            async with self._feed.ends() as ends:
                if not await self._look_through():
                    return
                while not ends.lost:
                    if not await self._listen(ends):
                        return

    async def _listen(self, ends: Ends) -> bool:
        """Settle whatever ends until it is time to look at a page, and look. Returns whether a wait may be open."""
        look_at = trio.current_time() + self._net_s
        while not ends.lost and trio.current_time() < look_at:
            ended: set[str] = set()
            with trio.move_on_at(look_at):
                ended = await ends.take()
            await self._settle(ended)
        self._found = (self._found if self._place else 0) + await self._look()
        return self._found > 0 or self._place is not None

    async def _look_through(self) -> int:
        """Look at all waits, and settle what is to be settled. Returns how many there were."""
        self._place, looked_at = None, 0
        while True:
            looked_at += await self._look()
            if self._place is None:
                return looked_at

    async def _look(self) -> int:
        """Look at the next page. Returns how many waits were on it."""
        page = await self._store.open_links(PAGE, self._place)
        self._place = page.after
        await self._settle(page.ended)
        return page.looked_at

    async def _settle(self, ended: Iterable[str]) -> None:
        """Have done what is to be done for those who wait for the jobs ``ended``."""
        ids = sorted(ended)
        for start in range(0, len(ids), TOGETHER):
            some, after = ids[start : start + TOGETHER], None
            while True:
                settled = await self._store.settle_links(some, after)
                after = settled.after
                if settled.jobs:
                    await reach("links.after_commit")
                    await self._tell(settled.jobs, settled.now)
                for child, parent, _ in settled.orphans:
                    if child not in self._stopped:
                        await self._cancel(child, f"its parent, job {parent}, does not succeed")
                if after is None:
                    break

    async def _cancel(self, job_id: str, reason: str) -> None:
        """Cancel a job, or have it stopped by its worker. It may have ended, or have been asked to, just now."""
        try:
            job = await self._store.cancel(job_id, reason=reason)
        except JobError:
            return
        if len(self._stopped) >= MAX_STOPPED:
            self._stopped.clear()
        self._stopped.add(job_id)
        if job.state is State.RUNNING:
            await self._bell.ring(Ring("cancel", job=job.id, fence=job.fence))

    async def _tell(self, jobs: Sequence[Job], now: int) -> None:
        for job in jobs:
            if job.state is State.READY:
                log.info("job.unblocked", job=job.id, type=job.type, queue=job.queue)
            elif job.extras.nursery is not None:
                log.info("job.closed", job=job.id, type=job.type, state=job.state.value)
            else:
                log.warning("job.dependency_failed", job=job.id, type=job.type, state=job.state.value)
        await self._announcer.announce([job.entry() for job in jobs if job.state in WAITING], at=now)


async def _rest(pause_s: float, rings: trio.MemoryReceiveChannel[Ring]) -> None:
    with trio.move_on_after(pause_s):
        await rings.receive()
