"""Audit: compares the index with the store and repairs the index. The store is never changed here.

Two looks. *Identity*: the index carries an epoch that the store keeps too; an index that was flushed, replaced or
restarted from an old snapshot does not show it, and is rebuilt, page by page, while everybody goes on. *Presence*: the
due jobs that should run next are looked up in the index; those missing in two looks in a row (one may just be on its
way from the index to a claim) are put back. A job further back in the line is found when the line has moved up to it.

Several nodes may audit at once: pushing what is there changes nothing.
"""

from __future__ import annotations

import structlog
import trio
import uuid_utils

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.contract import Index
from tickr.jobs import Entry
from tickr.store.contract import ScanPosition, Store

PERIOD_S = 1.0
"""Pause between looks, in seconds."""
PAGE = 2_000
"""Entries moved at once in a rebuild."""
FRONT = 1_000
"""How many due jobs of each queue the presence look covers."""
REBUILDING = "rebuilding-"

log = structlog.get_logger("tickr.scheduler")


class Audit:
    """One node's audit.

    State, its own: ``_epoch``, the identity that the store keeps (once it is there it never changes); ``_suspects``,
    the ids found missing by the look before.
    """

    def __init__(self, store: Store, index: Index, bell: Bell) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._epoch: str | None = None
        self._suspects: set[str] = set()

    async def run(self) -> None:
        """Look once a period, and at once when the bell says that the index may lack something; until cancelled."""
        async with self._bell.listen("audit") as rings:
            while True:
                await self._index.wait_available()
                try:
                    await self._check_identity()
                    await self._check_presence()
                except (IndexUnavailable, StoreUnavailable):
                    await trio.sleep(PERIOD_S)
                    continue
                with trio.move_on_after(PERIOD_S):
                    await rings.receive()

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
        count = await self._push_everything()
        if await self._index.epoch() not in (mark, epoch):
            return  # emptied while we were at it: the next look starts over
        await self._index.set_epoch(epoch)
        log.info("index.rebuilt", index=self._index.name, jobs=count)

    async def _push_everything(self) -> int:
        count = 0
        position: ScanPosition | None = None
        while True:
            entries, position = await self._store.waiting_after(position, PAGE)
            await self._put(entries)
            count += len(entries)
            if position is None:
                return count

    async def _check_presence(self) -> None:
        missing = await self._index.missing(await self._store.due(FRONT))
        lost = [entry for entry in missing if entry.id in self._suspects]
        self._suspects = {entry.id for entry in missing}
        if lost:
            log.info("index.repaired", index=self._index.name, jobs=len(lost))
            await self._put(lost)

    async def _put(self, entries: list[Entry]) -> None:
        if not entries:
            return
        now = self._store.now_us()
        await self._index.push(entries, now=now)
        waiting = [entry.run_at for entry in entries if entry.run_at > now]
        if waiting:
            await self._bell.ring(Ring("due", at=min(waiting)))
