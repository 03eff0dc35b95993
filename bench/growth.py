"""Growth: end to end, and overview queries, with a long backlog and a long history, beside an empty store.

Each point has a store of its own, filled beforehand, and a node that runs all the time; points take turns. The backlog
is delayed jobs; the history, jobs that have succeeded. A point whose index takes its backlog in first is waited for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import trio

from bench.drain import row
from bench.end_to_end import Way, add_load, compared, one_round, whole_batches
from bench.fill import fill
from bench.load.address import Address
from bench.report import figures, plot
from bench.report.report import Report
from bench.report.terminal import Steps
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Node, Place, Stage
from bench.stage.usage import cpu_of
from bench.stage.watch import watch

QUERIES = ("/queues", "/jobs?limit=50", "/jobs?state=succeeded&limit=50", "/jobs?state=failed", "/jobs?state=scheduled")
ASKED = 5
"""How often each query is asked in a round."""
CALM_SHARE, CALM_S, INDEXED_WITHIN_S = 0.2, 2.0, 1800.0
"""A node is calm when it uses less of a processor than that, for so long; how long it may take to get there."""


class Point(NamedTuple):
    """A store with so many jobs that wait and so many that have ended."""

    waiting: int
    finished: int

    @property
    def name(self) -> str:
        return f"{self.waiting:,} waiting, {self.finished:,} finished" if sum(self) else "empty"

    @classmethod
    def of(cls, word: str) -> Point:
        waiting, _, finished = word.partition(":")
        return cls(int(waiting), int(finished or 0))


class Side(NamedTuple):
    """What belongs to a point: its node, how jobs get there, and who looks at its store."""

    node: Node
    way: Way
    watching: Remote


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, workers=100)
    parser.add_argument(
        "--points", default="0:0,1000000:10000000", help="waiting:finished of each, the first beside all"
    )
    parser.add_argument("--by", default="batch", help="batch, stream, post or store")
    parser.add_argument("--jobs", type=int, default=20_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="of each point")
    add_load(parser)


def run(given: argparse.Namespace, report: Report) -> None:
    points = {point.name: point for point in map(Point.of, given.points.split(","))}
    warm_up = whole_batches(given)
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        progress = opened.enter_context(report.steps(len(points) * (given.rounds + 1)))
        on = opened.enter_context(stage.open_stage(given))
        sides: dict[str, Side] = {}
        for name, point in points.items():
            progress.step(f"filling: {name}")
            sides[name] = _open(point, on, given, opened, progress)
            one_round(sides[name].way, warm_up, on, sides[name].watching)
        for number, name in figures.turns([*points], given.rounds):
            progress.step(f"{name}, round {number + 1} of {given.rounds}: {given.jobs:,} jobs")
            side = sides[name]
            found = one_round(side.way, given.jobs, on, side.watching)
            queries = {query: [_ask_ms(side.node.address, query) for _ in range(ASKED)] for query in QUERIES}
            rounds.append({"round": number, "side": name, **points[name]._asdict(), **found, "queries_ms": queries})
        described = on.describe()
    _report(report, described, rounds, [*points])


def _open(point: Point, on: Stage, given: argparse.Namespace, opened: ExitStack, progress: Steps) -> Side:
    place = on.place()
    if sum(point):

        def tell(done: int, of: int) -> None:
            progress.detail(f"filling: {done:,} of {of:,}")

        trio.run(partial(fill, place.store, waiting=point.waiting, finished=point.finished, tell=tell))
        progress.detail(f"the index takes in {point.waiting:,} jobs")
    node = opened.enter_context(on.node(place))
    if sum(point):
        wait_indexed(on, place, node, point.waiting)
    return Side(node, Way.open(given.by, on, node, given), on.remote("watch", watch, place.store))


def wait_indexed(on: Stage, place: Place, node: Node, waiting: int) -> None:
    """Wait until the index holds the backlog: as Redis counts, or, within the process, until that has grown calm."""
    deadline = time.monotonic() + INDEXED_WITHIN_S
    share = 1.0
    while share > CALM_SHARE or not _holds(on.delayed_in_index(place), waiting):
        if time.monotonic() > deadline:
            raise SystemExit(f"the index did not take in {waiting:,} jobs within {INDEXED_WITHIN_S:g} s")
        used = cpu_of([node.pid])
        time.sleep(CALM_S)
        share = (cpu_of([node.pid]) - used) / CALM_S


def _holds(counted: int | None, waiting: int) -> bool:
    return counted is None or counted >= waiting


def _ask_ms(address: Address, query: str) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(address.url + query, timeout=60) as answer:
        json.load(answer)
    return (time.monotonic() - began) * 1000


def _report(report: Report, described: dict[str, Any], rounds: list[dict[str, Any]], names: list[str]) -> None:
    table = [row(rounds, name) for name in names]
    ratios = compared(rounds, names)
    queries = [{"query": query, **{name: _asked(rounds, name, query) for name in names}} for query in QUERIES]
    report.table(table, "jobs a second, end to end")
    report.ratios(ratios)
    report.table(queries, "overview queries, ms: median, longest")
    report.bars({line["side"]: line["jobs/s"] for line in table}, "jobs/s", "end to end")
    size = {one["side"]: max(one["waiting"] + one["finished"], 1) for one in rounds}
    curve = plot.Curve([size[name] for name in names], [line["jobs/s"] for line in table])
    pictures = {
        "": plot.Plot("End to end by the size of the store", "jobs in the store", "jobs/s", {"tickr": curve}, "x")
    }
    report.keep(described, rounds, {"table": table, "ratios": ratios, "queries": queries}, pictures)


def _asked(rounds: list[dict[str, Any]], name: str, query: str) -> str:
    took = [ms for one in rounds if one["side"] == name for ms in one["queries_ms"][query]]
    return f"{statistics.median(took):.1f}, {max(took):.1f}"
