"""``GET /events``: the query → a selection, a place and a limit; the same for all three ways to listen."""

from __future__ import annotations

from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

from msgspec import Meta
from werkzeug.datastructures import MultiDict

from tickr import events
from tickr.api import incoming, listing, parameters
from tickr.api.parameters import Parameter
from tickr.api.problems import Fault, Problem
from tickr.api.submission import RULES
from tickr.errors import CursorInvalid
from tickr.feed import cursor
from tickr.feed.cloudevents import name_of
from tickr.feed.feed import EARLIEST
from tickr.feed.selection import Selection
from tickr.worker.emitter import NAME_PATTERN

PATH = "/events"
EVENTS = frozenset(events.NAMES)
"""Every event there is, by its short name (``events.Event.what``)."""
NAME_RULE = "must be the name of an event of the application's own: up to 100 letters, digits and _ . : -"
MAX_VALUES = 200
"""Values of one filter."""


def _is_event(text: str) -> bool:
    return name_of(text) in EVENTS


JOB = Parameter("job", listing.Id, RULES["id"], "Only events of this job.", most=MAX_VALUES)
QUEUE = listing.QUEUE._replace(about="Only events of jobs of this queue.", most=MAX_VALUES)
TYPE = listing.TYPE._replace(about="Only events of jobs of this type.", most=MAX_VALUES)
EVENT = Parameter(
    "event",
    Annotated[str, Meta(extra_json_schema={"enum": sorted(EVENTS)})],
    f"must be one of {', '.join(sorted(EVENTS))}",
    "Only these events, by name or type.",
    most=MAX_VALUES,
    check=_is_event,
)
NAME = Parameter(
    "name",
    Annotated[str, Meta(pattern=rf"\A(?:{NAME_PATTERN})\Z")],
    NAME_RULE,
    "Only events of the application's own with this name.",
    most=MAX_VALUES,
)
AFTER = Parameter(
    "after",
    str,
    "must be a cursor of the feed, or earliest",
    "From this place on: a cursor, or `earliest`; else from now on.",
)
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
LIMIT = parameters.limit(DEFAULT_LIMIT, MAX_LIMIT)
FILTERS = (JOB, QUEUE, TYPE, EVENT, NAME)
PARAMETERS = (*FILTERS, AFTER)
OF_PAGES = (LIMIT, parameters.DECRYPT)


class EventQuery(NamedTuple):
    """``after`` as in ``Feed.subscribe``; ``limit`` counts for pages alone."""

    selection: Selection
    after: str | None
    limit: int


def arguments(query: bytes) -> MultiDict[str, str]:
    """Return the parameters of a query as it came."""
    return MultiDict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))


def read_query(args: MultiDict[str, str], *, pages: bool, last_event_id: str | None = None) -> EventQuery:
    """Return what ``args`` ask for.

    Args:
      pages: ``limit`` may be given.
      last_event_id: the header of who comes back to a stream; goes before ``after``.
    Raises: Problem (400), with every fault found.
    """
    known = {one.name for one in (*PARAMETERS, *(OF_PAGES if pages else ()))}
    faults = [Fault(f"/{name}", _unknown(name)) for name in args if name not in known]
    many = args.getlist
    for parameter in FILTERS:
        faults += parameter.faults(args)
    if len(many("after")) > 1:
        faults.append(Fault("/after", "must come once"))
    limit = LIMIT.number(args, faults) if pages else LIMIT.default
    if faults or limit is None:
        raise incoming.bad_query(faults)
    selection = Selection(
        jobs=frozenset(job.lower() for job in many("job")),
        queues=frozenset(many("queue")),
        types=frozenset(many("type")),
        events=frozenset(map(name_of, many("event"))),
        names=frozenset(many("name")),
    )
    return EventQuery(selection, _place(args.get("after"), last_event_id), limit)


def _unknown(name: str) -> str:
    if name in (one.name for one in OF_PAGES):
        return "is for pages alone; here everything comes as it happens"
    return "is not a parameter of this call"


def _place(after: str | None, last_event_id: str | None) -> str | None:
    # A browser that has seen no id yet sends none; an empty one is as good.
    place, pointer = (last_event_id, "") if last_event_id else (after, "/after")
    if place is None or place == EARLIEST:
        return place
    try:
        cursor.read(place)
    except CursorInvalid as error:
        told = "is not a cursor of the feed" if pointer else "the header Last-Event-ID is not a cursor of the feed"
        raise Problem(400, error.code, str(error), faults=[Fault(pointer, told)]) from None
    return place
