"""One event as the outside reads it: CloudEvents 1.0 in JSON (design section 10). Pure.

Labels and results are JSON text already and go out byte for byte, so that no number loses a digit; only line breaks
between their tokens become spaces, because an event is one line in a stream (SSE, JSON lines).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickr import envelopes
from tickr.errors import CannotOpen
from tickr.events import AnyEvent, Event, ThingEvent
from tickr.instants import rfc3339
from tickr.jobs import Failure
from tickr.packing import unpacked

SOURCE = "/tickr"
TYPE_PREFIX, JOB_PREFIX = "tickr.", "tickr.job."
"""What the type of an event begins with, and that of one about a job; its name follows."""

_NO_LABELS = Raw(b"{}")
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class _Error(msgspec.Struct, frozen=True):
    kind: str
    message: str
    traceback: str | None


class _Job(msgspec.Struct, frozen=True):
    id: str
    type: str
    queue: str
    priority: int
    state: str
    version: int | None
    attempt: int
    max_attempts: int
    run_at: str
    labels: Raw


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    job: _Job
    previous_state: str | UnsetType | None = UNSET
    changed: list[str] | UnsetType = UNSET
    node: str | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    result_bytes: int = 0
    error: _Error | UnsetType = UNSET
    progress: float | UnsetType = UNSET
    message: str | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    dropped: int = 0
    encrypted: bool = False
    encryption_key: str | UnsetType = UNSET


class CloudEvent(msgspec.Struct, frozen=True):
    """What happened to a job, or to something else."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: _Data | Raw


_encode = msgspec.json.Encoder().encode


def type_of(event: AnyEvent) -> str:
    """Return the event's type, as ``tickr.job.created`` or ``tickr.schedule.paused``."""
    return (TYPE_PREFIX if isinstance(event, ThingEvent) else JOB_PREFIX) + event.what


def name_of(type_or_name: str) -> str:
    """Return the name of an event as it is asked for (``events.NAMES``), whether that or its type is given."""
    prefix = JOB_PREFIX if type_or_name.startswith(JOB_PREFIX) else TYPE_PREFIX
    name = type_or_name.removeprefix(prefix)
    # The names of what happens to jobs have no dot, all others one.
    return name if ("." in name) == (prefix == TYPE_PREFIX) else type_or_name


def expand(event: AnyEvent) -> bytes:
    """Return ``event`` as one line of JSON."""
    subject, data = (event.name, event.data) if isinstance(event, ThingEvent) else (event.job, _data(event))
    body = _encode(CloudEvent("1.0", event.id, SOURCE, type_of(event), subject, rfc3339(event.time), data))
    return body.translate(_ONE_LINE) if b"\n" in body or b"\r" in body else body


def _data(event: Event) -> _Data:
    is_note, sealed = event.note > 0, envelopes.is_sealed(event.result)
    key = event.sealed
    told = UNSET if event.result is None or sealed else _result(event.result)
    job = _Job(
        event.job,
        event.type,
        event.queue,
        event.priority,
        event.state,
        None if is_note else event.version,
        event.attempt,
        event.max_attempts,
        rfc3339(event.run_at),
        _NO_LABELS if event.labels is None else Raw(event.labels),
    )
    return _Data(
        job,
        UNSET if is_note else event.previous_state,
        event.changed or UNSET,
        UNSET if event.node is None else event.node,
        UNSET if is_note else told,
        event.result_bytes,
        UNSET if event.error is None else _error(event.error),
        UNSET if event.fraction is None else event.fraction,
        _message(event) if is_note else UNSET,
        UNSET if event.name is None else event.name,
        told if is_note else UNSET,
        event.dropped,
        key is not None,
        UNSET if key is None else envelopes.name_of(key),
    )


def _message(note: Event) -> str | UnsetType | None:
    """Return what a note says in words; None also where that is encrypted."""
    if note.name is not None:
        return UNSET
    return None if envelopes.is_sealed(note.result) else note.message


def _result(text: str) -> Raw | UnsetType:
    try:
        return Raw(unpacked(text))
    except CannotOpen:  # somebody has changed what is stored; all others shall be told their events
        return UNSET


def _error(failure: Failure) -> _Error:
    return _Error(failure.kind, failure.message, failure.traceback)
