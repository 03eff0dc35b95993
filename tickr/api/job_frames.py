"""The frames of ``GET /jobs/stream``: a job with its ref on the way in, an answer for a ref on the way out. Pure.

A ref is the client's own name for a job on its connection; Tickr gives it back as it came, and that is all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from tickr.api import keys, strict, submission
from tickr.api.context import HandlerDefaults
from tickr.api.problems import invalid
from tickr.api.results import too_large
from tickr.api.submission import RULES, Submission
from tickr.intake import Stored
from tickr.jobs import NewJob
from tickr.traces import Trace

MAX_ANSWERS = 1_000
"""Answers in one frame."""
MAX_ANSWER_BYTES = 512 * 1024
"""About how long a frame of answers becomes, in bytes: many clients refuse one of more than 1 MiB."""
MAX_REF_LENGTH = 128

Ref = Annotated[str, Meta(max_length=MAX_REF_LENGTH)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Sent(Submission, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as a client of the stream describes it."""

    ref: Ref


class _Referred(msgspec.Struct, frozen=True):
    ref: Ref | None = None


class Done(msgspec.Struct, frozen=True):
    """The answer to a job that is stored."""

    ref: Ref
    id: str
    state: str


class Replayed(Done, frozen=True):
    """The answer to one that was stored already."""

    replayed: bool = True


class Held(Done, frozen=True):
    """The answer to one that is not stored: the job with its unique key is another."""

    held: bool = True


class Refused(msgspec.Struct, frozen=True):
    """The answer to one that is not stored, or of which that is not known; ``error`` is a problem document."""

    ref: Ref | None
    error: Raw


_RULES = RULES | {
    "ref": f"must be a string of at most {MAX_REF_LENGTH} characters, or a whole number of at most 64 bits"
}
_sent = msgspec.json.Decoder(Sent).decode
_referred = msgspec.json.Decoder(_Referred).decode
_encode = msgspec.json.Encoder().encode
is_array = re.compile(rb"[ \t\n\r]*+\[").match


def read(
    raw: bytes | Raw,
    *,
    most_bytes: int,
    now: int,
    defaults: Callable[[str], HandlerDefaults | None],
    trace: Trace | None = None,
) -> tuple[Ref, NewJob]:
    """Return the job in ``raw``, and its ref. Raises: Problem (400, 413, 422)."""
    if len(raw) > most_bytes:
        raise too_large(most_bytes)
    body = bytes(raw)
    strict.check(body)
    try:
        said = _sent(body)
    except msgspec.ValidationError:
        raise invalid(submission.all_faults(body, Sent, _RULES, now)) from None
    return said.ref, submission.checked(said, now=now, defaults=defaults, trace=trace)


def refused(ref: Ref | None, problem: Raw) -> bytes:
    """Return the answer to a job that is not stored; ``problem`` is a problem document."""
    return _encode(Refused(ref, problem))


def ref_of(raw: bytes | Raw) -> Ref | None:
    """Return the ref of a job that cannot be taken, as far as it can be read."""
    try:
        return _referred(raw).ref
    except (msgspec.DecodeError, RecursionError):
        return None


def done(ref: Ref, answer: Stored, now: int) -> bytes:
    """Return the answer to a job that is stored, or for which another is."""
    job, created = answer
    kind = Done if created else Held if keys.outcome(answer).held else Replayed
    return _encode(kind(ref, job.id, job.state_at(now)))


def arrays(told: Sequence[bytes]) -> Iterator[bytes]:
    """Yield arrays that hold all of ``told``, none of them very long."""
    part: list[bytes] = []
    size = 0
    for one in told:
        if part and (len(part) >= MAX_ANSWERS or size + len(one) > MAX_ANSWER_BYTES):
            yield b"[%b]" % b",".join(part)
            part, size = [], 0
        part.append(one)
        size += len(one)
    if part:
        yield b"[%b]" % b",".join(part)
