"""Records → JSON: the job document and its parts as design section 9 has them, each response built from bytes once.

Payloads, results and labels are JSON text already and go out byte for byte, so that no number loses a digit. Instants
are microseconds inside and RFC 3339 UTC with six digits outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import Raw
from quart import Response

from tickr.api.call import Answer
from tickr.jobs import Attempt, Failure, Job, State
from tickr.store.contract import QueueDepth

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LABELS = Raw(b"{}")

encode = msgspec.json.Encoder().encode


def instant(at_us: int | None) -> str | None:
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


class JobDocument(msgspec.Struct, frozen=True):
    """A job as the outside sees it; the order of the fields is part of the contract."""

    id: str
    type: str
    queue: str
    priority: int
    state: State
    payload: Raw
    result: Raw | None
    error: ErrorDocument | None
    attempt: int
    max_attempts: int
    crashes: int
    run_at: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    node: str | None
    version: int
    labels: Raw
    progress: float | None
    progress_message: str | None
    notice: str | None


class AttemptDocument(msgspec.Struct, frozen=True):
    number: int
    fence: int
    node: str | None
    started_at: str | None
    finished_at: str | None
    outcome: str
    error: ErrorDocument | None


class QueueDocument(msgspec.Struct, frozen=True):
    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    oldest_due_at: str | None
    paused: bool
    counted_to: int


class Page(msgspec.Struct, frozen=True):
    """One page of jobs. ``feed_cursor`` is a place in the feed from before the jobs were read."""

    items: list[JobDocument]
    next_cursor: str | None
    feed_cursor: str


def job_document(job: Job, now: int, notice: str | None = None) -> JobDocument:
    """Return ``job`` as it is at ``now`` (microseconds UTC by the store's clock)."""
    return JobDocument(
        id=job.id,
        type=job.type,
        queue=job.queue,
        priority=job.priority,
        state=job.state_at(now),
        payload=Raw(job.payload),
        result=None if job.result is None else Raw(job.result),
        error=_error_document(job.error),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        run_at=instant(job.run_at),
        created_at=instant(job.created_at),
        started_at=instant(job.started_at),
        finished_at=instant(job.finished_at),
        node=job.node,
        version=job.version,
        labels=_NO_LABELS if job.labels is None else Raw(job.labels),
        progress=None if job.progress is None else job.progress.fraction,
        progress_message=None if job.progress is None else job.progress.message,
        notice=notice,
    )


def attempt_document(attempt: Attempt) -> AttemptDocument:
    return AttemptDocument(
        number=attempt.number,
        fence=attempt.fence,
        node=attempt.node,
        started_at=instant(attempt.started_at),
        finished_at=instant(attempt.finished_at),
        outcome=attempt.outcome,
        error=_error_document(attempt.error),
    )


def queue_document(queue: QueueDepth) -> QueueDocument:
    return QueueDocument(
        name=queue.name,
        ready=queue.ready,
        scheduled=queue.scheduled,
        retrying=queue.retrying,
        running=queue.running,
        oldest_due_at=instant(queue.oldest_due_at),
        paused=False,
        counted_to=queue.counted_to,
    )


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
    return encode({"items": list(documents)})


def events_page(events: Iterable[bytes], cursor: str, caught_up: bool) -> bytes:
    """Return a page of the feed; ``events`` are CloudEvents in JSON."""
    told = b",".join(events)
    return b'{"events":[%b],"cursor":%b,"caught_up":%b}' % (told, encode(cursor), encode(caught_up))


def envelope(status: int, message: str, data: Mapping[str, object] | None) -> bytes:
    """Return an answer in the shape of the original Tickr's API."""
    return encode({"status": status, "message": message, "data": data, "success": status < 400})


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
