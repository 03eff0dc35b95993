"""A job to be submitted → the bytes that say so, written once: every try sends the same ones, under the same id.

That is what makes a submission safe to repeat. What JSON cannot say is found here (msgspec would write NaN as null);
the rules of the fields are the server's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def write(job: NewJob | Mapping[str, Any]) -> Body:
    """Return the body of ``job``, with an id if it has none.

    Raises: Invalid: there is no JSON for a value, or a field does not exist.
    """
    fields = _fields(job)
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


def _fields(job: NewJob | Mapping[str, Any]) -> dict[str, Any]:
    given = msgspec.structs.asdict(job) if isinstance(job, NewJob) else dict(job)
    if unknown := [str(name) for name in given if name not in NewJob.__struct_fields__]:
        raise _invalid([Fault(f"/{name}", "is not known here") for name in unknown])
    fields = {name: value for name, value in given.items() if value is not None}
    for name in ("delay", "timeout"):
        if isinstance(lasting := fields.get(name), timedelta):
            fields[name] = lasting.total_seconds()
    run_at = fields.get("run_at")
    if isinstance(run_at, datetime) and run_at.tzinfo is None:
        raise _invalid([Fault("/run_at", "must be an aware datetime, like datetime.now(UTC) + timedelta(hours=1)")])
    return fields


def _invalid(faults: Sequence[Fault]) -> Refused:
    return found_here("The job cannot be sent as it is.", faults)


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
