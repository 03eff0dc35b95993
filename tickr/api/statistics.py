"""How much was done, and how long it took: ``GET /statistics``. What is answered is as new as the scheduler's sums.

Blocks of steps (``statistics_blocks.py``) are put together to series here, as many as an answer may have; the busiest
ones, and one for all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import trio
from quart import Response, request

from tickr.api import wire
from tickr.api.backlog_series import Backlog, BacklogDocument
from tickr.api.context import Context
from tickr.api.statistics_blocks import Block, Blocks, PointDocument, point
from tickr.api.statistics_query import StatisticsQuery, read_statistics
from tickr.scopes import Scope
from tickr.store.contract import Mark
from tickr.store.sums import MAX_MARKS
from tickr.tallies import Part, Step

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_SERIES = 20
"""Queues, or types, that have a series of their own."""
AT_ONCE = 2
"""Answers that are made at the same time; a long one takes some seconds, and some tens of megabytes."""


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
        self._blocks = Blocks(context.store)
        self._turns = trio.Semaphore(AT_ONCE)

    async def show(self) -> Response:
        query = read_statistics(request, self._store.now_us())
        async with self._turns:
            tallied = await self._store.tallied()
            names = await self._store.busiest(query.span, query.by, MAX_SERIES) if query.by else []
            blocks = await self._blocks.read(query, names)
            backlog = Backlog(query, names)
            await backlog.read(self._store)
            series = []
            rest = any("" in block.totals for block in blocks) or backlog.of_others
            for name in [*names, ""] if rest else names or [""]:
                series.append(_series(query, name, blocks, backlog))
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


def _series(query: StatisticsQuery, name: str, blocks: list[Block], backlog: Backlog) -> SeriesDocument:
    """Return one series as it goes out. Steps in which nothing was done are left out."""
    total = Part("", "")
    for block in blocks:
        if name in block.totals:
            total.merge(block.totals[name])
    points = b",".join(block.points[name] for block in blocks if name in block.points)
    return SeriesDocument(
        queue=name or None if query.by == "queue" else None,
        type=name or None if query.by == "type" else None,
        other=query.by is not None and not name,
        points=cast("list[PointDocument]", msgspec.Raw(b"[%b]" % points)),  # encoded when their block was made
        total=point(total),
        backlog=backlog.told(name),
    )


def mark_document(mark: Mark) -> MarkDocument:
    return MarkDocument(mark.id, wire.instant(mark.at), mark.text)
