"""The one door for what comes from outside: submissions here, and with ``amendments.py`` changes to what is there.

Checked submissions come in from the API (or a program that embeds Tickr), are batched, stored in one transaction, put
into the index, and answered; the answer leaves only after COMMIT. Truth first, then tell: store, index, bell. An index
that is away is no reason to refuse: the audit will put in what is missing.

One job, many, and what comes by a stream go through one line and share its transactions. Jobs that are to be stored as
one whole have a transaction for themselves, so that what is wrong with one of them undoes nobody else's. Jobs with keys
have a line of their own: their transactions may have to wait for others with the same key, and plain jobs wait for no
one. One of them is in flight at a time, so that a node's submissions with one key count in the order they came in. Jobs
that depend on others, or are in a sequence, go this way, too; and if the former come with what they depend on in the
same request, all of them in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import structlog
import trio

from tickr import jobs
from tickr.amendments import Amendments
from tickr.announce import Announcer
from tickr.batching import Batcher, Ticket, TooLate
from tickr.bell import Bell, Ring
from tickr.errors import (
    BatchTooLarge,
    DuplicateJob,
    JobError,
    Overloaded,
    SpecRejected,
    StoreUnavailable,
)
from tickr.failpoints import reach
from tickr.jobs import WAITING, Job, NewJob, State
from tickr.sealing import NO_VAULT, Vault
from tickr.store import keys, links
from tickr.store.changes import same_content
from tickr.store.contract import MAX_BATCH, Fate, Keyed, Refused, Start, Store

MAX_WAITING = 10_000
"""Submissions that may wait for their transaction, in jobs; beyond it they are refused as ``Overloaded``."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""About how much one transaction carries, in bytes; stays below every server's default packet limit."""

MAX_WHOLES_WAITING = 10
"""Batches to be stored by a transaction each that may wait for it; beyond it they are ``Overloaded``."""

Stored = tuple[Job, bool]
"""A job, and whether it is new: False when it was stored already, under this id and with this content.

To a submission with keys it is a ``Keyed``, which says more; of its job then, see there.
"""

log = structlog.get_logger("tickr.intake")


class Starter(Protocol):
    """Starts jobs in the transaction that stores them; ``Direct`` in ``worker/direct.py``."""

    def offer(self, new: Sequence[NewJob]) -> AbstractContextManager[Start | None]:
        """Return which of ``new`` may start with the transaction that stores them, which is the block."""
        ...

    def begin(self, start: Start, jobs: Sequence[Job]) -> None:
        """Run ``jobs``, which have been stored as started; called in the block."""
        ...


class _Together(NamedTuple):
    """Jobs for one transaction; ``whole``: all of them are stored or none."""

    new: Sequence[NewJob]
    whole: bool


class Intake(Amendments):
    """Takes jobs and changes from outside. ``run`` must be running for ``submit`` to be answered.

    Args:
      starter: None where no jobs run.
      vault: seals what comes in; from here on nobody sees it in the clear but its handler, and who asks for it.
    """

    def __init__(
        self,
        store: Store,
        bell: Bell,
        announcer: Announcer,
        starter: Starter | None = None,
        vault: Vault = NO_VAULT,
    ) -> None:
        super().__init__(store, bell, announcer, vault)
        self._starter = starter
        self._line: Batcher[NewJob, Stored] = Batcher(
            self._store_and_tell, max_items=MAX_BATCH, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WAITING
        )
        self._keyed: Batcher[NewJob, Stored] = Batcher(
            self._store_keyed, max_items=MAX_BATCH, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WAITING
        )
        self._wholes: Batcher[_Together, list[Stored]] = Batcher(
            self._store_together, max_items=1, max_bytes=MAX_BATCH_BYTES, max_waiting=MAX_WHOLES_WAITING
        )

    @property
    def lines(self) -> dict[str, Batcher[Any, Any]]:
        """The lines by what is in them, for who counts them."""
        return {"submissions": self._line, "keyed_submissions": self._keyed, "whole_batches": self._wholes}

    async def run(self) -> None:
        """Store what is submitted, batch by batch, until ``close``. Cancellation: see ``Batcher.run``."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wholes.run)
            nursery.start_soon(self._keyed.run)
            for _ in range(self._store.writers):
                nursery.start_soon(self._line.run)

    def close(self) -> None:
        """Refuse what comes from now on; what has been taken is stored and answered, then ``run`` returns."""
        self._line.close()
        self._keyed.close()
        self._wholes.close()

    async def submit(self, new: NewJob, *, within_s: float | None = None) -> Stored:
        """Store one job and return ``(job, created)`` once it is durable.

        ``created`` is False when a job with this id and this content is stored already: then it is that job; and for
        what a ``Keyed`` tells.

        Args:
          within_s: how long to wait, the time in the line included, in seconds; None for as long as it takes.
        Raises:
          DuplicateJob: the id belongs to a job with another content.
          UniqueConflict, KeyReused: it is refused for its keys.
          DependencyMissing, DependencyCycle: it cannot wait for what it depends on.
          Overloaded, StoreUnavailable: nothing was stored, unless ``outcome_unknown`` says that this is not known;
            submitting again with the same id, or idempotency key, is safe in every case.
        Cancellation: the job may have been stored or not; submitting again with the same id tells.
        """
        new = self._vault.seal_new(new)
        line = self._line if new.plain else self._keyed
        try:
            answer = await line.submit(new, new.size_bytes(), within_s=within_s)
        except TooLate as late:
            raise _unavailable(late) from None
        if not answer[1] and (refusal := _refusal(new, answer)):
            raise refusal
        return answer

    async def submit_many(
        self, new: Sequence[NewJob], *, atomic: bool = False, within_s: float | None = None
    ) -> list[Stored | Exception]:
        """Store many jobs and return, in order, what ``submit`` returns for each, or in its place what it raises.

        Args:
          new: up to MAX_BATCH if ``atomic``. They may be stored in one transaction or in several.
          atomic: all in one transaction or none; then there are no errors in the answer.
        Raises:
          Overloaded: none was taken.
          BatchTooLarge, and what else ``submit`` raises: only if ``atomic``.
        Cancellation: as for ``submit``, each by itself; if ``atomic``, all were stored or none.
        """
        new = self._vault.seal_all(new)
        if atomic:
            return list(await self._submit_together(_Together(new, whole=True), within_s))
        keyed = [at for at, one in enumerate(new) if not one.plain]
        if keyed:
            return await self._submit_mixed(new, keyed, within_s)
        sizes = [one.size_bytes() for one in new]
        return _told(new, await self._line.submit_many(new, sizes, within_s=within_s))

    async def _submit_mixed(
        self, new: Sequence[NewJob], keyed: Sequence[int], within_s: float | None
    ) -> list[Stored | Exception]:
        """``submit_many`` where those at ``keyed`` are not plain. What is told of one line is told of each."""
        answers: dict[int, Stored | Exception] = {}
        together = links.together(new)
        keyed = [at for at in keyed if at not in together]

        async def submit_linked() -> None:
            places = sorted(together)
            found: Sequence[Stored | Exception]
            try:
                found = await self._submit_together(_Together([new[at] for at in places], whole=False), within_s)
            except (BatchTooLarge, Overloaded, StoreUnavailable) as error:
                found = [error] * len(places)
            answers.update(zip(places, found, strict=True))

        async def submit(line: Batcher[NewJob, Stored], places: Sequence[int]) -> None:
            some = [new[at] for at in places]
            try:
                found = await line.submit_many(some, [one.size_bytes() for one in some], within_s=within_s)
            except Overloaded as error:
                found = [error] * len(some)
            answers.update(zip(places, found, strict=True))

        async with trio.open_nursery() as nursery:
            if together:
                nursery.start_soon(submit_linked)
            if keyed:
                nursery.start_soon(submit, self._keyed, keyed)
            if plain := sorted(set(range(len(new))).difference(keyed, together)):
                nursery.start_soon(submit, self._line, plain)
        return _told(new, [answers[at] for at in range(len(new))])

    async def _submit_together(self, together: _Together, within_s: float | None) -> list[Stored]:
        size = sum(one.size_bytes() for one in together.new)
        if size > MAX_BATCH_BYTES:
            raise BatchTooLarge(size, MAX_BATCH_BYTES)
        try:
            return await self._wholes.submit(together, size, within_s=within_s)
        except TooLate as late:
            raise _unavailable(late) from None

    async def submit_in_order(self, new: Sequence[NewJob]) -> list[Stored | Exception]:
        """Store jobs in one transaction of their own, with keys or without, and return what ``submit_many`` returns.

        They come into being in their order: each counts, and is told, before the next. They are not signed: what
        comes this way stood in the database before, where nobody can tell who has put it.

        Args:
          new: 1..MAX_BATCH.
        Raises: StoreError: of all of them; see ``submit``.
        Cancellation: all were stored, or none.
        """
        new = self._vault.seal_all(new, sign=False)
        return _told(new, await self._store_keyed(new))

    async def wait_room(self, new: Sequence[NewJob]) -> None:
        """Return when the line has room for ``new``, or nothing more is taken. No place is kept for them."""
        await self._line_of(new).wait_room(len(new))

    def enter(self, new: Sequence[NewJob]) -> Ticket[NewJob, Stored]:
        """Put jobs into the line and return at once; the caller goes on with ``answers``. Raises: Overloaded.

        Args:
          new: at least one; all of them are plain, or none.
        """
        new = self._vault.seal_all(new)
        return self._line_of(new).enter(new, [one.size_bytes() for one in new])

    def _line_of(self, new: Sequence[NewJob]) -> Batcher[NewJob, Stored]:
        return self._line if new[0].plain else self._keyed

    async def answers(self, entered: Ticket[NewJob, Stored], *, within_s: float) -> list[Stored | Exception]:
        """Return what ``submit_many`` returns, of jobs that were entered. Of several tickets, the oldest is done first.

        Cancellation: they are stored, and nobody is told.
        """
        new = entered.items
        return _told(new, await self._line_of(new).wait(entered, within_s=within_s))

    async def _store_together(self, batches: Sequence[_Together]) -> list[list[Stored]]:
        ((new, whole),) = batches
        return [await self._store_keyed(new, whole=whole)]

    async def _store_keyed(self, new: Sequence[NewJob], *, whole: bool = False) -> list[Stored]:
        """``_store_and_tell`` where jobs may wait for others, or be cancelled for others that have their keys now."""
        answers = await self._store_and_tell(new, whole=whole)
        if any(job.state is State.BLOCKED for job, created in answers if created):
            await self._bell.ring(Ring("links"))
        replaced = [job for answer in answers if isinstance(answer, Keyed) and (job := answer.replaced)]
        for job in replaced:
            log.info("job.cancelled", job=job.id, type=job.type, attempt=job.attempt)
        if replaced:
            await self._announcer.forget([job.entry() for job in replaced])
        return answers

    async def _store_and_tell(self, new: Sequence[NewJob], *, whole: bool = False) -> list[Stored]:
        new = self._vault.seal_all(new, sign=False)  # they are; a way that forgets it leaks nothing all the same
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
        waiting = [job.entry() for job in made if job.state in WAITING]
        await self._announcer.announce(waiting, at=made[0].created_at if made else 0)
        ends = [job.extras.expires_at for job in made if job.extras.expires_at is not None]
        if ends:
            await self._bell.ring(Ring("expiry", at=min(ends)))
        await reach("intake.after_announce")
        return [_as_created(one, answer) for one, answer in zip(new, answers, strict=True)] if start else answers


def _as_created(new: NewJob, answer: Stored) -> Stored:
    """Return what to answer: the job as it was created, whether or not it has started with that very transaction."""
    job, created = answer
    if not created or job.state is not State.RUNNING:
        return answer
    first = jobs.created(new, job.created_at)
    return answer.with_job(first) if isinstance(answer, Keyed) else (first, created)


def _refusal(new: NewJob, answer: Stored) -> JobError | SpecRejected | None:
    """Return why ``new``, which was not stored, is refused; None if what it met is an answer."""
    if isinstance(answer, Refused):
        return answer.error
    if isinstance(answer, Keyed) and (answer.replayed or answer.fate is not Fate.SAME):
        return keys.refusal(new, answer)
    return None if same_content(answer[0], new) else DuplicateJob(new.id)


def _told(new: Sequence[NewJob], answers: Sequence[Stored | Exception]) -> list[Stored | Exception]:
    """Return what the line answered as callers are to hear it."""
    told = list(answers)
    for at, (one, answer) in enumerate(zip(new, answers, strict=True)):
        if isinstance(answer, TooLate):
            same = at and answers[at - 1] is answer
            told[at] = told[at - 1] if same else _unavailable(answer)
        elif not isinstance(answer, Exception) and not answer[1] and (refusal := _refusal(one, answer)):
            told[at] = refusal
    return told


def _unavailable(late: TooLate) -> StoreUnavailable:
    what = "of the transaction with it" if late.in_flight else "of those before it"
    return StoreUnavailable(f"No end {what} in time.", outcome_unknown=late.in_flight)
