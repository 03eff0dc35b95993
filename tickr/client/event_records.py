"""What the feed tells, as typed records: events, and what they are about. All of them are frozen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tickr.client.operation_records import Failure, Operation

PREFIX, JOB_PREFIX = "tickr.", "tickr.job."


class Skipped(msgspec.Struct, frozen=True):
    """How many ticks of a schedule made no job: nobody was there in time; the last job was not final."""

    missed: int = 0
    overlap: int = 0


class EventSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule as it was right after the event; ``job`` has the type and the queue of its jobs."""

    name: str
    paused: bool
    version: int
    job: dict[str, str]
    missed: str
    overlap: str
    cron: str | None = None
    timezone: str | None = None
    every: float | None = None
    function: str | None = None
    start_at: datetime | None = None
    start: str | None = None
    end_at: datetime | None = None
    times: int | None = None
    next_at: datetime | None = None
    ended: str | None = None
    last_tick: datetime | None = None
    last_job: str | None = None
    fired: int = 0
    skipped: Skipped = Skipped()


class EventRate(msgspec.Struct, frozen=True):
    """At most ``starts`` starts in any ``period`` seconds."""

    starts: int
    period: float


class EventQueue(msgspec.Struct, frozen=True):
    """What holds for the queue right after the event; None: no limit."""

    name: str
    paused: bool
    paused_until: datetime | None = None
    max_running: int | None = None
    max_running_per_key: int | None = None
    rate: EventRate | None = None
    shared_keys: bool = False
    order: str = "oldest"


class EventJob(msgspec.Struct, frozen=True):
    """The job as it was right after the event; ``version`` is None with ``progress``, ``log`` and ``event``."""

    id: str
    type: str
    queue: str
    priority: int
    state: str
    version: int | None
    attempt: int
    max_attempts: int
    run_at: datetime
    labels: dict[str, str] = {}


class EventData(msgspec.Struct, frozen=True):
    """What there is to tell: of a job, ``job`` and what follows it; of a schedule, ``schedule`` and what follows that;
    of a queue ``queue``, of an operation ``operation``.

    ``changed``: the fields that a redrive changed. ``reason``, ``count``, ``first_tick`` and ``last_tick`` say which
    ticks were skipped, and why.
    """

    job: EventJob | None = None
    previous_state: str | None = None
    node: str | None = None
    result: Any = None
    result_bytes: int | None = None
    error: Failure | None = None
    progress: float | None = None
    message: str | None = None
    name: str | None = None
    data: Any = None
    dropped: int = 0
    encrypted: bool = False
    encryption_key: str | None = None
    schedule: EventSchedule | None = None
    queue: EventQueue | None = None
    reason: str | None = None
    count: int | None = None
    first_tick: datetime | None = None
    last_tick: datetime | None = None
    operation: Operation | None = None
    changed: list[str] = []


class Event(msgspec.Struct, frozen=True):
    """One thing that happened, to a job unless ``what`` says otherwise; docs/event-feed.md explains the fields.

    ``cursor`` is the place after it: whoever has dealt with the event and notes it comes back right behind.
    """

    id: str
    type: str
    time: datetime
    data: EventData
    subject: str = ""
    cursor: str = ""

    @property
    def what(self) -> str:
        """``created``, ``started``, ``succeeded`` … of a job; ``schedule.paused``, ``operation.done`` … of others."""
        return self.type.removeprefix(JOB_PREFIX).removeprefix(PREFIX)

    @property
    def job(self) -> EventJob | None:
        """The job to which it happened; None if it happened to something else."""
        return self.data.job
