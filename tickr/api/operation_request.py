"""The body of ``POST /operations`` → a checked ``Operation``.

Bytes come in, already known to be strict JSON. The filter has the names and values of the query of ``GET /jobs``, each
one value or several; everything that is wrong is told at once, each fault with a pointer and one sentence. Pure: the
clock is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import uuid_utils
from msgspec import UNSET, Meta, Raw, UnsetType

from tickr import jobs, operations, schedules
from tickr.api import edit_request
from tickr.api.jobs import CANCELLATION_RULES, MAX_REASON_LENGTH, REASON_LINE
from tickr.api.listing import (
    ERROR_RULE,
    LABEL_RULE,
    PART_RULE,
    PAYLOAD_PART,
    SCHEDULE_RULE,
    is_kind,
    is_label,
    label_of,
    payload_faults,
)
from tickr.api.places import pointer
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.submission import RULES, UUID, field_faults, micros, whole
from tickr.edits import NO_EDIT, Edit
from tickr.filters import Filter
from tickr.jobs import State
from tickr.operations import DEFAULT_RATE, MAX_IDS, MAX_RATE, MIN_RATE, Action, Operation

MAX_VALUES = 100
"""Values of one field of a filter."""

Value = TypeVar("Value")
Id = Annotated[str, whole(UUID)]
Instant = Annotated[datetime, Meta(tz=True)]
_SOME = Meta(min_length=1, max_length=MAX_VALUES)
Texts = str | Annotated[list[str], _SOME]
# No patterns in there: msgspec 0.22 crashes the process as it lets go of a union of a text with a pattern and a list.


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs, as a client says it."""

    state: State | Annotated[list[State], _SOME] | UnsetType = UNSET
    type: Texts | UnsetType = UNSET
    queue: Texts | UnsetType = UNSET
    label: Texts | UnsetType = UNSET
    error: Texts | UnsetType = UNSET
    schedule: Texts | UnsetType = UNSET
    parent: Id | UnsetType = UNSET
    payload: dict[str, Raw] | UnsetType = UNSET
    payload_parts: Texts | UnsetType = msgspec.field(default=UNSET, name=PAYLOAD_PART)
    created_after: Instant | UnsetType = UNSET
    created_before: Instant | UnsetType = UNSET
    finished_after: Instant | UnsetType = UNSET
    finished_before: Instant | UnsetType = UNSET
    ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_IDS)] | UnsetType = UNSET


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation as a client asks for it."""

    action: Action
    filter: Raw = Raw(b"{}")
    all: bool = False
    dry_run: bool = False
    rate: Annotated[float, Meta(ge=MIN_RATE, le=MAX_RATE)] = DEFAULT_RATE
    reason: Annotated[str, Meta(max_length=MAX_REASON_LENGTH, pattern=REASON_LINE)] | UnsetType = UNSET
    changes: Raw | UnsetType = UNSET
    id: Id | UnsetType = UNSET


class Asked(NamedTuple):
    """What is to be done; ``dry_run``: only how much that would be."""

    operation: Operation
    dry_run: bool


WHICH_RULES = {
    "state": f"must be one of {', '.join(State)}, or a list of them",
    "type": f"{RULES['type']}, or a list of 1 to {MAX_VALUES} such",
    "queue": f"{RULES['queue']}, or a list of 1 to {MAX_VALUES} such",
    "label": f"{LABEL_RULE}, or a list of 1 to {MAX_VALUES} such",
    "error": f"{ERROR_RULE}, or a list of 1 to {MAX_VALUES} such",
    "schedule": f"{SCHEDULE_RULE}, or a list of 1 to {MAX_VALUES} such",
    "parent": RULES["id"],
    "payload": "must be an object of paths, each with a text, number, true, false or null, or a list of such",
    PAYLOAD_PART: f"{PART_RULE}, or a list of 1 to {MAX_VALUES} such",
    **dict.fromkeys(("created_after", "created_before", "finished_after", "finished_before"), RULES["run_at"]),
    "ids": f"must be a list of 1 to {MAX_IDS} ids of jobs",
}
WISH_RULES = {
    "action": "must be retry, cancel, edit or delete",
    "filter": "must be an object with parameters of GET /jobs, and ids",
    "all": "must be true or false",
    "dry_run": "must be true or false",
    "rate": f"must be a number of jobs a second, from {MIN_RATE:g} to {MAX_RATE:g}",
    "reason": CANCELLATION_RULES["reason"],
    "changes": "must be an object with what is to be changed about each job",
    "id": RULES["id"],
}
"""What to say about a field that is wrong."""

_GOOD: dict[str, Callable[[str], bool]] = {
    "type": jobs.is_type,
    "queue": jobs.is_queue,
    "label": is_label,
    "error": is_kind,
    "schedule": schedules.is_name,
}
_STATES: dict[Action, str] = {
    action: ", ".join(state for state in State if state in allowed)
    for action, allowed in operations.ALLOWED_STATES.items()
}


def read(body: bytes, *, now: int) -> Asked:
    """Return what ``body`` (strict JSON) asks for.

    Args:
      now: microseconds UTC by the store's clock.
    Raises: Problem (422) with every fault found.
    """
    try:
        said = msgspec.json.decode(body, type=Wish)
    except msgspec.ValidationError:
        raise invalid(field_faults(body, Wish, WISH_RULES)) from None
    faults: list[Fault] = []
    which, ids = _which(said, faults)
    edit = _edit(said, now, faults)
    if said.action == "edit" and not said.dry_run and (said.changes is UNSET or bytes(said.changes).strip() == b"{}"):
        faults.append(Fault("/changes", "must say what is to be different"))
    if said.action not in ("cancel", "delete") and said.reason is not UNSET:
        faults.append(Fault("/reason", "is for cancel and delete alone"))
    if not faults and operations.unbounded(which, ids) and not (said.all or said.dry_run):
        faults.append(
            Fault("/all", 'must be true where the filter says nothing: then every job is meant ("all": true)')
        )
    if faults:
        raise invalid(faults)
    operation = Operation(
        id=str(uuid_utils.uuid7()) if said.id is UNSET else said.id.lower(),
        action=said.action,
        which=operations.filtered(said.action, which),
        ids=ids,
        edit=edit,
        reason=None if said.reason is UNSET else said.reason.strip(),
        rate=said.rate,
    )
    return Asked(operation, said.dry_run)


def _which(said: Wish, faults: list[Fault]) -> tuple[Filter, tuple[str, ...]]:
    try:
        which = msgspec.json.decode(said.filter, type=Which)
    except msgspec.ValidationError:
        found = field_faults(bytes(said.filter), Which, WHICH_RULES)
        given = msgspec.json.decode(said.filter)
        found += _text_faults(given if isinstance(given, dict) else {}, {fault.pointer for fault in found})
        faults += [Fault(f"/filter{fault.pointer}", fault.detail) for fault in found]
        return Filter(), ()
    states = _many(which.state)
    if not operations.ALLOWED_STATES[said.action].issuperset(states):
        faults.append(Fault("/filter/state", f"must be of {_STATES[said.action]} with {said.action}"))
    found = _text_faults(msgspec.structs.asdict(which))
    values, parts = _in_payload(which.payload, found), _many(which.payload_parts)
    found += payload_faults(values, parts, separator="/")
    faults += [Fault(f"/filter{fault.pointer}", fault.detail) for fault in found]
    which_jobs = Filter(
        states=states,
        types=_many(which.type),
        queues=_many(which.queue),
        labels=tuple(sorted(map(label_of, _many(which.label)), key=str)),
        errors=_many(which.error),
        schedules=_many(which.schedule),
        parent=None if which.parent is UNSET else which.parent.lower(),
        payload=tuple(sorted(set(values))),
        payload_parts=parts,
        created_after=_instant(which.created_after),
        created_before=_instant(which.created_before),
        finished_after=_instant(which.finished_after),
        finished_before=_instant(which.finished_before),
    )
    return which_jobs, tuple(sorted({one.lower() for one in which.ids})) if which.ids is not UNSET else ()


def _in_payload(given: dict[str, Raw] | UnsetType, faults: list[Fault]) -> list[tuple[str, str]]:
    """Return the paths with their values, each as the query of a list has it; what is wrong goes to ``faults``."""
    found = []
    for path, raw in () if given is UNSET else given.items():
        some = msgspec.json.decode(raw, type=list[Raw]) if bytes(raw).lstrip()[:1] == b"[" else [raw]
        for one in some:
            if bytes(one).lstrip()[:1] in (b"{", b"["):
                faults.append(Fault(f"/payload{pointer(path)}", WHICH_RULES["payload"]))
            else:
                found.append((path, _as_said(bytes(one).strip())))
    return found


def _as_said(raw: bytes) -> str:
    return msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else raw.decode()


def _text_faults(given: Mapping[str, Any], told: Collection[str] = ()) -> list[Fault]:
    """Return what is wrong with the texts of a filter, beside what was ``told`` of it."""
    faults = []
    for name, is_good in _GOOD.items():
        texts = given.get(name)
        some = texts if isinstance(texts, list) else [texts]
        if f"/{name}" not in told and not all(is_good(text) for text in some if isinstance(text, str)):
            faults.append(Fault(f"/{name}", WHICH_RULES[name]))
    return faults


def _edit(said: Wish, now: int, faults: list[Fault]) -> Edit:
    if said.changes is UNSET:
        return NO_EDIT
    if said.action not in ("retry", "edit"):
        faults.append(Fault("/changes", "is for retry and edit alone"))
        return NO_EDIT
    try:
        return edit_request.read(bytes(said.changes), now=now)
    except Problem as problem:
        faults += [Fault(f"/changes{fault.pointer}", fault.detail) for fault in problem.faults]
        return NO_EDIT


def _many(given: Value | list[Value] | UnsetType) -> tuple[Value, ...]:
    if given is UNSET:
        return ()
    return tuple(sorted(set(given))) if isinstance(given, list) else (given,)


def _instant(at: datetime | UnsetType) -> int | None:
    return None if at is UNSET else micros(at)
