"""Jobs, attempts, nodes, schedules and operations as rows of SQL tables and back. Pure; shared by the SQL stores.

``COLUMNS`` is the one order in which the columns of ``jobs`` are written and read; ``MOVING`` are those that a move can
change. ``progress`` is not among them: moves are computed also from a worker's own record, which does not know it; it
is written by ``Store.note`` and cleared by a claim. Ids are 16 bytes in the tables and canonical text everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tickr import retry
from tickr.edits import EDITABLE
from tickr.extras import Signed
from tickr.job_log import LogPart
from tickr.jobs import NO_EXTRAS, Attempt, Extras, Failure, Job, Progress, State
from tickr.operations import Operation
from tickr.queues import Controls
from tickr.schedules import Schedule
from tickr.store.contract import STATE_CODES, AtWork, Node

Value = str | int | bytes | None
"""All that ever goes into or comes out of a column."""

COLUMNS = (
    "id", "type", "queue", "priority", "state", "run_at", "created_at", "version", "fence", "attempt", "crashes",
    "max_attempts", "timeout_us", "cancel_requested", "started_at", "finished_at", "node", "backoff", "labels", "error",
    "result", "payload", "progress", "limit_key", "extras",
)  # fmt: skip

MOVING = (
    "queue", "priority", "state", "run_at", "version", "fence", "attempt", "crashes", "cancel_requested", "started_at",
    "finished_at", "node", "error", "result", "extras",
)  # fmt: skip

GATED = f"controls <> '{msgspec.json.encode(Controls(order='newest')).decode()}'"
"""A condition on rows of ``queue_controls``: something is set that may keep a job from starting, not an order alone."""

_EDITABLE = [COLUMNS.index(column) for column in EDITABLE]
_STATES = {code: state for state, code in STATE_CODES.items()}
_encode = msgspec.json.Encoder().encode
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_progress = msgspec.json.Decoder(Progress).decode
_decode_extras = msgspec.json.Decoder(Extras).decode
_decode_signed = msgspec.json.Decoder(Signed).decode
_decode_node = msgspec.json.Decoder(Node).decode
_decode_schedule = msgspec.json.Decoder(Schedule).decode
_decode_operation = msgspec.json.Decoder(Operation).decode
_decode_backoff = msgspec.json.Decoder(retry.Backoff).decode


def id_bytes(text: str) -> bytes:
    """Return the 16 bytes of an id. What is no UUID gives b"", which matches no row: indexes may hold anything."""
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return b""
    return raw if len(raw) == 16 else b""


def id_text(raw: bytes) -> str:
    """Return the canonical text of 16 bytes."""
    return _id_of_hex(raw.hex())


def _id_of_hex(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def failure_text(failure: Failure | None) -> str | None:
    return None if failure is None else _encode(failure).decode()


def failure(text: str | None) -> Failure | None:
    return None if text is None else _decode_failure(text)


def signed(text: str | None) -> Signed | None:
    """Return the signatures of a job, from what is stored of them."""
    return None if text is None else _decode_signed(text)


def progress_text(progress: Progress | None) -> str | None:
    return None if progress is None else _encode(progress).decode()


def of_job(job: Job) -> tuple[Value, ...]:
    """Return the values of ``COLUMNS``."""
    return (
        id_bytes(job.id), job.type, job.queue, job.priority, STATE_CODES[job.state], job.run_at, job.created_at,
        job.version, job.fence, job.attempt, job.crashes, job.max_attempts, job.timeout_us, int(job.cancel_requested),
        job.started_at, job.finished_at, job.node,
        None if job.backoff == retry.DEFAULT else _encode(job.backoff).decode(),
        job.labels, failure_text(job.error), job.result, job.payload, progress_text(job.progress), job.limit_key,
        _extras_text(job.extras),
    )  # fmt: skip


def of_move(job: Job) -> tuple[Value, ...]:
    """Return the values of ``MOVING``."""
    return (
        job.queue, job.priority, STATE_CODES[job.state], job.run_at, job.version, job.fence, job.attempt, job.crashes,
        int(job.cancel_requested), job.started_at, job.finished_at, job.node, failure_text(job.error), job.result,
        _extras_text(job.extras),
    )  # fmt: skip


def of_edit(job: Job) -> tuple[Value, ...]:
    """Return the values of ``edits.EDITABLE``."""
    values = of_job(job)
    return tuple(values[place] for place in _EDITABLE)


def of_reseal(job: Job) -> tuple[Value, ...]:
    """Return ``payload, result, error, progress, extras``, and what the job is known by: ``id, version, fence``."""
    return (
        job.payload, job.result, failure_text(job.error), progress_text(job.progress), _extras_text(job.extras),
        id_bytes(job.id), job.version, job.fence,
    )  # fmt: skip


def _extras_text(extras: Extras) -> str | None:
    return None if extras is NO_EXTRAS or extras == NO_EXTRAS else _encode(extras).decode()


def job(row: Sequence[Any]) -> Job:
    """Return the job of a row with ``COLUMNS``."""
    return _job(id_text(row[0]), row)


def job_of_json(cells: Sequence[Any]) -> Job:
    """Return the job of a row with ``COLUMNS`` that came as JSON: its id is 32 hexadecimal digits."""
    return _job(_id_of_hex(cells[0].lower()), cells)


def _job(id_: str, row: Sequence[Any]) -> Job:
    (
        _, type_, queue, priority, state, run_at, created_at, version, fence, attempt, crashes, max_attempts,
        timeout_us, cancel_requested, started_at, finished_at, node, backoff, labels, error, result, payload,
        progress, limit_key, extras,
    ) = row  # fmt: skip
    return Job(
        id=id_,
        type=type_,
        queue=queue,
        priority=priority,
        state=_STATES[state],
        run_at=run_at,
        created_at=created_at,
        version=version,
        fence=fence,
        attempt=attempt,
        crashes=crashes,
        max_attempts=max_attempts,
        timeout_us=timeout_us,
        cancel_requested=bool(cancel_requested),
        started_at=started_at,
        finished_at=finished_at,
        node=node,
        backoff=retry.DEFAULT if backoff is None else _decode_backoff(backoff),
        labels=labels,
        error=failure(error),
        result=result,
        payload=payload,
        progress=None if progress is None else _decode_progress(progress),
        limit_key=limit_key,
        extras=NO_EXTRAS if extras is None else _decode_extras(extras),
    )


def state(code: int) -> State:
    return _STATES[code]


def of_attempt(job_id: str, attempt: Attempt) -> tuple[Value, ...]:
    """Return ``job_id, fence, number, node, started_at, finished_at, outcome, error``."""
    return (
        id_bytes(job_id), attempt.fence, attempt.number, attempt.node, attempt.started_at, attempt.finished_at,
        attempt.outcome, failure_text(attempt.error),
    )  # fmt: skip


def attempt(row: tuple[Any, ...]) -> Attempt:
    """Return the attempt of a row ``fence, number, node, started_at, finished_at, outcome, error``."""
    fence, number, node, started_at, finished_at, outcome, error = row
    return Attempt(
        fence=fence,
        number=number,
        node=node,
        started_at=started_at,
        finished_at=finished_at,
        outcome=outcome,
        error=failure(error),
    )


def of_log_part(part: LogPart) -> tuple[Value, ...]:
    """Return ``fence, attempt, last, count, size, marks, messages``."""
    return part.fence, part.attempt, part.last, part.count, part.size, part.marks, part.messages


def log_part(row: Sequence[Any]) -> LogPart:
    """Return the part of a row of these."""
    fence, attempt_number, last, count, size, marks, messages = row
    return LogPart(
        fence=fence, attempt=attempt_number, last=last, count=count, size=size, marks=marks, messages=messages
    )


def node(lease_until: int, lease_us: int, body: str | bytes) -> Node:
    """Return the node of a row ``lease_until, lease_us, body``."""
    return msgspec.structs.replace(_decode_node(body), lease_until=lease_until, lease_s=lease_us / 1_000_000)


def of_node(node: Node) -> str:
    """Return the ``body`` of a node's row; what changes with each heartbeat is beside it."""
    return _encode(msgspec.structs.replace(node, lease_until=None, lease_s=0.0)).decode()


def at_work(row: tuple[bytes, str, str, int, int | None, str | None, int]) -> AtWork:
    """Return who is at work by a row of its fields."""
    key, type_, queue, attempt, started_at, node, requested = row
    return AtWork(id_text(key), type_, queue, attempt, started_at, node, bool(requested))


def of_schedule(schedule: Schedule) -> tuple[str, int | None, str]:
    """Return ``name, next_at, body``."""
    return schedule.name, schedule.next_at, _encode(schedule).decode()


def schedule(next_at: int | None, body: str | bytes) -> Schedule:
    """Return the schedule of a row ``next_at, body``."""
    return msgspec.structs.replace(_decode_schedule(body), next_at=next_at)


def of_operation(operation: Operation) -> tuple[str, int | None, int | None, str]:
    """Return ``id, due_at, finished_at, body``."""
    return operation.id, operation.due_at, operation.finished_at, _encode(operation).decode()


def operation(body: str | bytes) -> Operation:
    return _decode_operation(body)
