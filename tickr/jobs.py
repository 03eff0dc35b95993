"""The job: its record, its states, and the one table of who may move where. Pure: no trio, no I/O, no clock.

A move is a function from a ``Job`` to the next ``Job`` (``started``, ``succeeded``, ``retried`` …). Whoever changes a
job calls one of them and lets the store write the result with compare-and-set on ``version`` and ``fence``; no other
code decides what a state change does to a job's fields.

``scheduled`` and ``ready`` are one stored state (``READY``): the clock makes the one into the other, so the difference
is read off ``run_at`` (``Job.state_at``) and is never written.
"""

from __future__ import annotations

import enum
import re
from typing import Literal, NamedTuple

import msgspec

from tickr import retry
from tickr.errors import IllegalTransition

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_TIMEOUT_S = 3600.0
MAX_ATTEMPTS = 100
MAX_TIMEOUT_S = 30 * 86_400.0
"""Longest time-out of one attempt, in seconds."""
MAX_CRASHES = 3
"""A job whose node was lost this often is failed as ``crashed``: a poison job must not eat the fleet."""
SUSPECT_CRASHES = MAX_CRASHES - 1
"""A job whose node was lost this often is a *suspect*: the next time may be its last, so nodes start them singly.

Jobs that ran beside a poison job are lost, taken back and started together with it. Were they still together the third
time, all of them would fail for what one of them does.
"""

TYPE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}"
"""What the name of a job type looks like, whole; ``is_type`` asks it."""
QUEUE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
"""What the name of a queue looks like, whole; ``is_queue`` asks it."""

_is_type = re.compile(TYPE_PATTERN).fullmatch
_is_queue = re.compile(QUEUE_PATTERN).fullmatch


def is_type(name: str) -> bool:
    return _is_type(name) is not None


def is_queue(name: str) -> bool:
    return _is_queue(name) is not None


class State(enum.StrEnum):
    SCHEDULED = "scheduled"
    READY = "ready"
    BLOCKED = "blocked"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
WAITING = frozenset({State.READY, State.RETRYING})
"""Stored states from which a due job may be claimed."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.READY, State.RUNNING, State.CANCELLED}),
    State.READY: frozenset({State.RUNNING, State.CANCELLED}),
    State.BLOCKED: frozenset({State.READY, State.SCHEDULED, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.RETRYING, State.FAILED, State.CANCELLED, State.READY}),
    State.RETRYING: frozenset({State.RUNNING, State.CANCELLED}),
    State.SUCCEEDED: frozenset({State.READY}),
    State.FAILED: frozenset({State.READY}),
    State.CANCELLED: frozenset({State.READY}),
}
"""The state machine (docs/state-machine.md draws it). READY after a final state is a redrive."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not succeed; ``error`` in the job's document.

    Attributes:
      kind: stable name of the cause: ``exception``, ``timeout``, ``give_up``, ``bad_payload``, ``bad_result``,
        ``crashed``, ``cancelled``, ``shutdown``, ``lease_lost``, ``lost_claim``, ``not_started``, ``unresponsive``,
        ``blocked``, ``retry_later``.
      message: one line for a person, at most 4 KiB.
      traceback: of the handler's exception, at most 16 KiB; never holds Tickr's own secrets.
    """

    kind: str
    message: str
    traceback: str | None = None


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a running attempt says it is: ``fraction`` from 0 to 1, and a few words for a person, or None."""

    fraction: float
    message: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it. Instants are microseconds since 1970 UTC, durations microseconds.

    Attributes:
      id: UUID in its canonical text form, lower case.
      state: the stored state; READY covers ``scheduled`` too (see ``state_at``).
      payload: JSON text exactly as it was submitted.
      result: JSON text as the handler's value was encoded, or None.
      labels: JSON text of an object of strings, or None for none.
      attempt: number of the current or last start that counts; crashes and hand-backs do not.
      crashes: how often the node that ran it was lost.
      fence: raised by every claim; a write with an old fence changes nothing.
      version: raised by 1 at every state change; the number of the event that told it.
      node: id of the node that runs it or ran it last.
      cancel_requested: somebody asked its worker to stop it; the state follows once it has stopped.
      progress: what its current or last attempt said last; None again when the next one starts. Not raised in version,
        and not known to the worker that runs it.
    """

    id: str
    type: str
    run_at: int
    created_at: int
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    state: State = State.READY
    payload: str = "{}"
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout_us: int = int(DEFAULT_TIMEOUT_S * 1_000_000)
    backoff: retry.Backoff = retry.DEFAULT
    labels: str | None = None
    attempt: int = 0
    crashes: int = 0
    fence: int = 0
    version: int = 1
    node: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    result: str | None = None
    error: Failure | None = None
    cancel_requested: bool = False
    progress: Progress | None = None

    def state_at(self, now: int) -> State:
        """Return the state as everybody outside sees it at ``now``: READY before ``run_at`` is ``scheduled``."""
        return State.SCHEDULED if self.state is State.READY and self.run_at > now else self.state

    @property
    def suspect(self) -> bool:
        """Whether it would be failed if its node were lost once more."""
        return self.crashes >= SUSPECT_CRASHES

    def entry(self) -> Entry:
        return Entry(self.id, self.queue, self.priority, self.run_at)


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A checked submission, before the store's clock has given it its instants.

    ``run_at`` (microseconds UTC) counts when it is not None, otherwise ``delay_us`` from the store's now (0: at once).
    ``chosen_id`` tells whether the client picked the id, so that it may meet one that is stored.
    """

    id: str
    type: str
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    payload: str = "{}"
    delay_us: int = 0
    run_at: int | None = None
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout_us: int = int(DEFAULT_TIMEOUT_S * 1_000_000)
    backoff: retry.Backoff = retry.DEFAULT
    labels: str | None = None
    chosen_id: bool = False

    def size_bytes(self) -> int:
        """Return about how much this job adds to a batch."""
        return 512 + len(self.payload) + len(self.labels or "")


class Entry(NamedTuple):
    """What the index holds of a job: enough to order it, nothing to decide by. ``run_at`` in microseconds UTC."""

    id: str
    queue: str
    priority: int
    run_at: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job and how it ended. ``fence`` makes it unique within its job.

    ``number`` is the job's ``attempt`` at the time, so a start that did not count (handed back, node lost) has the same
    number as the one after it. ``outcome`` is ``running`` or the name of the event that ended it.
    """

    fence: int
    number: int
    node: str | None
    started_at: int | None
    finished_at: int | None
    outcome: str
    error: Failure | None = None


CANCELLED_ON_REQUEST = Failure("cancelled", "Cancelled on request.")


# -- moves --------------------------------------------------------------------------------------------------------
# Those that every job makes, ``started`` and ``succeeded``, name their fields in one call: half the time of ``_moved``.


def created(new: NewJob, now: int) -> Job:
    """Return the job that a submission becomes at ``now``: version 1, due at once or later."""
    return Job(
        id=new.id,
        type=new.type,
        queue=new.queue,
        priority=new.priority,
        payload=new.payload,
        run_at=new.run_at if new.run_at is not None else now + new.delay_us,
        created_at=now,
        max_attempts=new.max_attempts,
        timeout_us=new.timeout_us,
        backoff=new.backoff,
        labels=new.labels,
    )


def started(job: Job, node: str, now: int) -> Job:
    """Claim: a new attempt with a new fence."""
    _check(job, State.RUNNING)
    return msgspec.structs.replace(
        job,
        state=State.RUNNING,
        version=job.version + 1,
        attempt=job.attempt + 1,
        fence=job.fence + 1,
        node=node,
        started_at=now,
        finished_at=None,
        cancel_requested=False,
        progress=None,
    )


def succeeded(job: Job, result: str | None, now: int) -> Job:
    """The end with success; wins over a cancellation that was requested but did not take."""
    _check(job, State.SUCCEEDED)
    return msgspec.structs.replace(
        job,
        state=State.SUCCEEDED,
        version=job.version + 1,
        result=result,
        error=None,
        finished_at=now,
        cancel_requested=False,
    )


def retried(job: Job, failure: Failure, run_at: int) -> Job:
    """A failed attempt with another to come at ``run_at``."""
    return _moved(job, State.RETRYING, error=failure, run_at=run_at)


def failed(job: Job, failure: Failure, now: int) -> Job:
    """The end without success: the job is a dead letter."""
    return _moved(job, State.FAILED, error=failure, finished_at=now, cancel_requested=False)


def cancelled(job: Job, failure: Failure, now: int) -> Job:
    return _moved(job, State.CANCELLED, error=failure, finished_at=now, cancel_requested=False)


def released(job: Job, now: int) -> Job:
    """Handed back by a node that stops: runs again at once, and this start did not count."""
    return _moved(job, State.READY, attempt=job.attempt - 1, run_at=min(job.run_at, now))


def crashed(job: Job, now: int) -> Job:
    """Its node was lost: ready again, or failed when that has happened ``MAX_CRASHES`` times."""
    counted = msgspec.structs.replace(job, crashes=job.crashes + 1, attempt=job.attempt - 1)
    if job.cancel_requested:
        return cancelled(counted, CANCELLED_ON_REQUEST, now)
    if counted.crashes >= MAX_CRASHES:
        return failed(counted, Failure("crashed", f"The node running it was lost {counted.crashes} times."), now)
    return _moved(counted, State.READY, run_at=min(job.run_at, now))


def redriven(job: Job, now: int) -> Job:
    """A final job started over at somebody's wish: fresh budget, same identity; its attempts stay on record."""
    if job.state not in FINAL:
        raise IllegalTransition(job.id, job.state_at(now), "retried")
    return _moved(
        job,
        State.READY,
        attempt=0,
        crashes=0,
        run_at=now,
        result=None,
        error=None,
        started_at=None,
        finished_at=None,
        cancel_requested=False,
    )


def _check(job: Job, to: State) -> None:
    if to not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.id, job.state, to)


def _moved(job: Job, to: State, **changes: object) -> Job:
    _check(job, to)
    return msgspec.structs.replace(job, state=to, version=job.version + 1, **changes)


# -- what a running job says -----------------------------------------------------------------------------------------


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt says while it runs: how far it is, or a line for its log. Counts only while the fence holds.

    Attributes:
      job: the record as it was claimed; its ``id``, ``fence`` and ``version`` name the attempt.
      number: 1, 2, 3 … within the attempt; what was left out has none.
      at: instant at which it was said, microseconds UTC by the store's clock as its worker knows it.
      fraction: from 0 to 1, with ``progress``; None with ``log``.
      message: one line or more; may be None with ``progress``.
      dropped: how many lines of the log were left out before this one, because they came too fast.
    """

    job: Job
    kind: Literal["progress", "log"]
    number: int
    at: int
    fraction: float | None = None
    message: str | None = None
    dropped: int = 0

    @property
    def progress(self) -> Progress | None:
        """What the job shows from now on; None for a line of the log, which changes nothing there."""
        return None if self.fraction is None else Progress(self.fraction, self.message)

    def size_bytes(self) -> int:
        """Return about how much this note adds to a batch."""
        return 512 + len(self.message or "") + len(self.job.labels or "")


# -- how a running job ends ------------------------------------------------------------------------------------------


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to say about one attempt. It is a wish: the store applies it if the fence still holds.

    Attributes:
      job: the record as it was claimed; its ``id`` and ``fence`` name the attempt.
      kind: which move is wished.
      result: JSON text, with ``succeeded``.
      failure: why, with every other kind.
      delay_us: microseconds from the store's now until the next attempt, with ``retried``.
    """

    job: Job
    kind: Literal["succeeded", "retried", "failed", "cancelled", "released"]
    result: str | None = None
    failure: Failure | None = None
    delay_us: int = 0

    def apply(self, job: Job, now: int) -> Job:
        """Return what ``job`` (this attempt, as it is stored now) becomes.

        A cancellation that was requested meanwhile wins over running again.
        """
        if self.kind == "succeeded":
            return succeeded(job, self.result, now)
        assert self.failure is not None, "an attempt that did not succeed has a reason"
        if self.kind == "cancelled" or (job.cancel_requested and self.kind in ("retried", "released")):
            return cancelled(job, self.failure if self.kind == "cancelled" else CANCELLED_ON_REQUEST, now)
        if self.kind == "retried":
            return retried(job, self.failure, now + self.delay_us)
        return failed(job, self.failure, now) if self.kind == "failed" else released(job, now)

    def size_bytes(self) -> int:
        """Return about how much this outcome adds to a batch."""
        failure = self.failure
        return 512 + len(self.result or "") + (len(failure.message) + len(failure.traceback or "") if failure else 0)
