"""The query of ``GET /statistics`` and of ``GET /marks`` → a span of steps, or of time."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from quart import Request

from tickr.api import incoming, listing
from tickr.api.listing import instant, instant_in
from tickr.api.parameters import Parameter, flag
from tickr.api.problems import Fault, Problem
from tickr.api.submission import LATEST_US
from tickr.store.contract import Span
from tickr.tallies import Step

DEFAULT_POINTS, MAX_POINTS = 60, 1_500
"""Steps of one answer."""
MAX_NAMES = 100
"""Queues, and types, that may be asked for by name."""
FOREVER_US = 2**62

By = Literal["queue", "type"]
STEP = Parameter("step", Step, f"must be {', '.join(Step)}", "How long a step is, in UTC.", default=Step.MINUTE)
SINCE = instant("since", "From this instant on, rounded to a whole step; else the last 60 steps.")
UNTIL = instant("until", "Before this instant; else until now.")
BY = Parameter("by", By, "must be queue or type", "One series for each queue, or type, instead of one in all.")
QUEUES = listing.QUEUE._replace(about="Only what was done in this queue.", most=MAX_NAMES)
TYPES = listing.TYPE._replace(about="Only what jobs of this type did.", most=MAX_NAMES)
POINTS = flag("points", "Whether each step is told, or totals alone.", default="true")
PARAMETERS = (STEP, SINCE, UNTIL, QUEUES, TYPES, BY, POINTS)
MARKS_SINCE = instant("since", "Only marks from this instant on.")
MARKS_UNTIL = instant("until", "Only marks before this instant.")


class StatisticsQuery(NamedTuple):
    """What is asked for. ``by``: one series for each queue, or type; None: one in all. ``points``: or totals alone."""

    span: Span
    by: By | None
    points: bool = True


def read_statistics(request: Request, now: int) -> StatisticsQuery:
    """Return what the query asks for. ``now``: microseconds UTC. Raises: Problem (400, 422) with every fault found."""
    incoming.known_query(request, PARAMETERS)
    many, faults = request.args.getlist, list[Fault]()
    for parameter in (STEP, BY, QUEUES, TYPES, POINTS):
        faults += parameter.faults(request.args)
    since, until = (instant_in(request.args, one, faults) for one in (SINCE, UNTIL))
    if faults:
        raise incoming.bad_query(faults)
    step, by = Step(request.args.get("step", STEP.default)), cast("By | None", request.args.get("by"))
    end = step.begin(min((now if until is None else until) + step.length_us - 1, LATEST_US))
    begin = end - DEFAULT_POINTS * step.length_us if since is None else step.begin(since)
    _check_length((end - begin) // step.length_us)
    queues, types = (tuple(sorted(set(many(name)))) for name in ("queue", "type"))
    return StatisticsQuery(Span(step, begin, end, queues, types), by, points=request.args.get("points") != "false")


def read_marks(request: Request) -> tuple[int, int]:
    """Return from when on and before when marks are asked for, microseconds UTC. Raises: Problem (400)."""
    incoming.known_query(request, (MARKS_SINCE, MARKS_UNTIL))
    faults: list[Fault] = []
    since, until = (instant_in(request.args, one, faults) for one in (MARKS_SINCE, MARKS_UNTIL))
    if faults:
        raise incoming.bad_query(faults)
    return -FOREVER_US if since is None else since, FOREVER_US if until is None else until


def _check_length(points: int) -> None:
    if points < 1:
        raise incoming.bad_query([Fault("/until", "must be later than since")])
    if points > MAX_POINTS:
        told = f"These are {points:,} steps, more than the {MAX_POINTS:,} of one answer: ask for longer steps."
        raise Problem(422, "too_many_points", told, faults=[Fault("/since", "is too long before until for such steps")])
