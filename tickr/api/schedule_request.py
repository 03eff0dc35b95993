"""The body of ``PUT /schedules/<name>`` → a checked ``Put``.

Bytes come in, already known to be strict JSON. The job that it describes is read by the same code as the body of
``POST /jobs``; everything that is wrong is told at once, each fault with a pointer and one sentence. Pure: the clock
and the handlers' defaults are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from tickr import next_ticks, ticks
from tickr.api import submission
from tickr.api.context import HandlerDefaults
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.submission import micros
from tickr.jobs import NewJob
from tickr.next_ticks import NextTick
from tickr.schedule_moves import Put
from tickr.schedules import MAX_TIMES, Missed, Overlap
from tickr.ticks import MAX_AHEAD_S, MIN_EVERY_S, SECOND_US, BadTiming, Timing

MAX_BODY_BYTES = 64 * 1024
"""How large a schedule may be, in bytes: it is read again for every tick."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schedule as a client describes it. Durations in seconds."""

    job: Raw
    cron: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    every: Annotated[float, Meta(ge=MIN_EVERY_S, le=MAX_AHEAD_S)] | UnsetType = UNSET
    start_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    start: Literal["now"] | UnsetType = UNSET
    end_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    times: Annotated[int, Meta(ge=1, le=MAX_TIMES)] | UnsetType = UNSET
    missed: Literal["skip", "once", "all"] = "once"
    overlap: Literal["allow", "skip"] = "allow"


RULES: dict[str, str] = {
    "job": "must be an object with the fields of POST /jobs, without those that are about one job alone",
    "cron": 'must be a cron expression, like "30 2 * * MON-FRI" or "@daily"',
    "timezone": "must be the IANA name of a time zone, like Europe/Berlin or UTC",
    "every": "must be a number of seconds from 1 to 10 years",
    "start_at": "must be an instant as in RFC 3339 with its offset, like 2030-01-31T12:00:00Z",
    "start": "must be now, for a first tick when the schedule is put",
    "end_at": "must be an instant as in RFC 3339 with its offset, like 2030-01-31T12:00:00Z",
    "times": f"must be a whole number from 1 to {MAX_TIMES:,}",
    "missed": "must be skip, once or all",
    "overlap": "must be allow or skip",
}
"""What to say about a field that is wrong."""

NOT_OF_A_TEMPLATE = {
    "id": "cannot be given: each job of a schedule has an id of its own",
    "delay": "cannot be given: each job of a schedule is due at its tick",
    "run_at": "cannot be given: each job of a schedule is due at its tick",
    "expires_at": "cannot be given: it is for one job alone",
    "expires_in": "cannot be given: the jobs of a schedule do not expire",
    "unique": "cannot be given: overlap says whether there may be several at once",
    "depends_on": "cannot be given: it is for one job alone",
    "sequence": "cannot be given: overlap says whether there may be several at once",
    "traceparent": "cannot be given: no request makes the jobs of a schedule",
    "tracestate": "cannot be given: no request makes the jobs of a schedule",
}

_decode = msgspec.json.Decoder(Description).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def read(
    body: bytes,
    name: str,
    *,
    now: int,
    defaults: Callable[[str], HandlerDefaults | None],
    next_tick: NextTick | None = None,
) -> Put:
    """Return the wish that ``body`` (strict JSON) describes for the schedule ``name``.

    Args:
      now: microseconds UTC by the store's clock.
      next_tick: gives its ticks in the place of ``cron`` or ``every``; only code can say so.
    Raises: Problem (422) with every fault found.
    """
    said = _usable(body)
    faults = submission.field_faults(body, Description, RULES)
    timing = _timing(said, now, faults) if next_tick is None else _by_function(next_tick, said, faults)
    job, given = _template(said["job"], now, defaults, faults) if "job" in said else (None, "")
    if faults or timing is None or job is None:
        raise invalid(faults[: submission.MAX_FAULTS])
    missed: Missed = said.get("missed", "once")
    overlap: Overlap = said.get("overlap", "allow")
    return Put(
        name=name,
        timing=timing,
        job=job,
        given=given,
        missed=missed,
        overlap=overlap,
        end_at=micros(said["end_at"]) if "end_at" in said else None,
        times=said.get("times"),
    )


def _usable(body: bytes) -> dict[str, Any]:
    """Return those of the fields that are good by themselves."""
    try:
        given = _fields(body)
    except msgspec.ValidationError:
        return {}
    usable: dict[str, Any] = {}
    for field in msgspec.structs.fields(Description):
        if field.name in given:
            try:
                usable[field.name] = msgspec.json.decode(given[field.name], type=field.type)
            except msgspec.ValidationError:
                continue
    return usable


def _timing(said: dict[str, Any], now: int, faults: list[Fault]) -> Timing | None:
    """Return when it is due; what is wrong with that goes to ``faults``."""
    told = {fault.pointer for fault in faults}
    if not said.keys() & {"cron", "every"} and not told & {"/cron", "/every", ""}:
        faults.append(Fault("/cron", "is required, or every"))
    if {"cron", "every"} <= said.keys():
        faults.append(Fault("/every", "cannot be given together with cron"))
    if {"timezone", "every"} <= said.keys():
        faults.append(Fault("/timezone", "is for cron alone; an interval has no need of it"))
    if {"start_at", "cron"} <= said.keys():
        faults.append(Fault("/start_at", "is for every alone"))
    start_at = micros(said["start_at"]) if "start_at" in said else None
    if start_at is not None and start_at > now + MAX_AHEAD_S * SECOND_US:
        faults.append(Fault("/start_at", "must not be more than 10 years ahead"))
    if {"start", "start_at"} <= said.keys():
        faults.append(Fault("/start", "cannot be given together with start_at"))
    if start_at is not None and "end_at" in said and micros(said["end_at"]) < start_at:
        faults.append(Fault("/end_at", "must not be before start_at"))
    start_now = "start" in said
    if "cron" in said:
        return _cron(said, now, start_now, faults)
    if "every" not in said:
        return None
    return Timing(every_us=round(said["every"] * SECOND_US), start_at=start_at, start_now=start_now)


def _by_function(function: NextTick, said: dict[str, Any], faults: list[Fault]) -> Timing:
    if "start_at" in said:
        faults.append(Fault("/start_at", "is for every alone"))
    timezone = said.get("timezone", "UTC")
    try:
        ticks.zone_of(timezone)
    except BadTiming as error:
        faults.append(Fault(error.pointer, error.problem))
    return Timing(
        cron=ticks.BY_FUNCTION,
        timezone=timezone,
        start_now="start" in said,
        function=next_ticks.name_of(function),
        code=next_ticks.code_of(function),
    )


def _cron(said: dict[str, Any], now: int, start_now: bool, faults: list[Fault]) -> Timing:
    cron = " ".join(said["cron"].split())
    timing = Timing(cron=cron, timezone=said.get("timezone", "UTC"), start_now=start_now)
    for part in (timing, Timing(cron=timing.cron)):  # the expression also where the zone is at fault
        try:
            ticks.check(part, now)
            break
        except BadTiming as error:
            if (fault := Fault(error.pointer, error.problem)) not in faults:
                faults.append(fault)
    return timing


def _template(
    raw: Raw, now: int, defaults: Callable[[str], HandlerDefaults | None], faults: list[Fault]
) -> tuple[NewJob | None, str]:
    """Return what the jobs are like, and the same as it was written; what is wrong with it goes to ``faults``."""
    try:
        given = _fields(raw)
    except msgspec.ValidationError:
        faults.append(Fault("/job", RULES["job"]))
        return None, ""
    refused = [name for name in given if name in NOT_OF_A_TEMPLATE]
    faults.extend(Fault(f"/job/{name}", NOT_OF_A_TEMPLATE[name]) for name in refused)
    taken = msgspec.json.encode({name: value for name, value in given.items() if name not in refused})
    # Without blanks between the tokens, so that these alone make no other schedule; numbers stay as they are.
    body = msgspec.json.format(taken, indent=-1)
    try:
        job = submission.read(body, now=now, defaults=defaults)
    except Problem as problem:
        faults.extend(Fault(f"/job{fault.pointer}", fault.detail) for fault in problem.faults)
        return None, ""
    # What its handler would have it unique by is for submissions: of ticks, ``overlap`` says how many there may be.
    extras = msgspec.structs.replace(job.extras, unique=None)
    return msgspec.structs.replace(job, id="", wish=None, extras=extras), body.decode()
