"""What goes in and comes out of the client, as typed records: jobs to submit, jobs as they are, events.

Answers are read with msgspec: fields that a newer server adds are left aside, instants become aware datetimes (UTC),
payloads and results become Python values, whole numbers of any size exactly. All of them are frozen.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec

from tickr.client.errors import ClientError
from tickr.client.event_records import EventJob, EventRate, Skipped
from tickr.client.operation_records import Failure
from tickr.encoding import Kind, typed
from tickr.jobs import FINAL
from tickr.retry import Backoff

_FINAL = frozenset(str(state) for state in FINAL)


class TemplateOptions(TypedDict, total=False):
    """What may be said of all jobs of a schedule beside their type and payload."""

    queue: str
    priority: int
    max_attempts: int
    max_crashes: int
    timeout: float | timedelta
    keep: float | timedelta
    backoff: str | Backoff
    labels: Mapping[str, str]
    limit_key: str


class BroadcastOptions(TypedDict, total=False):
    """What may be said of the jobs of a broadcast beside their type and payload."""

    priority: int
    delay: float | timedelta
    run_at: datetime
    expires_at: datetime
    expires_in: float | timedelta
    max_attempts: int
    max_crashes: int
    timeout: float | timedelta
    backoff: str | Backoff
    labels: Mapping[str, str]
    id: str
    traceparent: str
    tracestate: str


class Options(TemplateOptions, total=False):
    """What may be said of a job beside its type and payload; docs/http-api.md has the rules of each."""

    delay: float | timedelta
    run_at: datetime
    expires_at: datetime
    expires_in: float | timedelta
    id: str
    traceparent: str
    tracestate: str
    unique: str | Mapping[str, Any]
    depends_on: Sequence[str] | Mapping[str, Any]
    sequence: str


class NewJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job to be submitted. None leaves a field to the server.

    ``delay``, ``expires_in``, ``timeout`` and ``keep`` (after its end) in seconds or as ``timedelta``.
    ``payload``: anything with a form in JSON, ``msgspec.Raw`` for JSON text to be kept to the letter; None is ``{}``.
    ``id``: a UUID that makes the submission safe to repeat by another program; made by the client if it is None.
    ``unique``: a unique key, or ``{"key": …, "until": …, "on_conflict": …}``, where ``until`` may be a ``timedelta``.
    ``depends_on``: ids of jobs to wait for, or ``{"jobs": …, "on_failure": "fail" | "cancel" | "run"}``.
    ``sequence``: the sequence whose jobs run one after the other, this one after all that are in it.
    """

    type: str
    payload: Any = None
    queue: str | None = None
    priority: int | None = None
    delay: float | timedelta | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    expires_in: float | timedelta | None = None
    max_attempts: int | None = None
    max_crashes: int | None = None
    timeout: float | timedelta | None = None
    keep: float | timedelta | None = None
    backoff: str | Backoff | None = None
    labels: Mapping[str, str] | None = None
    limit_key: str | None = None
    id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    unique: str | Mapping[str, Any] | None = None
    depends_on: Sequence[str] | Mapping[str, Any] | None = None
    sequence: str | None = None


class Submitted(msgspec.Struct, frozen=True):
    """A job that is durable. Goes wherever a method asks for a job.

    ``replayed``: it was stored before already, under this id, by somebody else or by an earlier try of this call.
    ``held``: nothing was stored: the job with this ``id`` holds the unique key. (``type`` is what was asked for.)
    """

    id: str
    type: str
    replayed: bool = False
    held: bool = False


class Unique(msgspec.Struct, frozen=True):
    """The unique key of a job. ``until``: ``final``, ``started``, or so many seconds from its creation."""

    key: str
    until: float | str


class Origin(msgspec.Struct, frozen=True):
    """The schedule that made a job, and for which of its ticks; None for one that was asked for at once."""

    name: str
    tick: datetime | None = None


class Dependencies(msgspec.Struct, frozen=True):
    """The jobs that a job was submitted to wait for, and what becomes of it when one of them does not succeed."""

    jobs: list[str]
    on_failure: str = "fail"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when the server answered; docs/http-api.md explains the fields.

    Of one that is ``encrypted`` payload, result and messages are left out, unless it was asked for with ``decrypt``.
    """

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
    max_crashes: int = 2
    labels: dict[str, str] = {}
    limit_key: str | None = None
    unique: Unique | None = None
    expires_at: datetime | None = None
    keep: float | None = None
    result: Any = None
    error: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    node: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    progress_data: Any = None
    traceparent: str | None = None
    schedule: Origin | None = None
    depends_on: Dependencies | None = None
    sequence: str | None = None
    parent: str | None = None
    encrypted: bool = False
    encryption_key: str | None = None
    notice: str | None = None

    @property
    def final(self) -> bool:
        """Whether it has ended: succeeded, failed or cancelled."""
        return self.state in _FINAL

    def payload_as(self, kind: builtins.type[Kind]) -> Kind:
        """Return the payload as a ``kind``: a dataclass, a Struct, ``set[UUID]``. Raises: ValueError: it is none."""
        return typed(self.payload, kind, "payload")

    def result_as(self, kind: builtins.type[Kind]) -> Kind:
        """Return the result as a ``kind``, such as the handler has returned. Raises: ValueError: it is none."""
        return typed(self.result, kind, "result")


class TreeJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a tree. ``name``: among its siblings; ``depends_on``: ids; ``children``: as they were submitted."""

    id: str
    type: str
    state: str
    attempt: int
    run_at: datetime
    name: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Failure | None = None
    depends_on: list[str] = []
    children: list[TreeJob] = []


class Tree(msgspec.Struct, frozen=True):
    """A job and all that its handler, and theirs, have submitted. ``complete``: nothing is left out."""

    tree: TreeJob
    parent: str | None = None
    complete: bool = True


class Broadcast(msgspec.Struct, frozen=True):
    """Its id, and its jobs: one for each node, in whose queue it waits (``@`` and the node's id)."""

    id: str
    items: list[Job]


class LogLine(msgspec.Struct, frozen=True):
    """A line that a job has logged. ``message``: None where it is encrypted. ``dropped``: lines left out before it."""

    attempt: int
    fence: int
    at: datetime
    message: str | None
    dropped: int = 0


class Log(msgspec.Struct, frozen=True):
    """What a job has logged, oldest first. ``cursor``: the place behind it; ``more``: the server has more of it."""

    items: list[LogLine]
    cursor: str
    more: bool = False


class JobPage(msgspec.Struct, frozen=True):
    items: list[Job]
    next_cursor: str | None
    feed_cursor: str


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it was when the server answered; docs/schedules.md explains the fields.

    ``job`` is the template as it was put; ``next`` is empty in lists. ``ended`` says why there are no more ticks.
    ``function`` is what gives them in the code of nodes, ``fault`` why it cannot at the moment.
    """

    name: str
    job: dict[str, Any]
    missed: str
    overlap: str
    paused: bool
    version: int
    created_at: datetime
    updated_at: datetime
    cron: str | None = None
    timezone: str | None = None
    every: float | None = None
    function: str | None = None
    start_at: datetime | None = None
    start: str | None = None
    end_at: datetime | None = None
    times: int | None = None
    next_at: datetime | None = None
    next: list[datetime] = []
    ended: str | None = None
    fault: str | None = None
    declared: bool = False
    last_tick: datetime | None = None
    last_job: str | None = None
    fired: int = 0
    skipped: Skipped = Skipped()
    encrypted: bool = False
    encryption_key: str | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands, and what is set on it; None: no limit. No state is counted beyond ``counted_to``."""

    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    oldest_due_at: datetime | None = None
    paused: bool
    paused_until: datetime | None = None
    max_running: int | None = None
    max_running_per_key: int | None = None
    rate: EventRate | None = None
    shared_keys: bool = False
    order: str = "oldest"
    counted_to: int


JobRef = str | Submitted | Job | EventJob
"""What names a job: its id, or a record of it."""
Results = list[Submitted | ClientError]
"""What became of many submissions, in their order."""


def id_of(job: JobRef) -> str:
    return job if isinstance(job, str) else job.id
