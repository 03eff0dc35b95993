"""Goes through a store for ``tickr keys``: counts what needs which encryption key, and encrypts it with the first one.

Jobs are looked at by id, page by page, and written some at a time; each step is a transaction of its own, after which
it rests as long as the step has taken. So nobody waits long for it, it holds little, and it can be broken off and begun
again: what has the first key is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import msgspec
import trio

from tickr.config import Config
from tickr.errors import CannotOpen, ConfigError, JobNotFound, ScheduleError
from tickr.job_log import LogPart
from tickr.jobs import FINAL
from tickr.schedule_moves import Put
from tickr.schedules import Schedule
from tickr.sealing import Vault
from tickr.store.contract import MAX_BATCH, KeyUse, Resealed, Store
from tickr.store.open import open_store

TOGETHER = 20
"""Jobs that are given another key in one transaction: with payloads of 1 MiB that is a long one already."""
SCHEDULES = 200
"""Schedules that are read at once."""

Complain = Callable[[str], None]


class Use(NamedTuple):
    """How often a key is in use, None for none: by jobs that are to run still, by those that have ended, by schedules.

    ``here``: whether it is configured here, and ``first``: whether it encrypts here. ``nodes``: how many living nodes
    have it, and ``encrypts``: how many of them encrypt with it.
    """

    key: str | None
    to_run: int
    ended: int
    schedules: int
    here: bool
    first: bool
    nodes: int
    encrypts: int

    @property
    def needed(self) -> int:
        return self.to_run + self.ended + self.schedules


class Done(NamedTuple):
    """How many were encrypted with the first key."""

    jobs: int
    schedules: int


async def uses(config: Config) -> list[Use]:
    """Return the keys that are here, in order, then all others that something needs, then None for what is plain."""
    vault = Vault(config.encryption_keys or (), config.compress_above)
    async with open_store(config.store) as store:
        to_run, ended = Counter[str | None](), Counter[str | None]()
        async for page in pages_of(store):
            for one in page:
                (ended if one.state in FINAL else to_run)[one.key] += 1
        templates = Counter([one.job.extras.sealed async for one in schedules_of(store)])
        nodes = [node.keys for node in await store.nodes()]
    having = Counter(key for keys in nodes for key in keys)
    encrypting = Counter(keys[0] for keys in nodes if keys)
    others = sorted({key for key in [*to_run, *ended, *templates, *encrypting] if key is not None} - vault.ids)
    return [
        Use(
            *(key, to_run[key], ended[key], templates[key]),
            here=key in vault.ids,
            first=key is not None and key == vault.first,
            nodes=having[key or ""],
            encrypts=encrypting[key or ""],
        )
        for key in [*vault.ordered, *others, None]
    ]


async def reseal(config: Config, complain: Complain) -> Done:
    """Encrypt with the first key whatever is encrypted with another; tell ``complain`` of each that cannot be.

    Raises: ConfigError: there is no key here.
    Cancellation: what was written by then stands; begun again, it goes on there.
    """
    vault = Vault(config.encryption_keys or (), config.compress_above)
    if vault.first is None:
        raise ConfigError(["there is no key to encrypt with: set TICKR_ENCRYPTION_KEYS as for tickr serve"])
    async with open_store(config.store) as store:
        work = _Work(store, vault, complain)
        jobs = schedules = 0
        # Templates first: from then on they make no more jobs that have to be written again.
        async for one in schedules_of(store):
            if work.wants(one.job.extras.sealed):
                schedules += await work.put_again(one)
        async for page in pages_of(store):
            ids = [one.id for one in page if work.wants(one.key)]
            for start in range(0, len(ids), TOGETHER):
                jobs += await work.jobs(ids[start : start + TOGETHER])
        return Done(jobs, schedules)


async def pages_of(store: Store) -> AsyncIterator[Sequence[KeyUse]]:
    """Yield what each job is encrypted with, page by page."""
    after = None
    while True:
        page = await store.key_uses(MAX_BATCH, after)
        yield page.found
        if (after := page.after) is None:
            return


async def schedules_of(store: Store) -> AsyncIterator[Schedule]:
    """Yield all schedules."""
    after = None
    while found := await store.schedules(SCHEDULES, after):
        for one in found:
            yield one
        after = found[-1].name


class _Work:
    """Writes what has another key than the first one anew."""

    def __init__(self, store: Store, vault: Vault, complain: Complain) -> None:
        self._store = store
        self._vault = vault
        self._complain = complain

    def wants(self, key: str | None) -> bool:
        return key is not None and key != self._vault.first

    async def jobs(self, ids: Sequence[str]) -> int:
        """Give these jobs the first key; return how many have it now. Then rest."""
        began_at = trio.current_time()
        anew = [one for job_id in ids if (one := await self._resealed(job_id)) is not None]
        done = await self._store.reseal(anew) if anew else 0
        await trio.sleep(trio.current_time() - began_at)
        return done

    async def _resealed(self, job_id: str) -> Resealed | None:
        try:
            # In this order: an attempt that ends in between makes the job another version, which is written by nobody.
            job = await self._store.get(job_id)
            if job is None:
                return None
            attempts = await self._store.attempts(job_id)
            told = [self._vault.reseal_attempt(one, job_id) for one in attempts if one.error is not None]
            kept = self._vault.reseal_checkpoint(await self._store.checkpoint(job), job)
            log = self._vault.reseal_log(await self._log(job_id), job_id)
            return Resealed(self._vault.reseal_job(job), told, kept, log)
        except CannotOpen as error:
            self._complain(f"job {job_id}: {error}")
            return None
        except JobNotFound:
            return None

    async def _log(self, job_id: str) -> list[LogPart]:
        """Return all that a job has logged and that is kept: no more than one wants to write in one transaction."""
        found = await self._store.job_log(job_id, MAX_BATCH)
        while page := await self._store.job_log(job_id, MAX_BATCH, after=found[-1].place) if found else []:
            found += page
        return found

    async def put_again(self, schedule: Schedule) -> int:
        """Give the template of a schedule the first key; return 1 if it has it now."""
        try:
            opened = self._vault.open_schedule(schedule)
            await self._store.move_schedules([self._vault.seal_put(as_it_is(opened))])
        except (CannotOpen, ScheduleError) as error:
            self._complain(f"schedule {schedule.name}: {error}")
            return 0
        return 1


def as_it_is(opened: Schedule) -> Put:
    """Return what makes a schedule, that is in the clear, what it is already."""
    return Put(
        name=opened.name,
        timing=opened.timing,
        job=msgspec.structs.replace(opened.job, extras=msgspec.structs.replace(opened.job.extras, sealed=None)),
        given=opened.given,
        missed=opened.missed,
        overlap=opened.overlap,
        end_at=opened.end_at,
        times=opened.times,
        version=opened.version,
    )
