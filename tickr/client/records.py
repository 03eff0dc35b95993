"""What goes in and comes out of the client, as typed records: jobs to submit, jobs as they are, events.

Answers are read with msgspec: fields that a newer server adds are left aside, instants become aware datetimes (UTC),
payloads and results become Python values, whole numbers of any size exactly. All of them are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec

from tickr.client.errors import ClientError
from tickr.jobs import FINAL
from tickr.retry import Backoff

PREFIX = "tickr.job."
_FINAL = frozenset(str(state) for state in FINAL)


class Options(TypedDict, total=False):
    """What may be said of a job beside its type and payload; docs/http-api.md has the rules of each."""

    queue: str
    priority: int
    delay: float | timedelta
    run_at: datetime
    max_attempts: int
    timeout: float | timedelta
    backoff: str | Backoff
    labels: Mapping[str, str]
    id: str


class NewJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job to be submitted. ``delay`` and ``timeout`` in seconds or as ``timedelta``; None leaves it to the server.

    ``payload``: anything with a form in JSON, ``msgspec.Raw`` for JSON text to be kept to the letter; None is ``{}``.
    ``id``: a UUID that makes the submission safe to repeat by another program; made by the client if it is None.
    """

    type: str
    payload: Any = None
    queue: str | None = None
    priority: int | None = None
    delay: float | timedelta | None = None
    run_at: datetime | None = None
    max_attempts: int | None = None
    timeout: float | timedelta | None = None
    backoff: str | Backoff | None = None
    labels: Mapping[str, str] | None = None
    id: str | None = None


class Submitted(msgspec.Struct, frozen=True):
    """A job that is durable. Goes wherever a method asks for a job.

    ``replayed``: it was stored before already, under this id, by somebody else or by an earlier try of this call.
    """

    id: str
    type: str
    replayed: bool = False


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt did not succeed."""

    kind: str
    message: str
    traceback: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when the server answered; docs/http-api.md explains the fields."""

    id: str
    type: str
    queue: str
    priority: int
    state: str
    payload: Any
    attempt: int
    max_attempts: int
    run_at: datetime
    created_at: datetime
    version: int
    crashes: int = 0
    labels: dict[str, str] = {}
    result: Any = None
    error: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    notice: str | None = None

    @property
    def final(self) -> bool:
        """Whether it has ended: succeeded, failed or cancelled."""
        return self.state in _FINAL


class JobPage(msgspec.Struct, frozen=True):
    items: list[Job]
    next_cursor: str | None
    feed_cursor: str


class EventJob(msgspec.Struct, frozen=True):
    """The job as it was right after the event; ``version`` is None with ``progress`` and ``log``."""

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
    job: EventJob
    previous_state: str | None = None
    node: str | None = None
    result: Any = None
    result_bytes: int | None = None
    error: Failure | None = None
    progress: float | None = None
    message: str | None = None
    dropped: int = 0


class Event(msgspec.Struct, frozen=True):
    """One thing that happened to a job; docs/event-feed.md explains the fields.

    ``cursor`` is the place after it: whoever has dealt with the event and notes it comes back right behind.
    """

    id: str
    type: str
    time: datetime
    data: EventData
    cursor: str = ""

    @property
    def what(self) -> str:
        """``created``, ``started``, ``succeeded`` …"""
        return self.type.removeprefix(PREFIX)

    @property
    def job(self) -> EventJob:
        return self.data.job


JobRef = str | Submitted | Job | EventJob
"""What names a job: its id, or a record of it."""
Results = list[Submitted | ClientError]
"""What became of many submissions, in their order."""


def id_of(job: JobRef) -> str:
    return job if isinstance(job, str) else job.id
