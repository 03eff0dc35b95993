"""What may be asked about what is there: cancel, change and retry jobs, one or many, and what is set on queues.

The part of the intake that takes no jobs in. A change is stored first, then index and bell are told; it is answered
after COMMIT. An index that is away is no reason to refuse: the audit finds what is missing there.
"""

from __future__ import annotations

import secrets

import msgspec
import structlog

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.edits import NO_EDIT, Edit
from tickr.failpoints import reach
from tickr.jobs import WAITING, Job, State
from tickr.operation_moves import Begin, Stop
from tickr.operations import Operation
from tickr.queues import Controls, Setting
from tickr.sealing import Vault
from tickr.store.contract import Store

log = structlog.get_logger("tickr.intake")


class Amendments:
    """Takes changes from outside. Args: vault: seals what a job is to have instead."""

    def __init__(self, store: Store, bell: Bell, announcer: Announcer, vault: Vault) -> None:
        self._store = store
        self._bell = bell
        self._announcer = announcer
        self._vault = vault

    async def cancel(self, job_id: str, *, version: int | None = None, reason: str | None = None) -> Job:
        """Cancel a waiting job, or have a running one stopped by its worker; see ``Store.cancel``."""
        job = await self._store.cancel(job_id, version=version, reason=reason)
        await reach("intake.after_cancel")
        if job.state is State.RUNNING:
            await self._bell.ring(Ring("cancel", job=job.id, fence=job.fence))
        elif job.closing is not None:
            log.info("job.closing", job=job.id, type=job.type, attempt=job.attempt)
        else:
            log.info("job.cancelled", job=job.id, type=job.type, attempt=job.attempt)
            await self._announcer.forget([job.entry()])
        return job

    async def edit(self, job_id: str, edit: Edit, *, version: int | None = None) -> Job:
        """Change a job that waits, or the time-out of one that runs; see ``Store.edit``."""
        job, change, at = await self._store.edit(job_id, self._vault.seal_edit(edit, job_id), version=version)
        if change is not None:
            log.info("job.changed", job=job.id, type=job.type, changed=change.changed)
            await self._announcer.announce_changes([change], at=at)
        return job

    async def delete(
        self, job_id: str, *, version: int | None = None, cancel: bool = False, reason: str | None = None
    ) -> None:
        """Delete a job that has ended for good, or with ``cancel`` one that waits; see ``Store.delete``."""
        job = await self._store.delete(job_id, version=version, cancel=cancel, reason=reason)
        log.info("job.deleted", job=job.id, type=job.type, state=job.state.value)
        if job.state in WAITING:
            await self._announcer.forget([job.entry()])

    async def retry(self, job_id: str, *, version: int | None = None, edit: Edit = NO_EDIT) -> Job:
        """Run a final job again with a fresh budget of attempts, changed by ``edit``; see ``Store.redrive``."""
        edit = self._vault.seal_edit(edit, job_id)
        job = await self._store.redrive(job_id, version=version, edit=edit)
        redrive = job.extras.redrives[-1]
        log.info("job.redriven", job=job.id, type=job.type, changed=redrive.changed)
        await self._announcer.announce([job.entry()] if job.state in WAITING else [], at=redrive.at)
        if job.state is State.BLOCKED:
            await self._bell.ring(Ring("links"))
        return job

    async def begin(self, operation: Operation) -> tuple[Operation, bool]:
        """Have something done to many jobs; return it once that is durable, and whether it is new.

        Raises: OperationExists, TooManyOperations. BatchTooLarge: a payload, sealed with very many keys, is that.
        Cancellation: it may have begun; the same id again tells.
        """
        before, after, _ = await self._store.move_operation(Begin(self._vault.seal_operation(operation)))
        assert after is not None, "what begins is there"
        if before is None:
            log.info("operation.started", operation=after.id, action=after.action, total=after.total, rate=after.rate)
            await self._bell.ring(Ring("operation"))
        return after, before is None

    async def stop(self, operation_id: str) -> Operation:
        """Have an operation go no further. Raises: OperationNotFound."""
        before, after, _ = await self._store.move_operation(Stop(operation_id))
        assert after is not None, "what is stopped is there"
        if before != after:
            log.info("operation.ended", operation=after.id, state=after.state, done=after.done, skipped=after.skipped)
        return after

    async def control(self, queue: str, setting: Setting) -> Controls:
        """Pause a queue, resume, limit or order it on all nodes; see ``Store.control``. Returns: what holds now."""
        controls = await self._store.control(queue, **setting._asdict(), mark=secrets.token_hex(4))
        log.info(
            "queue.changed",
            queue=queue,
            paused=controls.paused,
            order=controls.order,
            **msgspec.to_builtins(controls.limits),
        )
        if setting.order is not None:
            await self._announcer.announce_orders()
        await self._bell.ring(Ring("queue", at=controls.paused_until))
        return controls

    async def drop_queue(self, queue: str) -> None:
        """Take a queue away in which nothing is left to do; see ``Store.drop_queue``."""
        await self._store.drop_queue(queue, mark=secrets.token_hex(4))
        log.info("queue.deleted", queue=queue)
        await self._bell.ring(Ring("queue"))
