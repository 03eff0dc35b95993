"""The one door for changes asked from outside: submit, cancel, retry.

Checked submissions come in from the API (or a program that embeds Tickr), are batched, stored in one transaction, put
into the index, and answered; the answer leaves only after COMMIT. Truth first, then tell: store, index, bell. An index
that is away is no reason to refuse: the audit will put in what is missing.

One job, many, and what comes by a stream go through one line and share its transactions. Jobs that are to be stored as
one whole have a transaction for themselves, so that what is wrong with one of them undoes nobody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import structlog
import trio

from tickr import jobs
from tickr.announce import Announcer
from tickr.batching import Batcher, Ticket, TooLate
from tickr.bell import Bell, Ring
from tickr.errors import BatchTooLarge, DuplicateJob, IndexUnavailable, StoreUnavailable
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.jobs import Entry, Job, NewJob, State
from tickr.store.changes import same_content
from tickr.store.contract import MAX_BATCH, Start, Store

MAX_WAITING = 10_000
"""Submissions that may wait for their transaction, in jobs; beyond it they are refused as ``Overloaded``."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""About how much one transaction carries, in bytes; stays below every server's default packet limit."""

MAX_WHOLES_WAITING = 10
"""Batches to be stored as one whole that may wait for their transactions; beyond it they are ``Overloaded``."""

Stored = tuple[Job, bool]
"""A job, and whether it is new: False when it was stored already, under this id and with this content."""

log = structlog.get_logger("tickr.intake")


class Starter(Protocol):
    """Starts jobs in the transaction that stores them; ``Direct`` in ``worker/direct.py``."""

    def offer(self, new: Sequence[NewJob]) -> AbstractContextManager[Start | None]:
        """Return which of ``new`` may start with the transaction that stores them, which is the block."""
        ...

    def begin(self, start: Start, jobs: Sequence[Job]) -> None:
        """Run ``jobs``, which have been stored as started; called in the block."""
        ...


class Intake:
    """Takes changes from outside. ``run`` must be running for ``submit`` to be answered.

    Args:
      starter: None where no jobs run.
    """

    def __init__(
        self, store: Store, index: Index, bell: Bell, announcer: Announcer, starter: Starter | None = None
    ) -> None:
        self._starter = starter
        self._store = store
        self._index = index
        self._bell = bell
        self._announcer = announcer
        self._line: Batcher[NewJob, Stored] = Batcher(
            self._store_and_tell, max_items=MAX_BATCH, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WAITING
        )
        self._wholes: Batcher[Sequence[NewJob], list[Stored]] = Batcher(
            self._store_whole, max_items=1, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WHOLES_WAITING
        )

    async def run(self) -> None:
        """Store what is submitted, batch by batch, until ``close``. Cancellation: see ``Batcher.run``."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wholes.run)
            for _ in range(self._store.writers):
                nursery.start_soon(self._line.run)

    def close(self) -> None:
        """Refuse what comes from now on; what has been taken is stored and answered, then ``run`` returns."""
        self._line.close()
        self._wholes.close()

    async def submit(self, new: NewJob, *, within_s: float | None = None) -> Stored:
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
            raise _unavailable(late) from None
        if not created and not same_content(job, new):
            raise DuplicateJob(new.id)
        return job, created

    async def submit_many(
        self, new: Sequence[NewJob], *, atomic: bool = False, within_s: float | None = None
    ) -> list[Stored | Exception]:
        """Store many jobs and return, in order, what ``submit`` returns for each, or in its place what it raises.

        Args:
          new: up to MAX_BATCH if ``atomic``. They may be stored in one transaction or in several.
          atomic: all in one transaction or none; then there are no errors in the answer.
        Raises:
          Overloaded: none was taken.
          BatchTooLarge, DuplicateJob, StoreUnavailable: only if ``atomic``; see ``submit``.
        Cancellation: as for ``submit``, each by itself; if ``atomic``, all were stored or none.
        """
        if atomic:
            return list(await self._submit_whole(new, within_s))
        sizes = [one.size_bytes() for one in new]
        return _told(new, await self._line.submit_many(new, sizes, within_s=within_s))

    async def _submit_whole(self, new: Sequence[NewJob], within_s: float | None) -> list[Stored]:
        size = sum(one.size_bytes() for one in new)
        if size > MAX_BATCH_BYTES:
            raise BatchTooLarge(size, MAX_BATCH_BYTES)
        try:
            return await self._wholes.submit(new, size, within_s=within_s)
        except TooLate as late:
            raise _unavailable(late) from None

    async def wait_room(self, count: int) -> None:
        """Return when the line has room for ``count`` jobs, or nothing more is taken. No place is kept for them."""
        await self._line.wait_room(count)

    def enter(self, new: Sequence[NewJob]) -> Ticket[NewJob, Stored]:
        """Put jobs into the line and return at once; the caller goes on with ``answers``. Raises: Overloaded."""
        return self._line.enter(new, [one.size_bytes() for one in new])

    async def answers(self, entered: Ticket[NewJob, Stored], *, within_s: float) -> list[Stored | Exception]:
        """Return what ``submit_many`` returns, of jobs that were entered. Of several tickets, the oldest is done first.

        Cancellation: they are stored, and nobody is told.
        """
        new = entered.items
        return _told(new, await self._line.wait(entered, within_s=within_s))

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

    async def _store_whole(self, batches: Sequence[Sequence[NewJob]]) -> list[list[Stored]]:
        (new,) = batches
        return [await self._store_and_tell(new, whole=True)]

    async def _store_and_tell(self, new: Sequence[NewJob], *, whole: bool = False) -> list[Stored]:
        await reach("intake.before_store")
        with self._starter.offer(new) if self._starter else nullcontext() as start:
            answers = await self._store.insert(new, whole=whole, start=start)
            await reach("intake.after_commit")
            made = [job for job, created in answers if created]
            if log.is_enabled_for(logging.INFO):
                for job in made:
                    log.info("job.created", job=job.id, type=job.type, queue=job.queue)
            if self._starter and start:
                self._starter.begin(start, [job for job in made if job.state is State.RUNNING])
                await trio.lowlevel.cancel_shielded_checkpoint()  # they begin before anybody writes an answer
        waiting = [job.entry() for job in made if job.state is not State.RUNNING]
        await self._announcer.announce(waiting, at=made[0].created_at if made else 0)
        await reach("intake.after_announce")
        return [_as_created(one, *answer) for one, answer in zip(new, answers, strict=True)] if start else answers

    async def _forget(self, entry: Entry) -> None:
        # A cancelled job left in the index would only be a stale hint, so a failure here costs nothing.
        with trio.move_on_after(1):
            try:
                await self._index.remove([entry])
            except IndexUnavailable:
                return


def _as_created(new: NewJob, job: Job, created: bool) -> Stored:
    """Return what to answer: the job as it was created, whether or not it has started with that very transaction."""
    return (jobs.created(new, job.created_at) if created else job), created


def _told(new: Sequence[NewJob], answers: Sequence[Stored | Exception]) -> list[Stored | Exception]:
    """Return what the line answered as callers are to hear it."""
    told = list(answers)
    for at, (one, answer) in enumerate(zip(new, answers, strict=True)):
        if isinstance(answer, TooLate):
            same = at and answers[at - 1] is answer
            told[at] = told[at - 1] if same else _unavailable(answer)
        elif not isinstance(answer, Exception) and not answer[1] and not same_content(answer[0], one):
            told[at] = DuplicateJob(one.id)
    return told


def _unavailable(late: TooLate) -> StoreUnavailable:
    what = "of the transaction with it" if late.in_flight else "of those before it"
    return StoreUnavailable(f"No end {what} in time.", outcome_unknown=late.in_flight)
