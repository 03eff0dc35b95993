"""The query of ``GET /statistics`` and of ``GET /marks`` → a span of steps, or of time."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

from quart import Request

from tickr import jobs
from tickr.api import incoming
from tickr.api.listing import instant_in
from tickr.api.problems import Fault, Problem
from tickr.api.submission import LATEST_US, RULES
from tickr.store.contract import Span
from tickr.tallies import Step

PARAMETERS = ("step", "since", "until", "queue", "type", "by", "points")
DEFAULT_POINTS, MAX_POINTS = 60, 1_500
"""Steps of one answer."""
MAX_NAMES = 100
"""Queues, and types, that may be asked for by name."""
FOREVER_US = 2**62
STEP_RULE = f"must be {', '.join(Step)}, once"
BY_RULE = "must be queue or type, once"

By = Literal["queue", "type"]
Value = TypeVar("Value")


class StatisticsQuery(NamedTuple):
    """What is asked for. ``by``: one series for each queue, or type; None: one in all. ``points``: or totals alone."""

    span: Span
    by: By | None
    points: bool = True


def read_statistics(request: Request, now: int) -> StatisticsQuery:
    """Return what the query asks for. ``now``: microseconds UTC. Raises: Problem (400, 422) with every fault found."""
    incoming.known_query(request, PARAMETERS)
    many, faults = request.args.getlist, list[Fault]()
    step = _one_of(many("step"), {one.value: one for one in Step}, Step.MINUTE)
    by: By | None = _one_of(many("by"), {"queue": "queue", "type": "type"}, None)
    faults += [Fault("/step", STEP_RULE)] if step is None else []
    faults += [Fault("/by", BY_RULE)] if by is None and many("by") else []
    faults += [] if many("points") in ([], ["true"], ["false"]) else [Fault("/points", "must be true or false, once")]
    faults += [Fault("/queue", RULES["queue"]) for name in many("queue") if not jobs.is_queue(name)]
    faults += [Fault("/type", RULES["type"]) for name in many("type") if not jobs.is_type(name)]
    faults += [
        Fault(f"/{name}", f"may come {MAX_NAMES} times") for name in ("queue", "type") if len(many(name)) > MAX_NAMES
    ]
    since, until = (instant_in(name, many(name), faults) for name in ("since", "until"))
    if faults or step is None:
        raise incoming.bad_query(faults)
    end = step.begin(min((now if until is None else until) + step.length_us - 1, LATEST_US))
    begin = end - DEFAULT_POINTS * step.length_us if since is None else step.begin(since)
    _check_length((end - begin) // step.length_us)
    queues, types = (tuple(sorted(set(many(name)))) for name in ("queue", "type"))
    return StatisticsQuery(Span(step, begin, end, queues, types), by, points=many("points") != ["false"])


def read_marks(request: Request) -> tuple[int, int]:
    """Return from when on and before when marks are asked for, microseconds UTC. Raises: Problem (400)."""
    incoming.known_query(request, ("since", "until"))
    faults: list[Fault] = []
    since, until = (instant_in(name, request.args.getlist(name), faults) for name in ("since", "until"))
    if faults:
        raise incoming.bad_query(faults)
    return -FOREVER_US if since is None else since, FOREVER_US if until is None else until


def _check_length(points: int) -> None:
    if points < 1:
        raise incoming.bad_query([Fault("/until", "must be later than since")])
    if points > MAX_POINTS:
        told = f"These are {points:,} steps, more than the {MAX_POINTS:,} of one answer: ask for longer steps."
        raise Problem(422, "too_many_points", told, faults=[Fault("/since", "is too long before until for such steps")])


def _one_of(given: list[str], known: dict[str, Value], default: Value | None) -> Value | None:
    """Return what the one value in the query stands for; None if it stands for nothing."""
    if not given:
        return default
    return known.get(given[0]) if len(given) == 1 else None
