"""What the API answers about jobs and queues, as the commands read it; what a newer server adds is left aside."""

from __future__ import annotations

import msgspec
from msgspec import Raw


class RemoteError(msgspec.Struct, frozen=True):
    kind: str
    message: str
    traceback: str | None = None


class RemoteAttempt(msgspec.Struct, frozen=True):
    """``life``: how often it was started over before, and one; attempts are numbered anew in each."""

    number: int
    outcome: str
    node: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    error: RemoteError | None = None
    life: int = 1


class RemoteUnique(msgspec.Struct, frozen=True):
    key: str
    until: float | str


class RemoteOrigin(msgspec.Struct, frozen=True):
    """The schedule that made a job, and for which tick."""

    name: str
    tick: str | None = None


class RemoteJob(msgspec.Struct, frozen=True):
    """A job as the API shows it; fields that a newer server adds are left aside."""

    id: str
    type: str
    queue: str
    priority: int
    state: str
    payload: Raw
    labels: dict[str, str]
    attempt: int
    max_attempts: int
    run_at: str
    created_at: str
    expires_at: str | None = None
    keep: float | None = None
    result: Raw = Raw(b"null")
    error: RemoteError | None = None
    crashes: int = 0
    max_crashes: int = 2
    version: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    node: str | None = None
    limit_key: str | None = None
    notice: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    progress_data: Raw = Raw(b"null")
    traceparent: str | None = None
    unique: RemoteUnique | None = None
    schedule: RemoteOrigin | None = None
    depends_on: RemoteDependencies | None = None
    sequence: str | None = None
    parent: str | None = None
    encrypted: bool = False
    encryption_key: str | None = None


class RemoteDependencies(msgspec.Struct, frozen=True):
    jobs: list[str]
    on_failure: str = "fail"


class RemoteRate(msgspec.Struct, frozen=True):
    starts: int
    period: float


class RemoteQueue(msgspec.Struct, frozen=True):
    """A queue as the API shows it."""

    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    paused: bool
    paused_until: str | None = None
    oldest_due_at: str | None = None
    max_running: int | None = None
    max_running_per_key: int | None = None
    rate: RemoteRate | None = None
    shared_keys: bool = False
    order: str = "oldest"


class RemoteReason(msgspec.Struct, frozen=True):
    code: str
    detail: str


class RemoteExplanation(msgspec.Struct, frozen=True):
    """Why a job is not running, as the API says it."""

    id: str
    state: str
    reasons: list[RemoteReason]
    ahead: int | None = None
    estimated_start: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """A job and the bytes it came as. ``held``: it is another than was to be submitted, and holds the unique key."""

    job: RemoteJob
    raw: bytes
    held: bool = False
