"""``GET /events``: the query → a selection, a place and a limit; the same for all three ways to listen."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict

from tickr import events, jobs
from tickr.api import incoming
from tickr.api.problems import Fault, Problem
from tickr.api.submission import RULES
from tickr.errors import CursorInvalid
from tickr.feed import cursor
from tickr.feed.cloudevents import name_of
from tickr.feed.feed import EARLIEST
from tickr.feed.selection import Selection
from tickr.worker.emitter import is_event_name

PATH = "/events"
EVENTS = frozenset(events.NAMES)
"""Every event there is, by its short name (``events.Event.what``)."""
FILTERS = ("job", "queue", "type", "event", "name")
NAME_RULE = "must be the name of an event of the application's own: up to 100 letters, digits and _ . : -"
MAX_VALUES = 200
"""Values of one filter."""
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000


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
    known = (*FILTERS, "after", *(("limit", "decrypt") if pages else ()))
    faults = [Fault(f"/{name}", _unknown(name)) for name in args if name not in known]
    many = args.getlist
    faults += [Fault("/job", RULES["id"]) for job in many("job") if not incoming.is_job_id(job)]
    faults += [Fault("/queue", RULES["queue"]) for name in many("queue") if not jobs.is_queue(name)]
    faults += [Fault("/type", RULES["type"]) for name in many("type") if not jobs.is_type(name)]
    faults += [Fault("/name", NAME_RULE) for name in many("name") if not is_event_name(name)]
    names = [name_of(name) for name in many("event")]
    faults += [Fault("/event", f"must be one of {', '.join(sorted(EVENTS))}") for name in names if name not in EVENTS]
    faults += [Fault(f"/{name}", f"may come {MAX_VALUES} times") for name in FILTERS if len(many(name)) > MAX_VALUES]
    if len(many("after")) > 1:
        faults.append(Fault("/after", "must come once"))
    limit = incoming.limit(many("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    if limit is None and pages:
        faults.append(Fault("/limit", f"must be a whole number from 1 to {MAX_LIMIT}, once"))
    if faults:
        raise incoming.bad_query(faults)
    selection = Selection(
        jobs=frozenset(job.lower() for job in many("job")),
        queues=frozenset(many("queue")),
        types=frozenset(many("type")),
        events=frozenset(names),
        names=frozenset(many("name")),
    )
    return EventQuery(selection, _place(args.get("after"), last_event_id), limit or DEFAULT_LIMIT)


def _unknown(name: str) -> str:
    if name in ("limit", "decrypt"):
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
