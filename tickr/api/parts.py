"""Many jobs in one body or frame → the bytes of each, without looking at what is in them.

Comes in: JSON of up to 16 MiB, strict or not. Goes out: views of its parts, each of which has still to pass ``strict``;
what is between them is looked at here, so that together all of it has been. msgspec skips a gigabyte a second and
makes nothing of what it skips; only how many parts there may be has to be bounded before it makes one for each.
"""

from __future__ import annotations

import re

import msgspec
import trio
from msgspec import Raw

from tickr.api import strict
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.submission import field_faults

MAX_JOBS = 1_000
"""Jobs in one batch, or in one frame of a stream."""
MAX_UNCOUNTED = 200_000
"""With more commas than that, parts are counted before they are made: one takes 64 bytes, a comma two."""
LOOKED_AT_BYTES = 1024 * 1024
"""Of what is longer than that, in bytes, only the parts are ever looked at as a whole."""
PACE_BYTES = 64 * 1024
"""After reading so many bytes the others get a turn: they take some milliseconds."""
JOB_BYTES = 512
"""What a job costs besides its bytes, counted in bytes."""

_TOO_MANY = f"must be an array of 1 to {MAX_JOBS} jobs"
RULES = {"jobs": _TOO_MANY, "atomic": "must be true or false"}


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: Raw
    atomic: bool = False


class _Shape(msgspec.Struct, frozen=True, gc=False):
    """The least that a job has; as short as it can be, there cannot be very many of them in a body."""

    type: Raw


class Batch(msgspec.Struct, frozen=True):
    jobs: list[Raw]
    atomic: bool


_body = msgspec.json.Decoder(_Body).decode
_parts = msgspec.json.Decoder(list[Raw]).decode
_shapes = msgspec.json.Decoder(list[_Shape]).decode

_BLANK = rb"[ \t\n\r]*+"
_ATOMIC = rb'"atomic"%(_)b:%(_)b(?:true|false)' % {b"_": _BLANK}
_before_jobs = re.compile(
    rb'%(_)b\{%(_)b(?:(%(a)b)%(_)b,%(_)b)?"jobs"%(_)b:%(_)b' % {b"_": _BLANK, b"a": _ATOMIC}
).match
_after_jobs = re.compile(rb"%(_)b(?:,%(_)b(%(a)b)%(_)b)?\}%(_)b" % {b"_": _BLANK, b"a": _ATOMIC}).fullmatch


class Pace:
    """Lets the other tasks have a turn between parts of some work."""

    def __init__(self) -> None:
        self._done_bytes = 0

    async def keep(self, size_bytes: int) -> None:
        """Call before work on ``size_bytes``. A checkpoint, but not each time."""
        self._done_bytes += size_bytes + JOB_BYTES
        if self._done_bytes > PACE_BYTES:
            self._done_bytes = 0
            await trio.lowlevel.checkpoint()


async def read_batch(body: bytes) -> Batch:
    """Return the jobs in the body of a batch, 1..MAX_JOBS. Raises: Problem (400, 422)."""
    try:
        said = _body(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused(body, error) from None
    await _others_turn(body)
    jobs, before = bytes(said.jobs), _before_jobs(body)
    end = before.end() + len(jobs) if before else 0
    after = _after_jobs(body, end) if before and body.startswith(jobs, before.end()) else None
    if before is None or after is None or (before[1] and after[1]):
        # Known names, but in an unusual spelling, or more than once.
        if len(body) > LOOKED_AT_BYTES:
            detail = 'The members "jobs" and "atomic" must come once each, spelled plainly.'
            raise Problem(400, "duplicate_key", detail)
        strict.check(body)
    return Batch(await split(jobs, "/jobs"), said.atomic)


async def split(array: bytes, pointer: str = "") -> list[Raw]:
    """Return the parts of a JSON array, 1..MAX_JOBS. Raises: Problem (400: no JSON; 422: no array, or too long)."""
    try:
        many = array.count(b",") > MAX_UNCOUNTED and len(_shapes(array)) > MAX_JOBS
        await _others_turn(array)
        found = [] if many else _parts(array)
    except msgspec.ValidationError as error:
        place = re.search(r"`\$\[(\d+)\]", str(error))
        if place is None:
            raise invalid([Fault(pointer, _TOO_MANY)]) from None
        raise invalid([Fault(f"{pointer}/{place[1]}", "must be a JSON object with a type")]) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _no_json(array, error) from None
    if not 1 <= len(found) <= MAX_JOBS:
        raise invalid([Fault(pointer, _TOO_MANY)])
    return found


async def _others_turn(text: bytes) -> None:
    """Between two looks at the whole of a large ``text``, some 30 ms each."""
    if len(text) > LOOKED_AT_BYTES:
        await trio.lowlevel.checkpoint()


def _refused(body: bytes, error: Exception) -> Problem:
    """Return what is wrong with the body of a batch that msgspec has not read."""
    if not isinstance(error, msgspec.ValidationError):
        return _no_json(body, error)
    if len(body) > LOOKED_AT_BYTES:
        return invalid([Fault("", f"cannot be taken: {error}")])
    try:
        strict.check(body)
    except Problem as problem:
        return problem
    return invalid(field_faults(body, _Body, RULES))


def _no_json(text: bytes, error: Exception) -> Problem:
    """Return why ``text``, of which msgspec says ``error``, is no JSON."""
    if len(text) <= LOOKED_AT_BYTES:
        try:
            strict.check(text)
        except Problem as problem:
            return problem
    return Problem(400, "invalid_json", f"The body cannot be read as JSON: {error}.")
