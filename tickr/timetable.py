"""The one door for changes of schedules asked from outside: put, pause, resume, delete, run.

A checked wish comes in from the API, is carried out in one transaction, and is answered once it is durable. Truth
first, then tell: store, then the bell for those who wait for ticks (``scheduler/schedules.py``), or index and bell for
a job that is made at once. What a wish does to a schedule is decided in ``schedule_moves.py``.
"""

from __future__ import annotations

import structlog
import uuid_utils

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import ScheduleNotFound
from tickr.jobs import Job
from tickr.schedule_moves import Delete, Pause, Put, Resume, Run
from tickr.schedules import Schedule
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import MovedSchedule, Store

log = structlog.get_logger("tickr.timetable")


class Timetable:
    """Takes changes of schedules from outside. Of each: Cancellation: it may have been made or not; ask again."""

    def __init__(self, store: Store, bell: Bell, announcer: Announcer, vault: Vault = NO_VAULT) -> None:
        """Args: vault: seals the payloads of templates."""
        self._vault = vault
        self._store = store
        self._bell = bell
        self._announcer = announcer

    def keeps(self, schedule: Schedule) -> bool:
        """Whether ``schedule`` would be encrypted and signed again, as far as it is, if it were put here."""
        extras, vault = schedule.job.extras, self._vault
        return (extras.sealed is None or vault.first is not None) and (extras.signed is None or vault.signer.signs)

    async def put(self, wish: Put) -> tuple[Schedule, bool]:
        """Have a schedule be as it is wished; return it, and whether it is new. Raises: what ``Put.apply`` raises."""
        moved = await self._change(self._vault.seal_put(wish), "changed")
        return _still_there(wish.name, moved), moved.before is None

    async def pause(self, name: str, *, version: int | None = None) -> Schedule:
        """Raises: ScheduleNotFound, ScheduleMismatch."""
        return _still_there(name, await self._change(Pause(name=name, version=version), "paused"))

    async def resume(self, name: str, *, version: int | None = None) -> Schedule:
        """Raises: ScheduleNotFound, ScheduleMismatch; BadTiming: this node does not know its zone."""
        return _still_there(name, await self._change(Resume(name=name, version=version), "resumed"))

    async def delete(self, name: str, *, version: int | None = None) -> None:
        """Raises: ScheduleNotFound, ScheduleMismatch."""
        await self._change(Delete(name=name, version=version), "deleted")

    async def run(self, name: str) -> Job:
        """Make a job of the schedule at once and return it. Raises: ScheduleNotFound."""
        (moved,) = await self._store.move_schedules([Run(name=name, job_id=str(uuid_utils.uuid7()))])
        (job,) = moved.jobs
        log.info("job.created", job=job.id, type=job.type, queue=job.queue, schedule=name)
        await self._announcer.announce([job.entry()], at=job.created_at)
        return job

    async def _change(self, wish: Put | Pause | Resume | Delete, what: str) -> MovedSchedule:
        (moved,) = await self._store.move_schedules([wish])
        if moved.before != moved.after:
            what = "created" if moved.before is None else what
            log.info("schedule.changed", schedule=wish.name, change=what)
            if moved.after and moved.after.next_at is not None:
                await self._bell.ring(Ring("schedule", at=moved.after.next_at))
            if moved.after and moved.after.foreseen is not None:
                await self._bell.ring(Ring("schedule"))  # for those who have its function
        return moved


def _still_there(name: str, moved: MovedSchedule) -> Schedule:
    if moved.after is None:
        raise ScheduleNotFound(name)
    return moved.after
