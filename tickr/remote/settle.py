"""Settle: what remote workers report of their attempts → outcomes in the store.

Reports come in, of one lease; each names its attempt by the job's id and fence. What still holds becomes an ``Outcome``
and is stored with the others of its call in one transaction; then what waits again is announced. A report of an attempt
that is over changes nothing. Was it this very report that ended it, as when an answer got lost and the worker asks
again, it is answered as the first time: the attempts that are kept with each job tell.

Payloads of encrypted jobs are opened here for their workers, and what these report is sealed. A node without the key of
a job can do neither: it hands the job back, and refuses the report, which another node takes.

No state: any node answers any call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec
import structlog

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import CannotOpen, IndexUnavailable, JobNotFound
from tickr.failpoints import reach
from tickr.index.contract import Index, Lane
from tickr.jobs import CANCELLED_ON_REQUEST, WAITING, Attempt, Failure, Job, State
from tickr.reports import Outcome
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Store

log = structlog.get_logger("tickr.remote")

How = Literal["succeeded", "retry", "give_up", "drop", "snooze", "hand_back", "cancelled"]

NOT_THE_WORKERS = frozenset({"lease_lost", "crashed", "lost_claim", "node_gone"})
"""Why an attempt ended of which its worker reported nothing; no worker may say so itself."""

_COMES_TO: dict[How, frozenset[str]] = {
    "succeeded": frozenset({"succeeded"}),
    "retry": frozenset({"retrying", "failed", "cancelled"}),
    "give_up": frozenset({"failed"}),
    "drop": frozenset({"cancelled"}),
    "snooze": frozenset({"released", "cancelled"}),
    "hand_back": frozenset({"released", "cancelled"}),
    "cancelled": frozenset({"cancelled"}),
}
"""How attempts end of which so is reported; what would run again is cancelled if somebody asked for that."""


class Report(NamedTuple):
    """How an attempt ended, as its worker says.

    Attributes:
      result: JSON text, with ``succeeded``.
      failure: why, with ``retry`` and ``give_up``, and if there is more to say with the others.
      delay_s: with ``retry``, in seconds; None: by the job's back-off. With ``snooze``: until it is looked at again.
      queue, priority: with ``retry`` and ``snooze``: where the job waits from now on; None: where it did.
      hold_queue: with ``delay_s``: no job of its queue is started before.
    """

    id: str
    fence: int
    how: How
    result: str | None = None
    failure: Failure | None = None
    delay_s: float | None = None
    hold_queue: bool = False
    queue: str | None = None
    priority: int | None = None

    @property
    def hold_us(self) -> int:
        """For how long the job's queue is held up, microseconds; 0: it is not."""
        return int((self.delay_s or 0) * 1_000_000) if self.hold_queue else 0


class Settled(NamedTuple):
    """What became of a report.

    Attributes:
      status: ``done``: the attempt has ended with it. ``stale``: it was over, nothing was changed. ``refused``:
        cancelled, and nobody had asked for that; nothing was changed, and the attempt runs.
      outcome: how the attempt has ended, as its row among the job's attempts says; None if that is not known.
    """

    id: str
    fence: int
    status: Literal["done", "stale", "refused"]
    outcome: str | None


class Settler:
    """Stores what remote workers report.

    Args:
      max_result_bytes: longer results fail their job.
      chance: returns 0 <= x < 1, for the jitter of delays.
      vault: has the encryption keys of this node.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        bell: Bell,
        announcer: Announcer,
        *,
        max_result_bytes: int,
        chance: Callable[[], float] = random.random,
        vault: Vault = NO_VAULT,
    ) -> None:
        self.vault = vault
        self._store = store
        self._index = index
        self._bell = bell
        self._announcer = announcer
        self._max_result_bytes = max_result_bytes
        self._chance = chance

    async def settle(self, lease: str, reports: Sequence[Report]) -> list[Settled]:
        """Store ``reports``, up to MAX_BATCH, and return what became of each, in order.

        Raises: StoreUnavailable: they may be stored or not; reporting the same again tells. CannotOpen: one is of a job
          whose key is not here; the others are stored.
        Cancellation: likewise.
        """
        await reach("outcomes.before_store")
        jobs = {job.id: job for job in await self._store.get_many({report.id for report in reports})}
        answers: dict[tuple[str, int], Settled] = {}
        wanted: dict[str, Outcome] = {}
        closed: CannotOpen | None = None
        for report in reports:
            job = jobs.get(report.id)
            if job is None or not _is_running(job, lease, report.fence) or report.id in wanted:
                continue
            if report.how == "cancelled" and not job.cancel_requested:
                answers[report.id, report.fence] = Settled(report.id, report.fence, "refused", None)
                continue
            try:
                wanted[report.id] = self._sealed(job, report)
            except CannotOpen as error:
                closed = error
        for after in await self.finish([*wanted.values()]):
            answers[after.id, after.fence] = Settled(after.id, after.fence, "done", _outcome_of(after))
        if closed is not None:
            raise closed
        for report in reports:
            if (report.id, report.fence) not in answers:
                answers[report.id, report.fence] = await self._over(lease, report)
        return [answers[report.id, report.fence] for report in reports]

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job]:
        """Store outcomes and tell whom they concern. Returns: the jobs of those that still held, as they are now.

        Raises: StoreUnavailable. Cancellation: they may be stored, and not announced: the audit does that.
        """
        if not outcomes:
            return []
        stored = await self._store.finish(outcomes)
        after = [job for job in stored if job is not None]
        ended = [outcome.job for outcome, job in zip(outcomes, stored, strict=True) if job is not None]
        await reach("outcomes.after_commit")
        why = {outcome.job.id: outcome.failure for outcome in outcomes}
        for job in after:
            failure = why[job.id]
            log.info(
                "lease.settled", job=job.id, type=job.type, node=job.node, outcome=_outcome_of(job),
                error=failure.kind if failure else None,
            )  # fmt: skip
        if holds := [outcome.hold_us for outcome in outcomes if outcome.hold_us]:
            await self._announcer.announce_hold(self._store.now_us() + max(holds))
        waiting = [job.entry() for job in after if job.state in WAITING]
        await self._announcer.announce(waiting, at=self._store.now_us())
        await self._free(ended)
        await reach("outcomes.after_announce")
        return after

    async def hand_back(self, jobs: Iterable[Job], why: Failure) -> list[Job]:
        """Have ``jobs``, as they were claimed, run again at no cost to them. Raises: StoreUnavailable."""
        return await self.finish([Outcome(job=job, kind="released", failure=why) for job in jobs])

    async def time_out(self, jobs: Iterable[Job]) -> list[Job]:
        """End attempts that have had their time. Raises: StoreUnavailable."""
        return await self.finish([_after_failure(job, timed_out(job), self._chance) for job in jobs])

    async def opened(self, jobs: Iterable[Job]) -> list[Job]:
        """Return ``jobs``, as they were claimed, with their payloads in the clear for their worker.

        What does not open, or is not signed as it must be, has failed; what is encrypted with a key that is not here is
        handed back. Both are left out.
        Raises: StoreUnavailable.
        """
        readable: list[Job] = []
        ended: list[Outcome] = []
        for job in jobs:
            try:
                readable.append(self.vault.open_to_run(job))
            except CannotOpen as error:
                here = job.extras.sealed is None or job.extras.sealed in self.vault.ids
                why = Failure(error.code if here else "lost_claim", str(error))
                ended.append(Outcome(job=job, kind="failed" if here else "released", failure=why))
        await self.finish(ended)
        return readable

    def _sealed(self, job: Job, report: Report) -> Outcome:
        """Return what to store of a report. Raises: CannotOpen."""
        if report.failure is not None:
            report = report._replace(failure=self.vault.seal_said(report.failure, job))
        outcome = msgspec.structs.replace(
            self._outcome(job, report), queue=report.queue, priority=report.priority, hold_us=report.hold_us
        )
        return self.vault.seal_outcome(outcome)

    def _outcome(self, job: Job, report: Report) -> Outcome:
        match report.how:
            case "succeeded":
                size = len((report.result or "").encode())
                if size <= self._max_result_bytes:
                    return Outcome(job=job, kind="succeeded", result=report.result)
                message = f"The result has {size} bytes; at most {self._max_result_bytes} are kept. Store it elsewhere."
                return Outcome(job=job, kind="failed", failure=Failure("bad_result", message))
            case "cancelled":
                return Outcome(job=job, kind="cancelled", failure=CANCELLED_ON_REQUEST)
            case "drop":
                dropped = report.failure or Failure("dropped", "Its worker dropped it.")
                return Outcome(job=job, kind="cancelled", failure=dropped)
            case "snooze":
                put_off = report.failure or Failure("snoozed", "Its worker put it off.")
                return Outcome(job=job, kind="released", failure=put_off, delay_us=int((report.delay_s or 0) * 1e6))
            case "hand_back":
                handed_back = Failure("shutdown", "Its worker handed it back.")
                return Outcome(job=job, kind="released", failure=report.failure or handed_back)
        assert report.failure is not None, "an attempt that did not succeed has a reason"
        if report.how == "give_up":
            return Outcome(job=job, kind="failed", failure=report.failure)
        return _after_failure(job, report.failure, self._chance, delay_s=report.delay_s)

    async def _over(self, lease: str, report: Report) -> Settled:
        """Return what to say to a report of an attempt that is over: see the module."""
        try:
            attempts = await self._store.attempts(report.id)
        except JobNotFound:
            return Settled(report.id, report.fence, "stale", None)
        ended = next((one for one in attempts if one.fence == report.fence and one.node == lease), None)
        if ended is None or ended.outcome == State.RUNNING:
            return Settled(report.id, report.fence, "stale", None)
        return Settled(report.id, report.fence, "done" if _ended_it(report, ended) else "stale", ended.outcome)

    async def _free(self, ended: Sequence[Job]) -> None:
        """Give the places of jobs that run no more, in queues with limits, to others."""
        lanes = sorted({Lane(job.queue, job.limit_key) for job in ended if job.limit_key is not None})
        if lanes:
            with suppress(IndexUnavailable):  # then nobody takes from lanes
                await self._index.free(lanes)
        self._bell.ring_nowait(*(Ring("free", queue=name) for name in sorted({job.queue for job in ended})))


def _after_failure(job: Job, why: Failure, chance: Callable[[], float], *, delay_s: float | None = None) -> Outcome:
    """The attempt is spent: run again after ``delay_s`` (None: by the job's back-off), or failed if it was the last."""
    if job.attempt >= job.max_attempts:
        return Outcome(job=job, kind="failed", failure=why)
    if delay_s is None:
        delay_s = job.backoff.delay_s(job.attempt, chance())
    return Outcome(job=job, kind="retried", failure=why, delay_us=int(delay_s * 1_000_000))


def timed_out(job: Job) -> Failure:
    """Return why an attempt ends that has had its time."""
    return Failure("timeout", f"Not done within {job.timeout_us / 1_000_000:g} s.")


def _is_running(job: Job, lease: str, fence: int) -> bool:
    return job.state is State.RUNNING and job.fence == fence and job.node == lease


def _outcome_of(job: Job) -> str:
    """Return how the attempt ended of which ``job`` came: as ``Change.what`` calls it."""
    return "released" if job.state is State.READY else job.state.value


def _ended_it(report: Report, ended: Attempt) -> bool:
    """Whether it was this report that ended the attempt, for all that is known of it."""
    kind = ended.error.kind if ended.error else None
    if report.how == "succeeded" and kind == "bad_result":  # it was too long
        return True
    if ended.outcome not in _COMES_TO[report.how] or kind in NOT_THE_WORKERS:
        return False
    return (
        report.how != "retry" or ended.outcome == "cancelled" or report.failure is None or kind == report.failure.kind
    )
