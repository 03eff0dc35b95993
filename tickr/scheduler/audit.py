"""Audit: compares the index with the store and repairs the index. The store is never changed here.

Three looks. *Orders*: the index is told which queues go newest first, and moves what stands otherwise. *Identity*: the
index carries an epoch that the store keeps too; an index that was flushed, replaced or restarted from an old snapshot
does not show it, and is rebuilt, page by page, while everybody goes on. *Presence*: the due jobs that should run next,
and one page more of everything that waits, in turn, are looked up in the index; those missing in two looks in a row
(one may just be on its way from the index to a claim) are put back. So the front is repaired within seconds, and the
rest, however long the line, within as many looks as it has pages. What the index has for much later than the store is
missing, too: somebody has had it run earlier, and died before the index was told.

Several nodes may audit at once: pushing what is there changes nothing.
"""

from __future__ import annotations

import structlog
import trio
import uuid_utils

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import Entry
from tickr.store.contract import ScanPosition, Store

PERIOD_S = 1.0
"""Pause between looks, in seconds."""
PAGE = 1_000
"""Entries moved at once in a rebuild, or looked up at once."""
FRONT = 100
"""How many due jobs of each queue the presence look covers."""
FRONT_PER_S = 10_000
"""How many jobs of fronts are looked up per second on average: with many queues they have their turn more rarely."""
QUEUES_S = 10.0
"""Pause between two looks for queues that have lost their names, in seconds."""
REBUILDING = "rebuilding-"

log = structlog.get_logger("tickr.scheduler")


class Audit:
    """One node's audit.

    Args:
      stretch: how many times longer than ``PERIOD_S`` the pause is.
    Attributes:
      put_back: how many jobs were missing in the index and have been put back; those of a rebuild not counted.
      rebuilds: how often everything had to be put into the index anew.

    State, its own: ``_epoch``, the identity that the store keeps (once it is there it never changes); ``_suspects``,
    what the look before found missing; ``_position``, where the walk through everything stands; ``_front_at``, when
    (trio's clock) the fronts have their next look; ``_queues_at``, when queues have theirs.
    """

    def __init__(self, store: Store, index: Index, bell: Bell, *, stretch: float = 1.0) -> None:
        self._store = store
        self._pause_s = PERIOD_S * stretch
        self._index = index
        self._bell = bell
        self.put_back = self.rebuilds = 0
        self._epoch: str | None = None
        self._suspects: list[Entry] = []
        self._position: ScanPosition | None = None
        self._front_at = self._queues_at = float("-inf")

    async def run(self) -> None:
        """Look once a period, and at once when the index is back, until cancelled."""
        while True:
            await self._index.wait_available()
            try:
                await self._name_queues()
                await self._index.order(await self._store.newest_first())
                await self._check_identity()
                await self._check_presence()
            except (IndexUnavailable, StoreUnavailable) as error:
                log.info("audit.interrupted", error=str(error))
            await trio.sleep(self._pause_s)

    async def _check_identity(self) -> None:
        found = await self._index.epoch()
        if self._epoch is None:
            self._epoch = await self._store.epoch(str(uuid_utils.uuid7()))
        if found != self._epoch:
            await self._rebuild(found, self._epoch)

    async def _rebuild(self, found: str | None, epoch: str) -> None:
        """Push everything that waits, then give the index its epoch.

        A mark set first shows whether the index was emptied again meanwhile; rebuilders share it, so that none of them
        takes another's mark for a loss.
        """
        mark = found if found is not None and found.startswith(REBUILDING) else REBUILDING + str(uuid_utils.uuid7())
        log.info("index.rebuilding", index=self._index.name, found=found)
        await self._index.set_epoch(mark)
        await reach("rebuild.after_mark")
        count = await self._push_everything()
        await reach("rebuild.before_epoch")
        if not await self._index.set_epoch(epoch, instead_of=mark):
            return  # emptied while we were at it, or another was done first: the next look tells
        self.rebuilds += 1
        log.info("index.rebuilt", index=self._index.name, jobs=count)

    async def _push_everything(self) -> int:
        count = 0
        position: ScanPosition | None = None
        while True:
            entries, position = await self._store.waiting_after(position, PAGE)
            await self._put(entries)
            await reach("rebuild.after_page")
            count += len(entries)
            if position is None:
                return count

    async def _name_queues(self) -> None:
        """Have queues found again that were taken away while a job came into them."""
        if trio.current_time() >= self._queues_at:
            await self._store.queue_names()
            self._queues_at = trio.current_time() + QUEUES_S

    async def _check_presence(self) -> None:
        looked_for = [*self._suspects, *await self._front(), *await self._next_page()]
        if not looked_for:
            return
        suspected = {entry.id for entry in self._suspects}
        missing = {entry.id: entry for entry in await self._index.missing(looked_for, now=self._store.now_us())}
        await self._put_back([entry for entry in missing.values() if entry.id in suspected])
        self._suspects = [entry for entry in missing.values() if entry.id not in suspected][:PAGE]

    async def _put_back(self, missed_twice: list[Entry]) -> None:
        if not missed_twice:
            return
        waiting = {job.id for job in await self._store.still_waiting([entry.id for entry in missed_twice])}
        lost = [entry for entry in missed_twice if entry.id in waiting]
        if lost:
            await reach("audit.before_put_back")
            await self._put(lost)
            self.put_back += len(lost)
            log.info("index.repaired", index=self._index.name, jobs=len(lost))

    async def _front(self) -> list[Entry]:
        now = trio.current_time()
        if now < self._front_at:
            return []
        front = await self._store.due(FRONT)
        self._front_at = now + len(front) / FRONT_PER_S
        return front

    async def _next_page(self) -> list[Entry]:
        page, self._position = await self._store.waiting_after(self._position, PAGE)
        return page

    async def _put(self, entries: list[Entry]) -> None:
        if not entries:
            return
        now = self._store.now_us()
        await self._index.push(entries, now=now)
        waiting = [entry.run_at for entry in entries if entry.run_at > now]
        if waiting:
            await self._bell.ring(Ring("due", at=min(waiting)))
