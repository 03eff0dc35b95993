"""How much was done, and how long it took: ``GET /statistics``. What is answered is as new as the scheduler's sums.

Sums come from the store a page at a time and are added up to series here, as many as an answer may have; the busiest
ones, and one for all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio
from msgspec import UNSET, UnsetType
from quart import Response, request

from tickr.api import wire
from tickr.api.backlog_series import Backlog, BacklogDocument
from tickr.api.context import Context
from tickr.api.statistics_query import StatisticsQuery, read_statistics
from tickr.scopes import Scope
from tickr.store.contract import Mark, Store, SumPlace
from tickr.store.sums import MAX_MARKS
from tickr.tallies import COUNTED, Part, Step, Times

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_SERIES = 20
"""Queues, or types, that have a series of their own."""
PAGE = 500
"""Sums that are read and added up at once: a few milliseconds."""
AT_ONCE = 2
"""Answers that are made at the same time; a long one takes some seconds, and some tens of megabytes."""

Points = dict[int, Part]
"""What was done, by when the step began; all of it at 0 where no points are asked for."""


class TimesDocument(msgspec.Struct, frozen=True):
    """How long something took, in seconds."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class PointDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How often each thing happened in the step that began ``at``; in a total, which has no ``at``, in all of them.

    ``wait``: from due to start, ``run``: from start to end; null: there was none.
    """

    at: wire.Instant | UnsetType | None = UNSET
    created: int
    started: int
    succeeded: int
    retrying: int
    failed: int
    cancelled: int
    released: int
    redriven: int
    wait: TimesDocument | None
    run: TimesDocument | None


class SeriesDocument(msgspec.Struct, frozen=True):
    """One queue or type, or all of them; ``other``: those without a series of their own. Empty steps are left out.

    ``backlog``: null where types are told apart or asked for.
    """

    queue: str | None
    type: str | None
    other: bool
    points: list[PointDocument]
    total: PointDocument
    backlog: BacklogDocument | None


class MarkDocument(msgspec.Struct, frozen=True):
    id: str
    at: wire.Instant | None
    text: str


class StatisticsDocument(msgspec.Struct, frozen=True):
    """``as_of``: up to when everything is counted."""

    step: Step
    since: wire.Instant | None
    until: wire.Instant | None
    as_of: wire.Instant | None
    series: list[SeriesDocument]
    marks: list[MarkDocument]


def add_routes(app: Edge, context: Context) -> None:
    routes = _Statistics(context)
    app.add_call("GET", "/statistics", "statistics", routes.show, Scope.JOBS_READ)


class _Statistics:
    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._turns = trio.Semaphore(AT_ONCE)

    async def show(self) -> Response:
        query = read_statistics(request, self._store.now_us())
        async with self._turns:
            tallied = await self._store.tallied()
            names = await self._store.busiest(query.span, query.by, MAX_SERIES) if query.by else []
            found = await gather(self._store, query, names)
            backlog = Backlog(query, names)
            await backlog.read(self._store)
            series = []
            for name in [*names, ""] if found.get("") or backlog.of_others else names or [""]:
                series.append(_series(query, name, found.get(name, {}), backlog))
                await trio.lowlevel.checkpoint()
        marks = await self._store.marks(query.span.since, query.span.until, MAX_MARKS)
        told = StatisticsDocument(
            step=query.span.step,
            since=wire.instant(query.span.since),
            until=wire.instant(query.span.until),
            as_of=wire.instant(tallied.at),
            series=series,
            marks=[mark_document(mark) for mark in marks],
        )
        return wire.json_response(wire.encode(told))


async def gather(store: Store, query: StatisticsQuery, names: list[str]) -> dict[str, Points]:
    """Return what ``query`` asks for by the names of its series; "" is all that has none, without ``by`` everything."""
    found: dict[str, Points] = {}
    after: SumPlace | None = None
    while page := await store.sums(query.span, PAGE, after):
        for place, part in page:
            name = getattr(place, query.by) if query.by else ""
            points = found.setdefault(name if name in names else "", {})
            at = place.at if query.points else 0
            if at in points:
                points[at].merge(part)
            else:
                points[at] = part  # nobody else has it
        after = page[-1][0]
        if len(page) < PAGE:
            break
    return found


def _series(query: StatisticsQuery, name: str, points: Points, backlog: Backlog) -> SeriesDocument:
    """Return one series as it goes out. Steps in which nothing was done are left out."""
    total = Part("", "")
    for part in points.values():
        total.merge(part)
    told = sorted(points.items()) if query.points else ()
    return SeriesDocument(
        queue=name or None if query.by == "queue" else None,
        type=name or None if query.by == "type" else None,
        other=query.by is not None and not name,
        points=[PointDocument(at=wire.instant(at), **_amounts(part)) for at, part in told],
        total=PointDocument(**_amounts(total)),
        backlog=backlog.told(name),
    )


def _amounts(part: Part) -> dict[str, Any]:
    counts = dict(zip(COUNTED, part.counts, strict=True))
    return {**counts, "wait": _times(part.wait), "run": _times(part.run)}


def _times(times: Times) -> TimesDocument | None:
    """Return durations in seconds; None where there are none."""
    if not times.buckets:
        return None
    p50, p95, p99 = map(_rounded, times.quantiles_s((0.5, 0.95, 0.99)))
    return TimesDocument(times.count, _rounded(times.mean_s), p50, p95, p99)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def mark_document(mark: Mark) -> MarkDocument:
    return MarkDocument(mark.id, wire.instant(mark.at), mark.text)
