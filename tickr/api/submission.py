"""The body of ``POST /jobs`` → a checked ``NewJob``.

Bytes come in, already known to be strict JSON. ``Submission`` says what a field may hold; if anything is wrong, every
field is looked at again on its own, so that all faults are told at once, each with a pointer and one sentence.
Pure: the clock and the handlers' defaults are handed in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import uuid_utils
from msgspec import UNSET, Meta, Raw, UnsetType

from tickr import jobs, traces
from tickr.api import keys
from tickr.api.context import HandlerDefaults
from tickr.api.keys import UniqueWish
from tickr.api.places import pointer
from tickr.api.problems import Fault, invalid
from tickr.api.wire import EPOCH
from tickr.encoding import Unencodable, encode
from tickr.jobs import DEFAULT_MAX_CRASHES, MAX_ATTEMPTS, MAX_KEEP_S, MAX_TIMEOUT_S, NO_EXTRAS, Extras, NewJob
from tickr.links import MAX_DEPENDENCIES, Dependencies, OnFailure
from tickr.retry import DEFAULT, MAX_DELAY_S, Backoff
from tickr.traces import MAX_STATE, TRACEPARENT_PATTERN, TRACESTATE_PATTERN, Trace
from tickr.worker.wishes import LOWEST_PRIORITY, Unique

LATER_THAN_DUE = "must be later than the job is due"
MAX_LABELS = 16
MAX_FAULTS = 100
"""Faults of one body that are looked for: the words for each take time, and a body has room for very many."""

LABEL_NAME = r"[A-Za-z0-9_.-]{1,64}"
LABEL_VALUE_LENGTH = 256
UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"

Record = TypeVar("Record", bound=msgspec.Struct)
Value = TypeVar("Value")


def whole(pattern: str, *, most: int | None = None) -> Meta:
    # "$" would let a trailing newline through.
    return Meta(pattern=rf"\A(?:{pattern})\Z", max_length=most)


JobType = Annotated[str, whole(jobs.TYPE_PATTERN)]
Text = Annotated[str, Meta(max_length=LABEL_VALUE_LENGTH)]
Labels = Annotated[dict[Annotated[str, whole(LABEL_NAME)], Text], Meta(max_length=MAX_LABELS)]


Ids = Annotated[list[Annotated[str, whole(UUID)]], Meta(max_length=MAX_DEPENDENCIES)]


class DependsOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The field ``depends_on`` of a submission, where it says more than which jobs."""

    jobs: Ids
    on_failure: OnFailure = OnFailure.FAIL


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job as a client describes it. Durations in seconds."""

    type: JobType
    payload: Raw = Raw(b"{}")
    queue: Annotated[str, whole(jobs.QUEUE_PATTERN)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=LOWEST_PRIORITY)] | UnsetType = UNSET
    delay: Annotated[float, Meta(ge=0, le=MAX_DELAY_S)] | UnsetType = UNSET
    run_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    expires_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    expires_in: Annotated[float, Meta(gt=0, le=MAX_DELAY_S)] | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] | UnsetType = UNSET
    max_crashes: Annotated[int, Meta(ge=0, le=DEFAULT_MAX_CRASHES)] | UnsetType = UNSET
    timeout: Annotated[float, Meta(gt=0, le=MAX_TIMEOUT_S)] | UnsetType = UNSET
    keep: Annotated[float, Meta(ge=0, le=MAX_KEEP_S)] | UnsetType = UNSET
    backoff: Backoff | Literal["constant", "linear", "exponential"] | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    limit_key: Annotated[str, whole(jobs.LIMIT_KEY_PATTERN)] | UnsetType = UNSET
    id: Annotated[str, whole(UUID)] | UnsetType = UNSET
    traceparent: Annotated[str, whole(TRACEPARENT_PATTERN, most=MAX_STATE)] | UnsetType = UNSET
    tracestate: Annotated[str, whole(TRACESTATE_PATTERN, most=MAX_STATE)] | UnsetType = UNSET
    unique: UniqueWish | UnsetType = UNSET
    depends_on: Ids | DependsOn | UnsetType = UNSET
    sequence: Annotated[str, whole(jobs.LIMIT_KEY_PATTERN)] | UnsetType = UNSET


RULES: dict[str, str] = {
    "type": "must be 1 to 128 letters, digits or _ . : / -, beginning with a letter or digit",
    "queue": "must be 1 to 64 letters, digits or _ . : -, beginning with a letter or digit",
    "priority": "must be a whole number from 0 (runs first) to 9",
    "delay": "must be a number of seconds from 0 to 100 years",
    "run_at": "must be an instant as in RFC 3339 with its offset, like 2030-01-31T12:00:00Z",
    "expires_at": "must be an instant as in RFC 3339 with its offset, like 2030-01-31T12:00:00Z",
    "expires_in": "must be a number of seconds above 0, at most 100 years",
    "max_attempts": f"must be a whole number from 1 to {MAX_ATTEMPTS}",
    "max_crashes": f"must be a whole number from 0 (never again after a crash) to {DEFAULT_MAX_CRASHES}",
    "timeout": "must be a number of seconds above 0, at most 30 days",
    "keep": "must be a number of seconds from 0 to 10 years",
    "backoff": 'must be "constant", "linear", "exponential", or an object of kind, base, factor, cap and jitter',
    "labels": f"must be an object of at most {MAX_LABELS} strings; names are 1 to 64 letters, digits or _ . -, "
    f"values at most {LABEL_VALUE_LENGTH} characters",
    "limit_key": "must be 1 to 128 printable ASCII characters without spaces",
    "id": "must be a UUID like 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c",
    "traceparent": "must be like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 (W3C Trace Context)",
    "tracestate": f"must be at most 32 entries like rojo=00f067aa0ba902b7, {MAX_STATE} characters in all",
    "unique": keys.RULE,
    "depends_on": f"must be a list of at most {MAX_DEPENDENCIES} ids of jobs (UUIDs), or an object of jobs, such a "
    'list, and on_failure ("fail", "cancel" or "run")',
    "sequence": "must be 1 to 128 printable ASCII characters without spaces",
}
"""What to say about a field that is wrong."""

_decode = msgspec.json.Decoder(Submission).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
labels_text = msgspec.json.Encoder(order="deterministic").encode
_MICROSECOND = timedelta(microseconds=1)
LATEST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
"""The last instant that can be told, in microseconds UTC."""


def read(
    body: bytes, *, now: int, defaults: Callable[[str], HandlerDefaults | None], trace: Trace | None = None
) -> NewJob:
    """Return the job that ``body`` (strict JSON) describes.

    Args:
      now: microseconds UTC by the store's clock; bounds ``run_at``.
      trace: of the request; counts where the job has none of its own.
    Raises: Problem (422) with every fault found.
    """
    try:
        said = _decode(body)
    except msgspec.ValidationError:
        raise invalid(all_faults(body, Submission, RULES, now)) from None
    return checked(said, now=now, defaults=defaults, trace=trace)


def checked(
    said: Submission, *, now: int, defaults: Callable[[str], HandlerDefaults | None], trace: Trace | None = None
) -> NewJob:
    """Return the job that ``said`` describes, of which each field is good by itself. See ``read``."""
    more = said.delay is not UNSET or said.run_at is not UNSET or said.backoff is not UNSET
    more = more or said.expires_at is not UNSET or said.expires_in is not UNSET
    if more and (faults := further_faults(msgspec.structs.asdict(said), now)):
        raise invalid(faults)
    return new_job(said, defaults(said.type), trace)


def all_faults(body: bytes, kind: type[msgspec.Struct], rules: dict[str, str], now: int) -> list[Fault]:
    """Return what is wrong with ``body``, of which a field is not good by itself."""
    return [*field_faults(body, kind, rules), *further_faults(_usable(body), now)]


def write(fields: dict[str, Any]) -> bytes:
    """Return the body that says ``fields``, for a program that submits without HTTP.

    Raises: Problem (422): there is no JSON for a value, with a pointer to it. The rest is ``strict``'s and ``read``'s.
    """
    try:
        return encode(fields)
    except Unencodable as error:
        raise invalid([Fault(error.pointer, error.detail)]) from error


def read_record(body: bytes, kind: type[Record], rules: dict[str, str]) -> Record:
    """Return the record of ``kind`` that ``body`` (strict JSON) describes. Raises: Problem (422), all faults told."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise invalid(field_faults(body, kind, rules)) from None


def field_faults(body: bytes, kind: type[msgspec.Struct], rules: dict[str, str]) -> list[Fault]:
    """Return what is wrong with ``body`` as a record of ``kind``, field by field in the order of the body.

    Args:
      rules: what each field must be, by its name; ``field.inner``: what that must be within it, whatever holds it.
    """
    try:
        given = _fields(body)
    except msgspec.ValidationError:
        return [Fault("", "must be a JSON object")]
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    faults = [Fault(f"/{name}", "is required") for name, f in known.items() if f.required and name not in given]
    for name, raw in given.items():
        if len(faults) >= MAX_FAULTS:
            break
        if name not in known:
            faults.append(Fault(pointer(name), f"is not known here{_near(name, known)}"))
            continue
        try:
            msgspec.json.decode(raw, type=known[name].type)
        except msgspec.ValidationError as error:
            inner = _inner(str(error))
            rule = rules.get(f"{name}.{inner.rpartition('/')[2]}", rules[name])
            faults.append(Fault(pointer(name) + inner, rule))
    return faults


def _near(name: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name[:64], known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _inner(message: str) -> str:
    """Return the pointer below the field out of msgspec's message, which ends like ``- at `$[2].base```."""
    found = re.search(r"`\$((?:\.\w+|\[\d+\])+)`$", message)
    return found[1].replace(".", "/").replace("[", "/").replace("]", "") if found else ""


def _usable(body: bytes) -> dict[str, Any]:
    """Return those of the fields in ``further_faults`` that can be read in a body with faults elsewhere."""
    try:
        given = _fields(body)
    except msgspec.ValidationError:
        return {}
    usable: dict[str, Any] = {}
    for field in msgspec.structs.fields(Submission):
        if field.name in _NOT_ALONE and field.name in given:
            try:
                usable[field.name] = msgspec.json.decode(given[field.name], type=field.type)
            except msgspec.ValidationError:
                continue
    return usable


_NOT_ALONE = frozenset({"delay", "run_at", "expires_at", "expires_in", "backoff"})


def further_faults(said: dict[str, Any], now: int) -> list[Fault]:
    """Return the faults that one field alone does not show: they need the clock, or another field."""
    delay, run_at, backoff = said.get("delay", UNSET), said.get("run_at", UNSET), said.get("backoff", UNSET)
    due = now + span(delay) if run_at is UNSET else max(now, micros(run_at))
    faults = []
    if delay is not UNSET and run_at is not UNSET:
        faults.append(Fault("/run_at", "cannot be given together with delay"))
    if run_at is not UNSET and micros(run_at) > now + int(MAX_DELAY_S) * 1_000_000:
        faults.append(Fault("/run_at", "must not be more than 100 years ahead"))
    faults.extend(_expiry_faults(said.get("expires_at", UNSET), said.get("expires_in", UNSET), now, due))
    if isinstance(backoff, Backoff):
        faults.extend(Fault(f"/backoff/{field}", problem) for field, problem in backoff.faults())
    return faults


def _expiry_faults(at: datetime | UnsetType, within: float | UnsetType, now: int, due: int) -> Iterator[Fault]:
    """Yield what is wrong with when a job expires that is due at ``due``, both microseconds UTC."""
    if at is not UNSET:
        if within is not UNSET:
            yield Fault("/expires_at", "cannot be given together with expires_in")
        elif micros(at) > now + int(MAX_DELAY_S) * 1_000_000:
            yield Fault("/expires_at", "must not be more than 100 years ahead")
        elif micros(at) <= due:
            yield Fault("/expires_at", LATER_THAN_DUE)
    elif within is not UNSET and now + max(1, span(within)) <= due:
        yield Fault("/expires_in", LATER_THAN_DUE)


def span(seconds: float | UnsetType) -> int:
    return 0 if seconds is UNSET else round(seconds * 1_000_000)


def micros(at: datetime) -> int:
    # What lies before 1970 is due at once like everything past; the index orders no negative instants. And by its
    # offset an instant may lie after the last year that can be told.
    return min(max(0, (at - EPOCH) // _MICROSECOND), LATEST_US)


def new_job(said: Submission, handler: HandlerDefaults | None, trace: Trace | None = None) -> NewJob:
    """Return the job for a submission without faults; ``handler`` is the one of its type on this node, if any."""
    wishes = handler or _NO_WISHES
    timeout_s = _first(said.timeout, wishes.timeout, jobs.DEFAULT_TIMEOUT_S)
    backoff = Backoff(kind=said.backoff) if isinstance(said.backoff, str) else said.backoff
    new = NewJob(
        id=str(uuid_utils.uuid7()) if said.id is UNSET else said.id.lower(),
        chosen_id=said.id is not UNSET,
        type=said.type,
        queue=_first(said.queue, wishes.queue, jobs.DEFAULT_QUEUE),
        priority=_first(said.priority, wishes.priority, jobs.DEFAULT_PRIORITY),
        payload=bytes(said.payload).decode(),
        delay_us=span(said.delay),
        run_at=None if said.run_at is UNSET else micros(said.run_at),
        expires_in_us=None if said.expires_in is UNSET else max(1, span(said.expires_in)),
        max_attempts=_first(said.max_attempts, wishes.max_attempts, jobs.DEFAULT_MAX_ATTEMPTS),
        # At least a microsecond, like the above: a timeout of 0 would be none at all.
        timeout_us=max(1, round(timeout_s * 1_000_000)),
        backoff=_first(backoff, wishes.backoff, DEFAULT),
        labels=labels_text(said.labels).decode() if said.labels else None,
        limit_key=None if said.limit_key is UNSET else said.limit_key,
        extras=_extras(
            said, trace, _first(said.max_crashes, wishes.max_crashes, None), _first(said.keep, wishes.keep, None)
        ),
    )
    if said.depends_on is not UNSET:
        new = _dependent(said.depends_on, new)
    derived = said.unique is UNSET
    unique = keys.wish_of(wishes.unique, new) if said.unique is UNSET else said.unique
    if unique is not None:
        new = keys.held_by(unique, new, derived=derived)
    return new if said.sequence is UNSET else keys.in_sequence(said.sequence, new)


def _dependent(said: list[str] | DependsOn, new: NewJob) -> NewJob:
    """Return ``new`` with what it depends on: each job once. Nobody waits for an empty list."""
    jobs, policy = (said, OnFailure.FAIL) if isinstance(said, list) else (said.jobs, said.on_failure)
    if not jobs:
        return new
    after = Dependencies(tuple(dict.fromkeys(id_.lower() for id_ in jobs)), policy)
    extras = msgspec.structs.replace(new.extras, depends_on=after)
    return msgspec.structs.replace(new, extras=extras)


def _extras(said: Submission, trace: Trace | None, max_crashes: int | None, keep_s: float | None) -> Extras:
    plain = trace is None and said.traceparent is UNSET and said.expires_at is UNSET
    if plain and max_crashes is None and keep_s is None:
        return NO_EXTRAS
    if said.traceparent is not UNSET:
        trace = traces.read([said.traceparent], [] if said.tracestate is UNSET else [said.tracestate])
    return Extras(
        expires_at=None if said.expires_at is UNSET else micros(said.expires_at),
        traceparent=trace.traceparent if trace else None,
        tracestate=trace.tracestate if trace else None,
        keep_us=None if keep_s is None else span(keep_s),
        max_crashes=max_crashes,
    )


class _NoWishes(msgspec.Struct, frozen=True):
    timeout: float | None = None
    max_attempts: int | None = None
    max_crashes: int | None = None
    keep: float | None = None
    queue: str | None = None
    priority: int | None = None
    unique: Unique | None = None
    backoff: Backoff | None = None


_NO_WISHES = _NoWishes()


def _first(said: Value | UnsetType, wished: Value | None, default: Value) -> Value:
    if said is not UNSET:
        return said
    return default if wished is None else wished
