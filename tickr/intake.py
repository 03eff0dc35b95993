"""The one door for changes asked from outside: submit, cancel, retry.

Checked submissions come in from the API (or a program that embeds Tickr), are batched, stored in one transaction, put
into the index, and answered; the answer leaves only after COMMIT. Truth first, then tell: store, index, bell. An index
that is away is no reason to refuse: the audit will put in what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from tickr.announce import Announcer
from tickr.batching import Batcher, TooLate
from tickr.bell import Bell, Ring
from tickr.errors import DuplicateJob, IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import Entry, Job, NewJob, State
from tickr.store.contract import MAX_BATCH, Store

MAX_WAITING = 10_000
"""Submissions that may wait for their transaction, in jobs; beyond it they are refused as ``Overloaded``."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""About how much one transaction carries, in bytes; stays below every server's default packet limit."""

log = structlog.get_logger("tickr.intake")


class Intake:
    """Takes changes from outside. ``run`` must be running for ``submit`` to be answered."""

    def __init__(self, store: Store, index: Index, bell: Bell, announcer: Announcer) -> None:
        self._store = store
        self._index = index
        self._bell = bell
        self._announcer = announcer
        self._line: Batcher[NewJob, tuple[Job, bool]] = Batcher(
            self._store_and_tell, max_items=MAX_BATCH, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WAITING
        )

    async def run(self) -> None:
        """Store what is submitted, batch by batch, until ``close``. Cancellation: see ``Batcher.run``."""
        await self._line.run()

    def close(self) -> None:
        """Refuse what comes from now on; what has been taken is stored and answered, then ``run`` returns."""
        self._line.close()

    async def submit(self, new: NewJob, *, within_s: float | None = None) -> tuple[Job, bool]:
        """Store one job and return ``(job, created)`` once it is durable.

        ``created`` is False when a job with this id and this content is stored already: then it is that job.

        Args:
          within_s: how long to wait, the time in the line included, in seconds; None for as long as it takes.
        Raises:
          DuplicateJob: the id belongs to a job with another content.
          Overloaded, StoreUnavailable: nothing was stored, unless ``outcome_unknown`` says that this is not known;
            submitting again with the same id is safe in every case.
        Cancellation: the job may have been stored or not; submitting again with the same id tells.
        """
        try:
            job, created = await self._line.submit(new, new.size_bytes(), within_s=within_s)
        except TooLate as late:
            what = "of the transaction with it" if late.in_flight else "of those before it"
            raise StoreUnavailable(f"No end {what} within {within_s} s.", outcome_unknown=late.in_flight) from None
        if not created and not _same_content(job, new):
            raise DuplicateJob(new.id)
        return job, created

    async def cancel(self, job_id: str, *, version: int | None = None) -> Job:
        """Cancel a waiting job, or have a running one stopped by its worker; see ``Store.cancel``."""
        job = await self._store.cancel(job_id, version=version)
        await reach("intake.after_cancel")
        if job.state is State.RUNNING:
            await self._bell.ring(Ring("cancel", job=job.id, fence=job.fence))
        else:
            log.info("job.cancelled", job=job.id, type=job.type, attempt=job.attempt)
            await self._forget(job.entry())
        return job

    async def retry(self, job_id: str, *, version: int | None = None) -> Job:
        """Run a final job again with a fresh budget of attempts; see ``Store.redrive``."""
        job = await self._store.redrive(job_id, version=version)
        log.info("job.redriven", job=job.id, type=job.type)
        await self._announcer.announce([job.entry()], at=job.run_at)
        return job

    async def _store_and_tell(self, new: Sequence[NewJob]) -> list[tuple[Job, bool]]:
        await reach("intake.before_store")
        answers = await self._store.insert(new)
        await reach("intake.after_commit")
        jobs = [job for job, created in answers if created]
        for job in jobs:
            log.info("job.created", job=job.id, type=job.type, queue=job.queue)
        if jobs:
            await self._announcer.announce([job.entry() for job in jobs], at=jobs[0].created_at)
        await reach("intake.after_announce")
        return answers

    async def _forget(self, entry: Entry) -> None:
        # A cancelled job left in the index would only be a stale hint, so a failure here costs nothing.
        with trio.move_on_after(1):
            try:
                await self._index.remove([entry])
            except IndexUnavailable:
                return


def _same_content(job: Job, new: NewJob) -> bool:
    # Not the instants: a client that repeats a submission with "delay" means the same job.
    return (
        job.type == new.type
        and job.queue == new.queue
        and job.priority == new.priority
        and job.payload == new.payload
        and job.max_attempts == new.max_attempts
        and job.timeout_us == new.timeout_us
        and job.backoff == new.backoff
        and job.labels == new.labels
    )
