"""Records → JSON: the job document and its parts as design section 9 has them, each response built from bytes once.

Payloads, results and labels are JSON text already and go out byte for byte, so that no number loses a digit. Instants
are microseconds inside and RFC 3339 UTC with six digits outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, overload

import msgspec
from msgspec import Meta, Raw
from quart import Response

from tickr.api.call import Answer
from tickr.envelopes import is_sealed, name_of
from tickr.errors import CannotOpen
from tickr.jobs import Attempt, Failure, Job, Progress, State
from tickr.keys import Unique
from tickr.links import OnFailure
from tickr.packing import is_packed, unpacked
from tickr.queues import Controls
from tickr.store.contract import QueueDepth

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""In RFC 3339, UTC, with six digits of the second."""
Item = TypeVar("Item")
_NO_LABELS = Raw(b"{}")
_NO_PROGRESS = Progress(0.0)

encode = msgspec.json.Encoder().encode


@overload
def instant(at_us: int) -> Instant: ...
@overload
def instant(at_us: int | None) -> Instant | None: ...
def instant(at_us: int | None) -> Instant | None:
    """Return microseconds UTC as ``2025-01-31T12:00:00.000000Z``."""
    if at_us is None:
        return None
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=1024)
def _second(at_s: int) -> str:
    # Most instants that are told in the same second lie in a few others.
    return (EPOCH + timedelta(seconds=at_s)).replace(tzinfo=None).isoformat()


class ErrorDocument(msgspec.Struct, frozen=True):
    kind: str
    message: str
    traceback: str | None


class UniqueDocument(msgspec.Struct, frozen=True):
    """The unique key of a job; ``until`` in seconds, or ``final``."""

    key: str
    until: float | int | str


class DependenciesDocument(msgspec.Struct, frozen=True):
    """The jobs that a job was submitted to wait for, as a submission says it."""

    jobs: tuple[str, ...]
    on_failure: OnFailure


class JobDocument(msgspec.Struct, frozen=True):
    """A job as the outside sees it; the order of the fields is part of the contract."""

    id: str
    type: str
    queue: str
    priority: int
    state: State
    payload: Raw | None
    result: Raw | None
    error: ErrorDocument | None
    attempt: int
    max_attempts: int
    crashes: int
    max_crashes: int
    run_at: Instant
    expires_at: Instant | None
    keep: float | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    node: str | None
    version: int
    labels: Raw
    limit_key: str | None
    unique: UniqueDocument | None
    progress: float | None
    progress_message: str | None
    progress_data: Raw | None
    traceparent: str | None
    schedule: OriginDocument | None
    depends_on: DependenciesDocument | None
    sequence: str | None
    parent: str | None
    encrypted: bool
    encryption_key: str | None
    notice: str | None


class OriginDocument(msgspec.Struct, frozen=True):
    """The schedule that made a job, and for which tick; null for one that was asked for at once."""

    name: str
    tick: Instant | None


class AttemptDocument(msgspec.Struct, frozen=True):
    """``life``: 1, and one more after each time that the job was started over."""

    life: int
    number: int
    fence: int
    node: str | None
    started_at: Instant | None
    finished_at: Instant | None
    outcome: str
    error: ErrorDocument | None


class RateDocument(msgspec.Struct, frozen=True):
    """``starts`` in any ``period`` seconds."""

    starts: int
    period: float


class QueueDocument(msgspec.Struct, frozen=True):
    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    oldest_due_at: Instant | None
    paused: bool
    paused_until: Instant | None
    max_running: int | None
    max_running_per_key: int | None
    rate: RateDocument | None
    shared_keys: bool
    order: str
    counted_to: int


class JobPage(msgspec.Struct, frozen=True):
    """One page of jobs. ``feed_cursor`` is a place in the feed from before the jobs were read."""

    items: list[JobDocument]
    next_cursor: str | None
    feed_cursor: str


class Items(msgspec.Struct, Generic[Item], frozen=True):
    """All there are."""

    items: list[Item]


class Envelope(msgspec.Struct, frozen=True):
    """An answer in the shape of the original Tickr's API."""

    status: int
    message: str
    data: dict[str, Any] | None
    success: bool


def job_document(job: Job, now: int, notice: str | None = None) -> JobDocument:
    """Return ``job`` as it is at ``now`` (microseconds UTC by the store's clock).

    What is encrypted and was not opened is left out.
    """
    progress, sealed = job.progress or _NO_PROGRESS, job.extras.sealed
    return JobDocument(
        id=job.id,
        type=job.type,
        queue=job.queue,
        priority=job.priority,
        state=job.state_at(now),
        payload=readable(job.payload),
        result=readable(job.result),
        error=_error_document(job.error),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        max_crashes=job.max_crashes,
        run_at=instant(job.run_at),
        expires_at=instant(job.extras.expires_at),
        keep=None if job.extras.keep_us is None else job.extras.keep_us / 1_000_000,
        created_at=instant(job.created_at),
        started_at=instant(job.started_at),
        finished_at=instant(job.finished_at),
        node=job.node,
        version=job.version,
        labels=_NO_LABELS if job.labels is None else Raw(job.labels),
        limit_key=job.limit_key,
        unique=None if job.extras.unique is None else _unique_document(job.extras.unique),
        progress=None if job.progress is None else job.progress.fraction,
        progress_message=None if sealed is not None and is_sealed(progress.message) else progress.message,
        progress_data=readable(progress.data),
        traceparent=job.extras.traceparent,
        schedule=_origin(job),
        depends_on=_dependencies(job),
        sequence=None if job.extras.sequence is None else job.extras.sequence.name,
        parent=job.extras.parent,
        encrypted=sealed is not None,
        encryption_key=None if sealed is None else name_of(sealed),
        notice=notice,
    )


def readable(text: str | None) -> Raw | None:
    """Return a payload or a result as it is told; None if it is encrypted, or was damaged in the store."""
    if text is None or is_sealed(text):
        return None
    if not is_packed(text):
        return Raw(text)
    with suppress(CannotOpen):
        return Raw(unpacked(text))
    return None


def _origin(job: Job) -> OriginDocument | None:
    made_by = job.extras.schedule
    return None if made_by is None else OriginDocument(made_by, instant(job.extras.tick))


def _dependencies(job: Job) -> DependenciesDocument | None:
    after = job.extras.depends_on
    return None if after is None else DependenciesDocument(after.jobs, after.on_failure)


def attempt_document(attempt: Attempt, life: int) -> AttemptDocument:
    return AttemptDocument(
        life=life,
        number=attempt.number,
        fence=attempt.fence,
        node=attempt.node,
        started_at=instant(attempt.started_at),
        finished_at=instant(attempt.finished_at),
        outcome=attempt.outcome,
        error=_error_document(attempt.error),
    )


def queue_document(queue: QueueDepth, controls: Controls | None) -> QueueDocument:
    """Return how a queue stands. ``controls``: what is set on it; None: nothing."""
    controls = controls or Controls()
    limits, rate = controls.limits, controls.limits.rate
    return QueueDocument(
        name=queue.name,
        ready=queue.ready,
        scheduled=queue.scheduled,
        retrying=queue.retrying,
        running=queue.running,
        oldest_due_at=instant(queue.oldest_due_at),
        paused=controls.paused,
        paused_until=instant(controls.paused_until),
        max_running=limits.max_running,
        max_running_per_key=limits.max_running_per_key,
        rate=RateDocument(rate.starts, rate.period_us / 1e6) if rate else None,
        shared_keys=limits.shared_keys,
        order=controls.order,
        counted_to=queue.counted_to,
    )


def _unique_document(unique: Unique) -> UniqueDocument:
    if unique.until_us is None:
        return UniqueDocument(unique.key, "started" if unique.until_started else "final")
    seconds, rest = divmod(unique.until_us, 1_000_000)
    return UniqueDocument(unique.key, seconds + rest / 1_000_000 if rest else seconds)


def _error_document(failure: Failure | None) -> ErrorDocument | None:
    return None if failure is None else ErrorDocument(failure.kind, failure.message, failure.traceback)


def etag(job: Job, now: int) -> str:
    """Return the entity tag of the job at ``now``: ``"v<version>"``.

    Becoming ready is made by the clock and raises no version, so a job that was scheduled when it was created and is
    due now has ``"v1.due"``: nobody who waits for it with If-None-Match is told that nothing has changed.
    """
    became_due = job.version == 1 and job.state is State.READY and job.created_at < job.run_at <= now
    return f'"v{job.version}.due"' if became_due else f'"v{job.version}"'


def items(documents: Iterable[msgspec.Struct]) -> bytes:
    return encode(Items(list(documents)))


class EventsPage(msgspec.Struct, frozen=True):
    """One page of the feed. ``cursor``: the place behind it; ``caught_up``: whether there is nothing behind it yet."""

    events: list[Raw]
    cursor: str
    caught_up: bool


def events_page(events: Iterable[bytes], cursor: str, caught_up: bool) -> bytes:
    """Return an ``EventsPage``; ``events`` are CloudEvents in JSON."""
    told = b",".join(events)
    return b'{"events":[%b],"cursor":%b,"caught_up":%b}' % (told, encode(cursor), encode(caught_up))


def envelope(status: int, message: str, data: dict[str, Any] | None) -> bytes:
    return encode(Envelope(status, message, data, status < 400))


def answer(
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Answer:
    """Return ``body``, which is JSON already, as an answer."""
    return Answer(status, body, {"content-type": content_type, "x-content-type-options": "nosniff", **(headers or {})})


def response(answer: Answer) -> Response:
    """Return ``answer`` for Quart."""
    return Response(answer.body, answer.status, dict(answer.headers))


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``body``, which is JSON already, for Quart."""
    return response(answer(body, status, headers))


def empty_response(status: int, headers: Mapping[str, str]) -> Response:
    """Return a response without a body, and without a Content-Type that would speak of one."""
    made = Response(b"", status, dict(headers))
    del made.headers["Content-Type"]
    return made
