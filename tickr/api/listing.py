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
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from quart import Request

from tickr import jobs, schedules
from tickr.api import incoming, parameters
from tickr.api.parameters import Arguments, Parameter
from tickr.api.places import SURROGATE, pointer
from tickr.api.problems import Fault, Problem
from tickr.api.submission import LABEL_NAME, LABEL_VALUE_LENGTH, RULES, UUID, micros, whole
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

MAX_LIMIT = 200
IN_PAYLOAD, PAYLOAD_PART = "payload.", "payload~"
_CHECKSUM_BYTES = 6

LABEL_RULE = "must be name or name=value"
ERROR_RULE = "must be the kind of an error, like exception or timeout"
SCHEDULE_RULE = "must be the name of a schedule"
PATH_RULE = f"must be at most {MAX_STEPS} keys and places joined by dots, {MAX_PATH_LENGTH} characters in all"
VALUE_RULE = f"must be at most {MAX_VALUE_LENGTH} characters"
PART_RULE = f"must be 1 to {MAX_VALUE_LENGTH} characters"
Instant = Annotated[datetime, Meta(tz=True)]
Id = Annotated[str, whole(UUID)]

_KIND = r"[a-z][a-z0-9_]{0,63}"
_is_kind = re.compile(_KIND).fullmatch
_is_label_name = re.compile(LABEL_NAME).fullmatch


def instant(name: str, about: str) -> Parameter:
    return Parameter(name, Instant, RULES["run_at"], about)


def _is_key(text: str) -> bool:
    return 1 <= len(text) <= MAX_KEY_LENGTH and not SURROGATE.search(text)


def is_kind(text: str) -> bool:
    return _is_kind(text) is not None


def label_of(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def is_label(text: str) -> bool:
    name, value = label_of(text)
    return bool(_is_label_name(name)) and len(value or "") <= LABEL_VALUE_LENGTH and "\0" not in text


STATE = Parameter("state", State, f"must be one of {', '.join(State)}", "Only jobs in this state.", most=None)
TYPE = Parameter("type", Annotated[str, whole(jobs.TYPE_PATTERN)], RULES["type"], "Only jobs of this type.", most=None)
QUEUE = Parameter(
    "queue", Annotated[str, whole(jobs.QUEUE_PATTERN)], RULES["queue"], "Only jobs of this queue.", most=None
)
LABEL = Parameter(
    "label",
    Annotated[str, Meta(pattern=rf"\A{LABEL_NAME}(?:=[\s\S]{{0,{LABEL_VALUE_LENGTH}}})?\Z")],
    LABEL_RULE,
    "Only jobs with this label; of several, with all of them.",
    most=None,
    check=is_label,
)
ERROR = Parameter(
    "error", Annotated[str, whole(_KIND)], ERROR_RULE, "Only jobs whose error is of this kind.", most=None
)
SCHEDULE = Parameter(
    "schedule",
    Annotated[str, whole(schedules.NAME_PATTERN)],
    SCHEDULE_RULE,
    "Only jobs that this schedule made.",
    most=None,
)
PARENT = Parameter("parent", Id, RULES["id"], "Only jobs that a handler of this job submitted.")
IN_PAYLOADS = Parameter(
    IN_PAYLOAD,
    dict[Annotated[str, Meta(pattern=r"\Apayload\.")], Annotated[str, Meta(max_length=MAX_VALUE_LENGTH)]],
    PATH_RULE,
    "Only jobs with this value in the payload: `payload.order.id=1207`. Several of one path: any of them.",
    most=None,
)
PART = Parameter(
    PAYLOAD_PART,
    Annotated[str, Meta(min_length=1, max_length=MAX_VALUE_LENGTH)],
    PART_RULE,
    "Only jobs with this text anywhere in the payload.",
    most=MAX_CONDITIONS,
)
INSTANTS = (
    instant("created_after", "Only jobs that were created then or later."),
    instant("created_before", "Only jobs that were created before."),
    instant("finished_after", "Only jobs that ended then or later."),
    instant("finished_before", "Only jobs that ended before."),
)
CHOOSING = (TYPE, QUEUE, LABEL, ERROR, SCHEDULE, PARENT, PART, *INSTANTS)
LIMIT = parameters.limit(50, MAX_LIMIT)
CURSOR = Parameter("cursor", str, "must be the next_cursor of a page of the same list", incoming.CURSOR_WORDS)
UNIQUE_KEY = Parameter(
    "unique_key",
    Annotated[str, Meta(min_length=1, max_length=MAX_KEY_LENGTH)],
    f"must be 1 to {MAX_KEY_LENGTH} characters, and the only parameter",
    "The job that holds this unique key, alone.",
    check=_is_key,
)
FILTERS = (*CHOOSING, IN_PAYLOADS)
"""The parameters that choose jobs, beside ``state``."""
PARAMETERS = (STATE, *FILTERS, LIMIT, CURSOR, UNIQUE_KEY)


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
    limit = LIMIT.number(request.args, faults)
    if len(many("cursor")) > 1:
        faults.append(Fault("/cursor", "must come once"))
    keys = many("unique_key")
    if keys and (len(keys) > 1 or len(request.args) > 1 or not _is_key(keys[0])):
        faults.append(Fault("/unique_key", UNIQUE_KEY.rule))
    if faults or limit is None or which is None:
        raise incoming.bad_query(faults)
    cursor = request.args.get("cursor")
    before = None if cursor is None else place_of(cursor, which)
    return Query(which, limit, before, Unique(keys[0]) if keys else None)


def known_query(request: Request, known: Iterable[Parameter]) -> None:
    """Return if the query has no other parameters than ``known`` and paths in payloads. Raises: Problem (400)."""
    paths = [IN_PAYLOADS._replace(name=name) for name in request.args if name.startswith(IN_PAYLOAD)]
    incoming.known_query(request, [*(one for one in known if one is not IN_PAYLOADS), *paths])


def read_filter(request: Request, faults: list[Fault]) -> Filter | None:
    """Return which jobs the query asks for; what is wrong with that goes to ``faults``, and there is None."""
    many, before = request.args.getlist, len(faults)
    parent = request.args.get(PARENT.name)
    for parameter in (STATE, TYPE, QUEUE, LABEL, ERROR, SCHEDULE, PARENT):
        faults += parameter.faults(request.args)
    faults += payload_faults(_in_payload(request), many(PAYLOAD_PART))
    instants = {one.name: instant_in(request.args, one, faults) for one in INSTANTS}
    if len(faults) > before:
        return None
    return Filter(
        states=tuple(sorted({State(state) for state in many("state")})),
        types=tuple(sorted(set(many("type")))),
        queues=tuple(sorted(set(many("queue")))),
        labels=tuple(sorted({label_of(label) for label in many("label")}, key=str)),
        errors=tuple(sorted(set(many("error")))),
        schedules=tuple(sorted(set(many("schedule")))),
        parent=None if parent is None else parent.lower(),
        payload=tuple(sorted(set(_in_payload(request)))),
        payload_parts=tuple(sorted(set(many(PAYLOAD_PART)))),
        **instants,
    )


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


def instant_in(args: Arguments, parameter: Parameter, faults: list[Fault]) -> int | None:
    """Return the instant that a query has for ``parameter``, microseconds UTC; None if it has none, or a faulty one."""
    wrong, given = [*parameter.faults(args)], args.get(parameter.name)
    faults += wrong
    return None if wrong or given is None else micros(msgspec.convert(given, Instant))


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
