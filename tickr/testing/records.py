"""Records: what tests look at. Events, starts and jobs as plain Python values, each of which tells its story.

Instants are ``datetime`` in UTC; in texts they are what has passed since the beginning of the test, as ``00:00:10``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from tickr import events, jobs
from tickr.envelopes import name_of
from tickr.instants import datetime_of
from tickr.jobs import Attempt, Failure
from tickr.worker.view import Tick, tick_of

FIRST, LAST = 3, 9
"""How many events are told of a job that has many: the first ones, and the last."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the feed. ``docs/event-feed.md`` says what each tells.

    Attributes:
      what: ``created``, ``started``, ``succeeded``, ``retrying``, ``failed``, ``cancelled``, ``released``,
        ``redriven``, ``unblocked``, ``changed``, ``progress`` or ``log``.
      id: as in the feed.
      job: the job's id.
      result: as Python values. error: with ``kind``, ``message`` and ``traceback``, or None.
      fraction, message, dropped: of ``progress`` and ``log``. data: of ``progress``, as Python values.
    """

    what: str
    id: str
    time: datetime
    job: str
    type: str
    queue: str
    state: str
    previous_state: str | None
    attempt: int
    version: int
    run_at: datetime
    node: str | None
    result: Any
    error: Failure | None
    fraction: float | None
    message: str | None
    data: Any
    dropped: int
    told: str = field(repr=False, compare=False)
    """What happened and when, in a few words."""

    def __repr__(self) -> str:
        return f"<Event {self.type} {short(self.job)} {self.told}>"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One call of a handler.

    Attributes:
      job: the job's id. fence: with it, names the attempt.
      arguments: what the handler was called with by name, the job not among them; values of their own.
    """

    type: str
    job: str
    attempt: int
    fence: int
    time: datetime
    arguments: dict[str, Any]
    since_us: int = field(repr=False)
    look_up: Callable[[], Event | None] = field(repr=False)

    @property
    def outcome(self) -> str:
        """``running``, or the name of the event that ended it: ``succeeded``, ``retrying``, ``released`` …"""
        ended = self.look_up()
        return "running" if ended is None else ended.what

    @property
    def error(self) -> Failure | None:
        ended = self.look_up()
        return None if ended is None else ended.error

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        ended = self.look_up()
        return f"<Run {self.type}({said}) {since(self.since_us)} {'still runs' if ended is None else ended.told}>"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job as it was when it was asked for. ``str`` of it tells all that happened to it.

    Attributes:
      state: ``scheduled``, ``ready``, ``blocked``, ``running``, ``retrying``, ``succeeded``, ``failed``, ``cancelled``.
      payload, result, labels: as Python values, in the clear also where the node has encryption keys.
      encrypted: the name of the key that they are encrypted with in the store, or None.
      error: with ``kind``, ``message`` and ``traceback``, or None.
      attempts: every start, also those that did not count, with ``number``, ``outcome``, ``error``.
      progress: with ``fraction``, ``message`` and ``data`` (JSON text), or None.
      tick: of which schedule and for which instant it was made, or None.
      events: what the feed tells of it.
    """

    id: str
    type: str
    queue: str
    priority: int
    state: str
    payload: Any
    result: Any
    error: Failure | None
    attempt: int
    max_attempts: int
    max_crashes: int
    crashes: int
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    labels: dict[str, str]
    encrypted: str | None
    progress: jobs.Progress | None
    tick: Tick | None
    attempts: Sequence[Attempt]
    events: Sequence[Event]

    @property
    def timeline(self) -> str:
        """What happened to it in one line: ``created 00:00:00, started 00:00:00, succeeded 00:00:02``."""
        return ", ".join(shortened([event.told for event in self.events if event.what not in events.NOTES]))

    def __repr__(self) -> str:
        return f"<Job {self.type} {short(self.id)} {self.state}: {self.timeline}>"

    def __str__(self) -> str:
        story = shortened([event.told for event in self.events])
        return "\n  ".join([f"{self.type} {self.id} {self.state}", *story])


def of_event(event: events.Event, start_us: int) -> Event:
    return Event(
        what=event.what,
        id=event.id,
        time=datetime_of(event.time),
        job=event.job,
        type=event.type,
        queue=event.queue,
        state=event.state,
        previous_state=event.previous_state,
        attempt=event.attempt,
        version=event.version,
        run_at=datetime_of(event.run_at),
        node=event.node,
        result=None if event.note else value(event.result),
        error=event.error,
        fraction=event.fraction,
        message=event.message,
        data=value(event.result) if event.note else None,
        dropped=event.dropped,
        told=_told(event, start_us),
    )


def of_job(job: jobs.Job, now: int, attempts: Sequence[Attempt], told: Sequence[Event]) -> Job:
    return Job(
        id=job.id,
        type=job.type,
        queue=job.queue,
        priority=job.priority,
        state=job.state_at(now).value,
        payload=value(job.payload),
        result=value(job.result),
        error=job.error,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        max_crashes=job.max_crashes,
        crashes=job.crashes,
        run_at=datetime_of(job.run_at),
        created_at=datetime_of(job.created_at),
        started_at=None if job.started_at is None else datetime_of(job.started_at),
        finished_at=None if job.finished_at is None else datetime_of(job.finished_at),
        labels=value(job.labels) or {},
        encrypted=None if job.extras.sealed is None else name_of(job.extras.sealed),
        progress=job.progress,
        tick=tick_of(job),
        attempts=tuple(attempts),
        events=tuple(told),
    )


# -- in words ---------------------------------------------------------------------------------------------------------


def value(text: str | None) -> Any:
    """Return JSON text as Python values; None for none."""
    return None if text is None else msgspec.json.decode(text)


def short(job_id: str) -> str:
    """Return what tells a job from the others in a line that has to be short."""
    return "…" + job_id[-6:]


def shortened(told: Sequence[str]) -> Sequence[str]:
    """Return what happened to a job so that it can be read: the beginning of it, and more of the end."""
    left_out = len(told) - FIRST - LAST
    return told if left_out <= 1 else [*told[:FIRST], f"… {left_out} more …", *told[-LAST:]]


def since(passed_us: int) -> str:
    """Return what has passed as ``00:00:10``, ``00:00:00.250`` or ``2d 03:00:00``."""
    seconds, micros = divmod(passed_us, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if micros:
        text += f".{micros:06}".rstrip("0")
    return f"{days}d {text}" if days else text


def told_failure(failure: Failure) -> str:
    return failure.message if failure.kind == "exception" else f"{failure.kind}: {failure.message}"


def _told(event: events.Event, start_us: int) -> str:
    words = f"{event.what} {since(event.time - start_us)}"
    match event.what:
        case "created" | "redriven" | "changed" if event.run_at > event.time:
            words += f" for {since(event.run_at - start_us)}"
        case "retrying":
            words += f" in {(event.run_at - event.time) / 1e6:g} s"
        case "progress":
            words += f" {event.fraction:.0%}"
    about = told_failure(event.error) if event.error else event.message
    return f"{words} ({about})" if about else words
