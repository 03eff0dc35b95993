"""The job: its record, its states, and the one table of who may move where. Pure: no trio, no I/O, no clock.

A move is a function from a ``Job`` to the next ``Job`` (``started``, ``succeeded``, ``retried`` …). Whoever changes a
job calls one of them and lets the store write the result with compare-and-set on ``version`` and ``fence``; no other
code decides what a state change does to a job's fields.

``scheduled`` and ``ready`` are one stored state (``READY``): the clock makes the one into the other, so the difference
is read off ``run_at`` (``Job.state_at``) and is never written.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from tickr import reasons, retry
from tickr.attempts import Attempt as Attempt
from tickr.attempts import Progress as Progress
from tickr.edits import MAX_REDRIVES, NO_EDIT, Edit, Redrive
from tickr.envelopes import Seal
from tickr.errors import IllegalTransition
from tickr.extras import NO_EXTRAS as NO_EXTRAS
from tickr.extras import Extras as Extras
from tickr.keys import Wish
from tickr.links import End
from tickr.names import LIMIT_KEY_PATTERN as LIMIT_KEY_PATTERN
from tickr.names import QUEUE_PATTERN as QUEUE_PATTERN
from tickr.names import TYPE_PATTERN as TYPE_PATTERN
from tickr.names import is_queue as is_queue
from tickr.names import is_type as is_type
from tickr.reasons import CANCELLED_ON_REQUEST as CANCELLED_ON_REQUEST
from tickr.reasons import LEASE_LOST, on_request
from tickr.reasons import Failure as Failure

DEFAULT_QUEUE, DEFAULT_PRIORITY = "default", 5
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_TIMEOUT_S = 3600.0
MAX_ATTEMPTS = 1_000_000
MAX_TIMEOUT_S = 30 * 86_400.0
"""Longest time-out of one attempt, in seconds."""
MAX_KEEP_S = 10 * 365 * 86_400.0  # how long a job may say that it is kept after its end
MAX_CRASHES = 3
"""A job whose node was lost this often is failed as ``crashed``: a poison job must not eat the fleet."""
DEFAULT_MAX_CRASHES = MAX_CRASHES - 1  # so many lost nodes a job outlives that says nothing else; none outlives more
SUSPECT_CRASHES = MAX_CRASHES - 1
"""A job whose node was lost this often is a *suspect*: the next time may be its last, so nodes start them singly.

Jobs that ran beside a poison job are lost, taken back and started together with it. Were they still together the third
time, all of them would fail for what one of them does.
"""


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
EXPIRING = WAITING | {State.BLOCKED}
"""Stored states in which a job ends when its ``expires_at`` comes."""
UNENDED = EXPIRING | {State.RUNNING}
"""Stored states of jobs that have not ended."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.READY, State.RUNNING, State.CANCELLED, State.BLOCKED}),
    State.READY: frozenset({State.RUNNING, State.CANCELLED, State.BLOCKED}),
    State.BLOCKED: frozenset({State.READY, State.SCHEDULED, *FINAL, State.BLOCKED}),
    State.RUNNING: frozenset({*FINAL, State.RETRYING, State.READY, State.SCHEDULED, State.BLOCKED}),
    State.RETRYING: frozenset({State.RUNNING, State.CANCELLED, State.BLOCKED}),
    **dict.fromkeys(FINAL, frozenset({State.READY, State.SCHEDULED, State.BLOCKED})),
}
"""The state machine (docs/state-machine.md draws it). READY, SCHEDULED or BLOCKED after a final state is a redrive.
BLOCKED after any other state: a job with children waits for them, to be run again or to end (``Nursery``)."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it. Instants are microseconds since 1970 UTC, durations microseconds.

    Attributes:
      id: UUID in its canonical text form, lower case.
      state: the stored state; READY covers ``scheduled`` too (see ``state_at``).
      payload, result: JSON text exactly as it was submitted, and returned; envelopes where the job is sealed.
      labels: JSON text of an object of strings, or None for none.
      attempt: number of the current or last start that counts; crashes and hand-backs do not.
      crashes: how often the node that ran it was lost.
      fence: raised by every claim; a write with an old fence changes nothing.
      version: raised by 1 at every state change; the number of the event that told it.
      node: id of the node that runs it or ran it last.
      cancel_requested: somebody asked its worker to stop it; the state follows once it has stopped.
      progress: what its current or last attempt said last; None again when the next one starts. Not raised in version,
        and not known to the worker that runs it.
      limit_key: whose job it is, for limits by key and fair turns; None for nobody's in particular.
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
    limit_key: str | None = None
    extras: Extras = NO_EXTRAS

    def state_at(self, now: int) -> State:
        """Return the state as everybody outside sees it at ``now``: READY before ``run_at`` is ``scheduled``."""
        return State.SCHEDULED if self.state is State.READY and self.run_at > now else self.state

    @property
    def suspect(self) -> bool:
        """Whether it would be failed if its node were lost once more."""
        return self.crashes >= SUSPECT_CRASHES

    @property
    def closing(self) -> End | None:
        """How it will have ended once its children have, if that is all that it waits for."""
        nursery = self.extras.nursery
        return None if nursery is None or self.state is not State.BLOCKED else nursery.end

    @property
    def expires(self) -> bool:
        """Whether it ends when its ``expires_at`` comes."""
        return self.state in EXPIRING and self.closing is None

    @property
    def max_crashes(self) -> int:
        """How many lost nodes it outlives."""
        return DEFAULT_MAX_CRASHES if self.extras.max_crashes is None else self.extras.max_crashes

    def expired_at(self, now: int) -> bool:
        """Whether it may not be started any more at ``now``."""
        at = self.extras.expires_at
        return at is not None and at <= now

    def entry(self) -> Entry:
        return Entry(self.id, self.queue, self.priority, self.run_at, self.limit_key)


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A checked submission, before the store's clock has given it its instants.

    ``run_at`` (microseconds UTC) counts when it is not None, otherwise ``delay_us`` from the store's now (0: at once).
    So does ``expires_in_us``, from the store's now, before the ``expires_at`` of ``extras``.
    ``chosen_id`` tells whether the client picked the id, so that it may meet one that is stored. ``wish``: what it asks
    for by keys; a unique key is among the ``extras``, too. ``seal``: what a payload is known by that is sealed.
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
    limit_key: str | None = None
    extras: Extras = NO_EXTRAS
    expires_in_us: int | None = None
    chosen_id: bool = False
    wish: Wish | None = None
    seal: Seal | None = None

    @property
    def plain(self) -> bool:
        """Whether it has to do with neither keys nor other jobs."""
        return self.wish is None and self.extras.depends_on is None

    def size_bytes(self) -> int:
        """Return about how much this job adds to a batch."""
        return 512 + len(self.payload) + len(self.labels or "")


class Entry(NamedTuple):
    """What the index holds of a job: enough to order it, nothing to decide by. ``run_at`` in microseconds UTC."""

    id: str
    queue: str
    priority: int
    run_at: int
    limit_key: str | None = None


# -- moves --------------------------------------------------------------------------------------------------------
# Those that every job makes, ``started`` and ``succeeded``, name their fields in one call: half the time of ``_moved``.


def created(new: NewJob, now: int) -> Job:
    """Return the job that a submission becomes at ``now``: version 1, due at once or later, or BLOCKED."""
    sequence = new.extras.sequence
    waits = new.extras.depends_on is not None or (sequence is not None and sequence.after is not None)
    return Job(
        id=new.id,
        type=new.type,
        queue=new.queue,
        priority=new.priority,
        state=State.BLOCKED if waits else State.READY,
        payload=new.payload,
        run_at=new.run_at if new.run_at is not None else now + new.delay_us,
        created_at=now,
        max_attempts=new.max_attempts,
        timeout_us=new.timeout_us,
        backoff=new.backoff,
        labels=new.labels,
        limit_key=new.limit_key,
        extras=new.extras
        if new.expires_in_us is None
        else msgspec.structs.replace(new.extras, expires_at=now + new.expires_in_us),
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
    if job.extras.nursery is not None:
        if job.cancel_requested:  # which goes down to the children; nobody knows yet whether they have ended
            return cancelled(job, on_request(job.extras.cancel_reason), now)
        return _closing(job, End.SUCCEEDED, result=result, error=None)
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
    if job.extras.nursery is not None:
        return _closing(job, End.FAILED, error=failure)
    return _moved(
        job, State.FAILED, error=failure, run_at=min(job.run_at, now), finished_at=now, cancel_requested=False
    )


def cancelled(job: Job, failure: Failure, now: int) -> Job:
    if job.extras.nursery is not None:
        return _closing(job, End.CANCELLED, error=failure)
    return _moved(job, State.CANCELLED, error=failure, finished_at=now, cancel_requested=False)


def expired(job: Job, now: int, last: Failure | None = None) -> Job:
    """The end of a job that was not started in time.

    Args:
      last: why its attempt ended that ran until now; None if none did.
    """
    at = job.extras.expires_at
    assert at is not None, "a job that never expires has not expired"
    return cancelled(job, reasons.expired(at, last, again=bool(job.attempt or last)), now)


def released(job: Job, now: int, delay_us: int = 0) -> Job:
    """Handed back: runs again at once, or not before ``delay_us`` from now, and this start did not count."""
    run_at = now + delay_us if delay_us else min(job.run_at, now)
    return _moved(job, State.READY, attempt=job.attempt - 1, run_at=run_at)


def crashed(job: Job, now: int) -> Job:
    """Its node was lost: ready again, or failed when that has happened once more than its ``max_crashes``."""
    counted = msgspec.structs.replace(job, crashes=job.crashes + 1, attempt=job.attempt - 1)
    if job.cancel_requested:
        return cancelled(counted, on_request(job.extras.cancel_reason), now)
    if counted.crashes > job.max_crashes:
        return failed(counted, reasons.crashed(counted.crashes), now)
    if job.expired_at(now):
        return expired(counted, now, LEASE_LOST)
    return _moved(counted, State.READY, run_at=min(job.run_at, now))


def awaiting(job: Job) -> Job:
    """Its handler waits for its children: it is run again when they have ended, and this start did not count."""
    return _moved(job, State.BLOCKED, attempt=job.attempt - 1)


def _closing(job: Job, end: End, *, result: str | None = None, error: Failure | None) -> Job:
    """The end of a job with children that has come for itself: it has ended when they have (``closed``)."""
    assert job.extras.nursery is not None, "a job without children ends at once"
    extras = msgspec.structs.replace(job.extras, nursery=msgspec.structs.replace(job.extras.nursery, end=end))
    return _moved(job, State.BLOCKED, result=result, error=error, cancel_requested=False, extras=extras)


def closed(job: Job, now: int, failure: Failure | None = None) -> Job:
    """All children have ended, and so it ends as it was to; or it fails for ``failure``."""
    assert job.closing is not None, "it waits for its children to be run again"
    if failure is not None:
        return _moved(job, State.FAILED, error=failure, result=None, finished_at=now)
    return _moved(job, State(job.closing), finished_at=now)


def unblocked(job: Job, now: int) -> Job:
    """All that it waited for has ended: due now, or at its ``run_at`` if that is still to come."""
    extras, nursery = job.extras, job.extras.nursery
    if nursery is not None and nursery.lenient:  # each attempt learns anew
        extras = msgspec.structs.replace(extras, nursery=msgspec.structs.replace(nursery, lenient=False))
    return _moved(job, State.READY, run_at=max(job.run_at, now), extras=extras)


def redriven(job: Job, now: int, edit: Edit = NO_EDIT, operation: str | None = None) -> Job:
    """A final job started over at somebody's wish: fresh budget, same identity; its attempts stay on record.

    An ``expires_at`` that is over before the job is due is forgotten, as the wish is newer; a later one stays.

    Args:
      edit: what is to be different from now on. operation: the id of the operation that does it.
    Raises: IllegalTransition, CannotOpen.
    """
    if job.state not in FINAL:
        raise IllegalTransition(job.id, job.state_at(now), "retried")
    job, edited = edit.given_to(job, now)
    changed = edit.different(job, edited, now)
    due, before = edited.get("run_at", now), job.extras.redrives
    life = before[-1].life + 1 if before else 2
    expires_at = edit.expiry(job.extras.expires_at, now)
    fields: dict[str, object] = {
        "run_at": now,
        **edited,
        "extras": msgspec.structs.replace(
            job.extras,
            expires_at=None if expires_at is None or expires_at <= due else expires_at,
            cancel_reason=None,
            nursery=None,
            redrives=(*before, Redrive(life, now, job.fence, changed, operation))[-MAX_REDRIVES:],
        ),
    }
    return _moved(
        job,
        State.READY,
        attempt=0,
        crashes=0,
        result=None,
        error=None,
        started_at=None,
        finished_at=None,
        cancel_requested=False,
        **fields,
    )


def _check(job: Job, to: State) -> None:
    if to not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.id, job.state, to)


def _moved(job: Job, to: State, **changes: object) -> Job:
    _check(job, to)
    return msgspec.structs.replace(job, state=to, version=job.version + 1, **changes)
