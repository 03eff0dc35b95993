"""A job to be submitted → the bytes that say so, written once: every try sends the same ones, under the same id.

That is what makes a submission safe to repeat. What JSON cannot say is found here (msgspec would write NaN as null);
the rules of the fields are the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import uuid_utils

from tickr.client.errors import Fault, Refused, found_here
from tickr.client.records import NewJob
from tickr.encoding import Unencodable, encode

MAX_JOB_BYTES = 15 * 1024 * 1024
"""Longest body of a single job that is sent at all; whether it takes so much is the server's to say."""

_skim = msgspec.json.Decoder(msgspec.Raw).decode


class Body(msgspec.Struct, frozen=True):
    """A job on its way: the JSON that says it, and what of it the answer is known by."""

    id: str
    type: str
    text: bytes
    id_is_ours: bool


NOTHING = Body("", "", b"", True)

CurrentTrace = Callable[[], Mapping[str, str]]
"""Returns the ``traceparent`` and ``tracestate`` of what its caller does; nothing without a trace."""


Prepare = Callable[[dict[str, Any]], None]
"""Gets the fields of a job as they were given, none of them None, and may change them; what it raises gets through."""


def preparation(prepare: Prepare | None, trace: CurrentTrace | None) -> Prepare | None:
    """Return what calls ``prepare``, and then gives the job the trace of its caller, if it has none."""
    if trace is None:
        return prepare

    def both(fields: dict[str, Any]) -> None:
        if prepare is not None:
            prepare(fields)
        if "traceparent" not in fields:
            fields |= trace()

    return both


def write(job: NewJob | Mapping[str, Any], prepare: Prepare | None = None) -> Body:
    """Return the body of ``job``, with an id if it has none.

    Raises: Invalid: there is no JSON for a value, a field does not exist, or it is no job. What ``prepare`` raises.
    """
    if not isinstance(job, NewJob | Mapping):
        raise _invalid([Fault("", f"must be a mapping or a NewJob, not {type(job).__name__}")])
    fields = _fields(job, prepare)
    given = fields.get("id")
    job_id = fields["id"] = str(given) if given is not None else str(uuid_utils.uuid7())
    try:
        text = encode(fields)
    except Unencodable as error:
        raise _invalid([Fault(error.pointer, error.detail)]) from error
    fault = _raw_fault(fields, text)
    if fault is None and len(text) > MAX_JOB_BYTES:
        fault = Fault("/payload", f"makes the job {len(text)} bytes long, more than {MAX_JOB_BYTES}")
    if fault is not None:
        raise _invalid([fault])
    return Body(job_id, str(fields.get("type")), text, given is None)


def schedule(wish: Mapping[str, Any], of_itself: Collection[str]) -> bytes:
    """Return the body of a schedule. ``of_itself``: which of its fields are not those of its jobs.

    Raises: Invalid: there is no JSON for a value, or a field does not exist.
    """
    own = {name: value for name, value in wish.items() if name in of_itself and value is not None}
    if isinstance(every := own.get("every"), timedelta):
        own["every"] = every.total_seconds()
    job = _fields({name: value for name, value in wish.items() if name not in of_itself})
    try:
        text = encode({**own, "job": job})
    except Unencodable as error:
        raise _invalid([Fault(error.pointer, error.detail)]) from error
    if fault := _raw_fault(job, text):
        raise _invalid([fault])
    return text


def changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be different about a job, ready to be written. Raises: Invalid."""
    fields = _fields(changes)
    if fault := _raw_fault(fields, b"{}"):
        raise _invalid([fault])
    return fields | {name: None for name in ("expires_at",) if changes.get(name, ...) is None}


def encoded(document: Any) -> bytes:
    """Raises: Invalid: there is no JSON for a value."""
    try:
        return encode(document)
    except Unencodable as error:
        raise _invalid([Fault(error.pointer, error.detail)]) from error


def _fields(job: NewJob | Mapping[str, Any], prepare: Prepare | None = None) -> dict[str, Any]:
    given = msgspec.structs.asdict(job) if isinstance(job, NewJob) else dict(job)
    if prepare is not None:
        given = {name: value for name, value in given.items() if value is not None}
        prepare(given)
    if unknown := [str(name) for name in given if name not in NewJob.__struct_fields__]:
        raise _invalid([Fault(f"/{name}", "is not known here") for name in unknown])
    fields = {name: value for name, value in given.items() if value is not None}
    for name in ("delay", "expires_in", "timeout", "keep"):
        if isinstance(lasting := fields.get(name), timedelta):
            fields[name] = lasting.total_seconds()
    if isinstance(unique := fields.get("unique"), str):
        fields["unique"] = {"key": unique}
    elif isinstance(unique, Mapping) and isinstance(lasting := unique.get("until"), timedelta):
        fields["unique"] = {**unique, "until": lasting.total_seconds()}
    naive = [name for name in ("run_at", "expires_at") if _is_naive(fields.get(name))]
    if naive:
        rule = "must be an aware datetime, like datetime.now(UTC) + timedelta(hours=1)"
        raise _invalid([Fault(f"/{name}", rule) for name in naive])
    return fields


def _is_naive(at: object) -> bool:
    return isinstance(at, datetime) and at.tzinfo is None


def _invalid(faults: Sequence[Fault]) -> Refused:
    return found_here("This cannot be sent as it is.", faults)


def batch(bodies: Sequence[bytes]) -> bytes:
    """Return the body of ``POST /jobs/batch`` for jobs that are written already."""
    return b'{"jobs":[%b]}' % b",".join(bodies)


def _raw_fault(fields: Mapping[str, Any], text: bytes) -> Fault | None:
    """Return what is wrong with JSON text that was handed in: it must not spill over into the jobs beside it."""
    try:
        if isinstance(payload := fields.get("payload"), msgspec.Raw):
            _skim(payload)
        _skim(text)
    except msgspec.DecodeError as error:
        return Fault("/payload", f"is no JSON: {error}")
    return None
