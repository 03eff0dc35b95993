"""Goes through a store for ``tickr keys resign``: what is signed with another key is signed with the first one.

Step by step and with rests, as ``resealing.py`` does. Only what is signed as it is now gets another signature: what
somebody has changed or put there stays as it is, and is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import trio

from tickr import jobs
from tickr.cli.resealing import TOGETHER, as_it_is, pages_of, schedules_of
from tickr.config import Config
from tickr.errors import CannotOpen, ConfigError, ScheduleError
from tickr.jobs import Job
from tickr.schedules import Schedule
from tickr.sealing import Vault, vault_of
from tickr.store.contract import Resealed, Store
from tickr.store.open import open_store

Complain = Callable[[str], None]


class Signed(NamedTuple):
    """How many were signed with the first key; ``left``: how many jobs were not, as they ran or moved just then."""

    jobs: int
    schedules: int
    left: int


async def resign(config: Config, complain: Complain) -> Signed:
    """Sign with the first key whatever is signed with another; tell ``complain`` of each that is not to be run.

    Raises: ConfigError: there is no key here.
    Cancellation: what was written by then stands; begun again, it goes on there.
    """
    vault = vault_of(config)
    if not vault.signer.signs:
        raise ConfigError(["there is no key to sign with: set TICKR_SIGNING_KEYS as for tickr serve"])
    async with open_store(config.store) as store:
        work = _Work(store, vault, complain)
        done = schedules = left = 0
        # Templates first: from then on they make no more jobs that have to be written again.
        async for one in schedules_of(store):
            if not vault.signer.has_signed(one.job.extras.signed):
                schedules += await work.put_again(one)
        async for page in pages_of(store):
            ids = [one.id for one in page if not vault.signer.has_signed(one.signed)]
            for start in range(0, len(ids), TOGETHER):
                tried, written = await work.jobs(ids[start : start + TOGETHER])
                done, left = done + written, left + tried - written
        return Signed(done, schedules, left)


class _Work:
    def __init__(self, store: Store, vault: Vault, complain: Complain) -> None:
        self._store = store
        self._vault = vault
        self._complain = complain

    async def jobs(self, ids: Sequence[str]) -> tuple[int, int]:
        """Sign these jobs; return how many are to be signed, and how many are now. Then rest."""
        began_at = trio.current_time()
        found = await self._store.get_many(ids)
        anew = [Resealed(signed, ()) for job in found if (signed := self._signed(job)) is not None]
        done = await self._store.reseal(anew) if anew else 0
        await trio.sleep(trio.current_time() - began_at)
        return len(anew), done

    def _signed(self, job: Job) -> Job | None:
        try:
            return self._vault.resign_job(job)
        except CannotOpen as error:
            self._complain(f"job {job.id}: {error}")
            return None

    async def put_again(self, schedule: Schedule) -> int:
        """Sign the template of a schedule; return 1 if it is now."""
        try:
            opened = self._vault.open_schedule(schedule)
            extras = msgspec.structs.replace(opened.job.extras, schedule=schedule.name)
            self._vault.signer.resigned(jobs.created(msgspec.structs.replace(opened.job, extras=extras), 0))
            await self._store.move_schedules([self._vault.seal_put(as_it_is(opened))])
        except (CannotOpen, ScheduleError) as error:
            self._complain(f"schedule {schedule.name}: {error}")
            return 0
        return 1
