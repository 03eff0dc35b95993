"""Family: takes the children of all handlers of a node to the store, and asks there how jobs have ended.

Comes in: what one attempt submits (``kin.py``). Goes out: children that are durable, indexed and rung for. It keeps
nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import StoreUnavailable
from tickr.failpoints import reach
from tickr.jobs import WAITING, Job, NewJob
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Store
from tickr.worker.kin import Describe

RETRY_S = 0.5
"""Pause between tries while the store is away, in seconds."""

log = structlog.get_logger("tickr.worker")


class Family:
    """Takes the children of all handlers of a node to the store.

    Args:
      describe: reads a submission.
      vault: seals children as any submission, and opens for handlers how others have ended.
    """

    def __init__(
        self, store: Store, announcer: Announcer, bell: Bell, describe: Describe, vault: Vault = NO_VAULT
    ) -> None:
        self._vault = vault
        self._store = store
        self._announcer = announcer
        self._bell = bell
        self.describe = describe

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        """Store children and have them run; see ``Store.spawn``. Outlasts a store that is away.

        Cancellation: they may have been stored or not; the next attempt submits them again.
        """
        new = self._vault.seal_all(new)
        while True:
            try:
                born = await self._store.spawn(attempt, new)
                break
            except StoreUnavailable as error:
                log.warning("children.waiting_for_store", job=attempt.id, error=str(error))
                await trio.sleep(RETRY_S)
        await reach("children.after_commit")
        await self._announcer.announce([job.entry() for job in born if job.state in WAITING], at=self._store.now_us())
        ends = [job.extras.expires_at for job in born if job.extras.expires_at is not None]
        await self._bell.ring(Ring("links"), *([Ring("expiry", at=min(ends))] if ends else []))
        return born

    async def children(self, parent: str) -> list[Job]:
        """Return all children of a job. Raises: StoreUnavailable, CannotOpen."""
        return [self._vault.open_end(job) for job in await self._store.children([parent])]

    async def ended(self, ids: Sequence[str]) -> list[Job]:
        """Return jobs that have ended, in the order of ``ids``. What is not kept any more is left out.

        Raises: StoreUnavailable, CannotOpen.
        """
        found = {job.id: self._vault.open_end(job) for job in await self._store.get_many(ids)}
        return [found[id_] for id_ in ids if id_ in found]
