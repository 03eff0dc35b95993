"""Beats: what a remote worker and the store tell each other with each call that keeps a lease.

The worker names what it holds. What the store has as running under the lease and the worker does not name was claimed
and never delivered: it is listed again, with the same fence. So nothing waits for ever behind a heartbeat. What the
worker names and the store does not have is not its own any more: it is told to stop.

A time-out is its worker's to keep. It is told when a job's time is over; ``PATIENCE_US`` later the attempt is ended
here, and what its worker says of it then is stale. No state.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeVar

import structlog

from tickr.errors import CannotOpen, LeaseLost
from tickr.failpoints import reach
from tickr.job_log import KEPT_LINES, part_of
from tickr.jobs import Failure, Job, State
from tickr.remote.settle import Settler
from tickr.reports import Lines, Note
from tickr.store.contract import MAX_BATCH, Running, Store

LISTED_AFTER_US = 2_000_000
"""What a heartbeat does not name is listed if it was claimed so long ago: before, a poll's answer may be on its way."""
PATIENCE_US = 5_000_000
"""How long a worker may take to stop an attempt whose time is over, microseconds."""
DOCUMENT_BYTES = 8 * 1024 * 1024
"""An answer ends once the payloads in it are so large together; what is left comes with the next call."""

NEVER_TOLD = Failure("lost_claim", "It was claimed for its worker, which never came to know of it.")

log = structlog.get_logger("tickr.remote")


Said = TypeVar("Said", Note, Lines)
Reason = Literal["cancelled", "timeout", "lost"]


class Held(NamedTuple):
    """An attempt that a worker says it has, and what it has to say of it.

    Attributes:
      fraction: how far it is, 0 to 1; None: nothing new. message: with it, a few words. data: with it, JSON text.
      lines: for its log. events: of the application's own, the name of each and its data as JSON text.
    """

    id: str
    fence: int
    fraction: float | None = None
    message: str | None = None
    lines: tuple[str, ...] = ()
    data: str | None = None
    events: tuple[tuple[str, str], ...] = ()


class Stop(NamedTuple):
    """An attempt that its worker shall stop: somebody asked for it, its time is over, or it is not the worker's any
    more."""

    id: str
    fence: int
    reason: Reason


class Beat(NamedTuple):
    """What a worker is told when it has named what it holds.

    Attributes:
      jobs: those that were claimed for it and that it does not know of.
      running: all that runs under the lease.
    """

    jobs: list[Job]
    stop: list[Stop]
    running: list[Running]


class Beats:
    """Heartbeats of the leases of one node.

    Args:
      lease_s: how long a lease holds without a call, in seconds.
      kept_lines: how many lines that a job logs are kept with it; 0: none.
    """

    def __init__(self, store: Store, settler: Settler, *, lease_s: float, kept_lines: int = KEPT_LINES) -> None:
        self._kept_lines = kept_lines
        self._store = store
        self._settler = settler
        self._lease_s = lease_s

    async def beat(self, lease: str, held: Sequence[Held], *, at_once: bool = False) -> Beat:
        """Renew a lease and compare what runs under it with what is ``held``; see the module.

        Args:
          at_once: list what is not held even if it was claimed a moment ago.
        Raises: LeaseLost, StoreUnavailable.
        """
        await reach("lease.before_renew")
        running = await self._store.heartbeat(lease, lease_s=self._lease_s)
        if running is None:
            raise LeaseLost(lease)
        now = self._store.now_us()
        named, found = {(one.id, one.fence) for one in held}, {(one.id, one.fence): one for one in running}
        over = [one for key, one in found.items() if key in named and _left_us(one, now) <= 0]
        reasons: dict[tuple[str, int], Reason] = dict.fromkeys(sorted(named - found.keys()), "lost")
        reasons |= {(one.id, one.fence): "timeout" for one in over}
        reasons |= {key: "cancelled" for key, one in found.items() if key in named and one.cancel_requested}
        await self._end([one for one in over if _left_us(one, now) <= -PATIENCE_US])
        unknown = [one for key, one in found.items() if key not in named]
        if not at_once:
            unknown = [one for one in unknown if now - one.started_at >= LISTED_AFTER_US]
        stop = [Stop(*key, reason) for key, reason in reasons.items()]
        return Beat(await self._undelivered(unknown, now) if unknown else [], stop, running)

    async def _end(self, over: Sequence[Running]) -> None:
        if over:
            for job in await self._settler.time_out(await self.jobs(over)):
                log.warning("lease.timed_out", job=job.id, type=job.type, node=job.node, state=job.state.value)

    async def _undelivered(self, unknown: Sequence[Running], now: int) -> list[Job]:
        """Return jobs that their worker does not know of, to be told again; hand back those that it shall not begin."""
        too_late = {one.id for one in unknown if one.cancel_requested or _left_us(one, now) <= 0}
        jobs = await self.jobs(unknown)
        if late := [job for job in jobs if job.id in too_late]:
            await self._settler.hand_back(late, NEVER_TOLD)
        again = fitting(await self._settler.opened([job for job in jobs if job.id not in too_late]))
        if again:
            log.warning("lease.told_again", node=again[0].node, jobs=len(again))
        return again

    async def jobs(self, running: Sequence[Running]) -> list[Job]:
        """Return the jobs of ``running`` that are in that attempt still, the most urgent first."""
        fences = {one.id: one.fence for one in running}
        found = await self._store.get_many(fences)
        same = [job for job in found if job.state is State.RUNNING and job.fence == fences[job.id]]
        return sorted(same, key=lambda job: (job.priority, job.run_at, job.id))

    async def note(self, held: Sequence[Held], running: Sequence[Running]) -> None:
        """Store what those of ``held`` say that run, and keep what they log. Raises: StoreUnavailable."""
        said = {(one.id, one.fence): one for one in held if one.lines or one.events or one.fraction is not None}
        heard = [said[one.id, one.fence] for one in running if (one.id, one.fence) in said]
        if not heard:
            return
        now = self._store.now_us()
        jobs = {(job.id, job.fence): job for job in await self._store.get_many({one.id for one in heard})}
        said_by = [(job, one) for one in heard if (job := jobs.get((one.id, one.fence)))]
        vault = self._settler.vault
        notes = _sealed([note for job, one in said_by for note in _notes(job, one, now)], vault.seal_note)
        for begin in range(0, len(notes), MAX_BATCH):
            await self._store.note(notes[begin : begin + MAX_BATCH])
        if not self._kept_lines:
            return
        if lines := _sealed([_lines(job, one, now) for job, one in said_by if one.lines], vault.seal_lines):
            await self._store.keep_log(lines, bound=self._kept_lines)


def _notes(job: Job, said: Held, now: int) -> Iterator[Note]:
    """Yield what an attempt says, numbered by the microseconds since it began: any node may be told of the next."""
    numbers = itertools.count(max(1, now - (job.started_at or 0)))
    for line in said.lines:
        yield Note(job=job, kind="log", number=next(numbers), at=now, message=line)
    if said.fraction is not None:
        number, fraction, message, data = next(numbers), said.fraction, said.message, said.data
        yield Note(job=job, kind="progress", number=number, at=now, fraction=fraction, message=message, data=data)
    for name, data in said.events:
        yield Note(job=job, kind="emitted", number=next(numbers), at=now, message=name, data=data)


def _lines(job: Job, said: Held, now: int) -> Lines:
    """Return what an attempt logs, numbered as its notes are."""
    last = max(1, now - (job.started_at or 0)) + len(said.lines) - 1
    part = part_of(job.fence, job.attempt, last, [(now, 0, line) for line in said.lines])
    return Lines(job=job, part=part, trim=True)


def _sealed(said: Sequence[Said], seal: Callable[[Said], Said]) -> list[Said]:
    """Return what is ``said`` as it is to be stored, without what cannot be encrypted here."""
    sealed: list[Said] = []
    closed: CannotOpen | None = None
    for one in said:
        try:
            sealed.append(seal(one))
        except CannotOpen as error:
            closed = error
    if closed is not None:
        log.error("job.notes_refused", notes=len(said) - len(sealed), error=str(closed))
    return sealed


def _left_us(one: Running, now: int) -> int:
    return one.started_at + one.timeout_us - now


def fitting(jobs: list[Job]) -> list[Job]:
    """Return the first of ``jobs``, at least one, that make an answer of bearable size."""
    size = 0
    for count, job in enumerate(jobs):
        size += len(job.payload)
        if size > DOCUMENT_BYTES and count:
            return jobs[:count]
    return jobs
