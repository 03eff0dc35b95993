"""Lifecycle events: what is written with every change of a job, in the same transaction.

A commit that changes jobs inserts one row into ``events`` whose body is a JSON array of these records, in their compact
array form; the feed expands them to CloudEvents when somebody reads. Pure: no trio, no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tickr.jobs import FINAL, Attempt, Failure, Job, State


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One state change of one job.

    Attributes:
      what: ``created, started, succeeded, retrying, failed, cancelled, released, redriven, unblocked``.
      time: instant of the change, microseconds UTC by the store's clock.
      state, previous_state: as the outside sees them (``scheduled`` is told from ``ready`` at ``time``).
      version: the job's version after the change; with ``job`` it is the event's identity.
      labels, result: JSON text or None, as on the job.
    """

    what: str
    time: int
    job: str
    version: int
    type: str
    queue: str
    priority: int
    state: State
    previous_state: State | None
    attempt: int
    max_attempts: int
    run_at: int
    labels: str | None = None
    node: str | None = None
    result: str | None = None
    error: Failure | None = None

    @property
    def id(self) -> str:
        return f"{self.job}.{self.version}"


_ENDS_BADLY = frozenset({"retrying", "failed", "cancelled", "released"})
"""Events that tell why an attempt, or the job, did not succeed. A later start still has the old error on the job."""


class Change(msgspec.Struct, frozen=True):
    """One move of one job: what the stores write.

    Attributes:
      before: the job as it was, or None for a new one.
      after: the job as it is from this commit on.
      why: the reason, where the job itself does not keep it (a hand-back, a lost node).
    """

    before: Job | None
    after: Job
    why: Failure | None = None

    @property
    def what(self) -> str:
        """The event's name for this move."""
        before, after = self.before, self.after
        if before is None:
            return "created"
        if after.state is State.READY:
            if before.state in FINAL:
                return "redriven"
            return "unblocked" if before.state is State.BLOCKED else "released"
        return "started" if after.state is State.RUNNING else after.state.value

    def event(self, now: int) -> Event:
        before, after, what = self.before, self.after, self.what
        return Event(
            what,
            now,
            after.id,
            after.version,
            after.type,
            after.queue,
            after.priority,
            after.state_at(now),
            None if before is None else before.state_at(now),
            after.attempt,
            after.max_attempts,
            after.run_at,
            after.labels,
            after.node,
            after.result if what == "succeeded" else None,
            (self.why or after.error) if what in _ENDS_BADLY else None,
        )

    def attempt(self, now: int) -> Attempt | None:
        """Return the row to keep of the attempt that this move ended, or None.

        A success is on the job itself, so it becomes a row only when a redrive is about to wipe it.
        """
        before, after = self.before, self.after
        if before is None:
            return None
        if before.state is State.RUNNING and after.state is not State.SUCCEEDED:
            return _attempt(before, now, self.what, self.why or after.error)
        if before.state is State.SUCCEEDED and after.state is State.READY:
            return _attempt(before, before.finished_at, State.SUCCEEDED.value, None)
        return None


def current_attempt(job: Job) -> Attempt | None:
    """Return the attempt that is on the job itself: the one that runs or the one that succeeded; else None."""
    if job.state not in (State.RUNNING, State.SUCCEEDED):
        return None
    return _attempt(job, job.finished_at, job.state.value, None)


def _attempt(job: Job, finished_at: int | None, outcome: str, error: Failure | None) -> Attempt:
    return Attempt(
        fence=job.fence,
        number=job.attempt,
        node=job.node,
        started_at=job.started_at,
        finished_at=finished_at,
        outcome=outcome,
        error=error,
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Event])


def encode(events: Iterable[Event]) -> str:
    """Return the body of one ``events`` row."""
    return _encoder.encode(list(events)).decode()


def decode(body: str) -> list[Event]:
    return _decoder.decode(body)
