"""``GET /jobs``: the query → a filter, a limit and a place; and the opaque cursor that names the place.

Pages are keyset pages, newest first: the cursor holds the ``(created_at, id)`` of the last job that was looked at, so
jobs that come or go between two pages neither shift nor repeat the others. It is bound to its filter by a checksum,
which also tells a mangled cursor from a good one; it is no secret and grants nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from quart import Request

from tickr import jobs, schedules
from tickr.api import incoming
from tickr.api.places import SURROGATE, pointer
from tickr.api.problems import Fault, Problem
from tickr.api.submission import LABEL_NAME, LABEL_VALUE_LENGTH, RULES, UUID, micros
from tickr.jobs import State
from tickr.keys import MAX_KEY_LENGTH, Unique
from tickr.payload_search import (
    MAX_CONDITIONS,
    MAX_PATH_LENGTH,
    MAX_STEPS,
    MAX_VALUE_LENGTH,
    is_part,
    is_path,
    is_value,
)
from tickr.store.contract import Filter, Place

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
INSTANTS = ("created_after", "created_before", "finished_after", "finished_before")
IN_PAYLOAD, PAYLOAD_PART = "payload.", "payload~"
FILTERS = ("type", "queue", "label", "error", "schedule", "parent", PAYLOAD_PART, *INSTANTS)
"""The parameters that choose jobs, beside ``state``."""
PARAMETERS = ("state", *FILTERS, "limit", "cursor", "unique_key")
_CHECKSUM_BYTES = 6
_STATES = frozenset(State)

LABEL_RULE = "must be name or name=value"
ERROR_RULE = "must be the kind of an error, like exception or timeout"
SCHEDULE_RULE = "must be the name of a schedule"
PATH_RULE = f"must be at most {MAX_STEPS} keys and places joined by dots, {MAX_PATH_LENGTH} characters in all"
VALUE_RULE = f"must be at most {MAX_VALUE_LENGTH} characters"
PART_RULE = f"must be 1 to {MAX_VALUE_LENGTH} characters"
Instant = Annotated[datetime, Meta(tz=True)]

_is_kind = re.compile(r"[a-z][a-z0-9_]{0,63}").fullmatch
_is_id = re.compile(UUID).fullmatch
_is_label_name = re.compile(LABEL_NAME).fullmatch


class Query(NamedTuple):
    """One question for a list; ``before`` as in ``Store.list_jobs``. ``unique``: for the job that holds it, alone."""

    which: Filter
    limit: int
    before: Place | None
    unique: Unique | None = None


class _Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    created_at: int
    id: str


def read_query(request: Request) -> Query:
    """Return what the query asks for. Raises: Problem (400) with every fault found."""
    known_query(request, PARAMETERS)
    many, faults = request.args.getlist, list[Fault]()
    which = read_filter(request, faults)
    limit = incoming.limit(many("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    if limit is None:
        faults.append(Fault("/limit", f"must be a whole number from 1 to {MAX_LIMIT}, once"))
    if len(many("cursor")) > 1:
        faults.append(Fault("/cursor", "must come once"))
    keys = many("unique_key")
    if keys and (len(keys) > 1 or len(request.args) > 1 or not _is_key(keys[0])):
        faults.append(Fault("/unique_key", f"must be 1 to {MAX_KEY_LENGTH} characters, and the only parameter"))
    if faults or limit is None or which is None:
        raise incoming.bad_query(faults)
    cursor = request.args.get("cursor")
    before = None if cursor is None else place_of(cursor, which)
    return Query(which, limit, before, Unique(keys[0]) if keys else None)


def known_query(request: Request, known: Collection[str]) -> None:
    """Return if the query has no other parameters than ``known`` and paths in payloads. Raises: Problem (400)."""
    paths = [name for name in request.args if name.startswith(IN_PAYLOAD)]
    incoming.known_query(request, (*known, *paths))


def read_filter(request: Request, faults: list[Fault]) -> Filter | None:
    """Return which jobs the query asks for; what is wrong with that goes to ``faults``, and there is None."""
    many, before = request.args.getlist, len(faults)
    faults += [Fault("/state", f"must be one of {', '.join(State)}") for s in many("state") if s not in _STATES]
    faults += [Fault("/type", RULES["type"]) for name in many("type") if not jobs.is_type(name)]
    faults += [Fault("/queue", RULES["queue"]) for name in many("queue") if not jobs.is_queue(name)]
    faults += [Fault("/label", LABEL_RULE) for label in many("label") if not is_label(label)]
    faults += [Fault("/error", ERROR_RULE) for kind in many("error") if not is_kind(kind)]
    faults += [Fault("/schedule", SCHEDULE_RULE) for name in many("schedule") if not schedules.is_name(name)]
    parent = _parent(many("parent"), faults)
    faults += payload_faults(_in_payload(request), many(PAYLOAD_PART))
    instants = {name: instant_in(name, many(name), faults) for name in INSTANTS}
    if len(faults) > before:
        return None
    return Filter(
        states=tuple(sorted({State(state) for state in many("state")})),
        types=tuple(sorted(set(many("type")))),
        queues=tuple(sorted(set(many("queue")))),
        labels=tuple(sorted({label_of(label) for label in many("label")}, key=str)),
        errors=tuple(sorted(set(many("error")))),
        schedules=tuple(sorted(set(many("schedule")))),
        parent=parent,
        payload=tuple(sorted(set(_in_payload(request)))),
        payload_parts=tuple(sorted(set(many(PAYLOAD_PART)))),
        **instants,
    )


def _parent(given: list[str], faults: list[Fault]) -> str | None:
    if len(given) == 1 and _is_id(given[0]):
        return given[0].lower()
    if given:
        faults.append(Fault("/parent", f"{RULES['id']}, once"))
    return None


def _in_payload(request: Request) -> list[tuple[str, str]]:
    """Return the paths in payloads that the query names, with their values."""
    return [
        (name.removeprefix(IN_PAYLOAD), value)
        for name in request.args
        if name.startswith(IN_PAYLOAD)
        for value in request.args.getlist(name)
    ]


def payload_faults(values: Sequence[tuple[str, str]], parts: Sequence[str], separator: str = ".") -> Iterator[Fault]:
    """Yield what is wrong with what payloads are searched for. ``separator``: between ``payload`` and a path."""
    for path, value in values:
        place = f"/payload{separator}{pointer(path).removeprefix('/')}"
        if not is_path(path):
            yield Fault(place, PATH_RULE)
        elif not is_value(value):
            yield Fault(place, VALUE_RULE)
    if not all(map(is_part, parts)):
        yield Fault("/payload~0", PART_RULE)
    if len(values) + len(parts) > MAX_CONDITIONS:
        yield Fault("/payload", f"may be searched for {MAX_CONDITIONS} values and texts at most")


def instant_in(name: str, given: list[str], faults: list[Fault]) -> int | None:
    """Return the one instant that is ``given`` for a parameter, microseconds UTC; None if none is, or it is faulty."""
    if not given:
        return None
    try:
        (one,) = given
        return micros(msgspec.convert(one, Instant))
    except ValueError:
        faults.append(Fault(f"/{name}", f"{RULES['run_at']}, once"))
        return None


def cursor_of(place: Place, which: Filter) -> str:
    """Return the cursor of the page that follows ``place`` in the list of ``which``."""
    written = msgspec.json.encode(_Place(1, *place))
    return base64.urlsafe_b64encode(_checksum(written, which) + written).decode().rstrip("=")


def place_of(cursor: str, which: Filter) -> Place:
    """Return the ``(created_at, id)`` in ``cursor``. Raises: Problem (400): it is none, or of another list."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw[_CHECKSUM_BYTES:], type=_Place)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise _bad_cursor() from None
    if raw[:_CHECKSUM_BYTES] != _checksum(raw[_CHECKSUM_BYTES:], which) or place.version != 1:
        raise _bad_cursor()
    return place.created_at, place.id


def _checksum(place: bytes, which: Filter) -> bytes:
    return hashlib.blake2b(place + msgspec.json.encode(which), digest_size=_CHECKSUM_BYTES).digest()


def _bad_cursor() -> Problem:
    detail = "is not a cursor of this list; pass next_cursor on as it came, with the same filters"
    return Problem(400, "invalid_cursor", "The cursor cannot be used.", faults=[Fault("/cursor", detail)])


def label_of(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def is_kind(text: str) -> bool:
    return _is_kind(text) is not None


def _is_key(text: str) -> bool:
    return 1 <= len(text) <= MAX_KEY_LENGTH and not SURROGATE.search(text)


def is_label(text: str) -> bool:
    name, value = label_of(text)
    return bool(_is_label_name(name)) and len(value or "") <= LABEL_VALUE_LENGTH and "\0" not in text
