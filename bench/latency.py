"""Submit → start: how soon a job runs that is due at once, on an idle node and at a steady rate.

Jobs come one by one at random instants with the given mean rate; at 10 a second a node is idle. Measured from just
before the request is sent until the handler's first line, by the one monotonic clock of this machine; beside it
``started_at - created_at`` by the store's clock. With --backlog so many delayed jobs wait, at a second node on a store
of its own, and sides with and without them take turns.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from typing import Any

from bench.load import documents
from bench.load.http import Answers, Order, submit
from bench.load.store import Fill, fill
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Node, Stage
from bench.stage.usage import Usage, others_share

HOUR_US = 3_600_000_000
WARM_UP = 50
"""Jobs that do not count, before everything else."""
SHOWN = ("p50", "p90", "p99", "max")


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True)
    parser.add_argument("--rates", default="10,200", help="jobs a second, on average")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--seconds", type=float, default=10, help="of each round")
    parser.add_argument("--backlog", type=int, default=0, help="delayed jobs that wait, beside sides without any")


def run(given: argparse.Namespace, report: Report) -> None:
    rates = [float(word) for word in given.rates.split(",")]
    backlogs = [0, given.backlog] if given.backlog else [0]
    sides = {_name(rate, backlog): (rate, backlog) for backlog in backlogs for rate in rates}
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        on = opened.enter_context(stage.open_stage(given))
        progress = opened.enter_context(report.steps(len(sides) * given.rounds + len(backlogs)))
        nodes: dict[int, tuple[Node, Remote]] = {}
        for backlog in backlogs:
            progress.step(f"a node with {backlog:,} jobs that wait")
            node = opened.enter_context(_node(on, backlog))
            nodes[backlog] = node, on.remote("load", submit, node.address)
            _measure(nodes[backlog], Order({"type": "stamp"}, stamped=True, rate=100, requests=WARM_UP))
        for number, side in figures.turns([*sides], given.rounds):
            progress.step(f"{side}, round {number + 1} of {given.rounds}")
            rate, backlog = sides[side]
            order = Order({"type": "stamp"}, stamped=True, rate=rate, seconds=given.seconds, seed=number)
            usage = Usage(on.parties(*nodes[backlog]))
            found = _measure(nodes[backlog], order)
            rounds.append({"round": number, "side": side, "rate": rate, "backlog": backlog, **found, **usage.so_far()})
        described = on.describe()
    _report(report, described, rounds, [*sides])


def _name(rate: float, backlog: int) -> str:
    return f"{rate:g} jobs/s" + (f", {backlog:,} waiting" if backlog else "")


def _node(on: Stage, backlog: int) -> Any:
    if not backlog:
        return on.node()
    place = on.place()
    with Remote("fill", fill) as filling:
        filling.ask(*place, Fill(backlog, {"type": "stamp", "delay_us": HOUR_US}, spread_us=1000), within_s=1800)
    return on.node(place)


def _measure(at: tuple[Node, Remote], order: Order) -> dict[str, Any]:
    node, load = at
    since_us = time.time_ns() // 1000
    answers: Answers = load.ask(order, within_s=min(order.seconds, 600) + 120)
    if answers.stored != len(answers.took_us):
        raise SystemExit(f"jobs were refused: {dict(answers.statuses)}")
    jobs = documents.succeeded(node.address, "stamp", since_us, answers.stored)
    started = [(one["result"]["started_ns"] - one["result"]["sent_ns"]) / 1e6 for one in jobs]
    claimed = [
        (documents.instant_us(one["started_at"]) - documents.instant_us(one["created_at"])) / 1000 for one in jobs
    ]
    return {
        "jobs": len(jobs),
        "started_ms": figures.distribution(started),
        "claimed_ms": figures.distribution(claimed),
        "answered_ms": figures.distribution([took / 1000 for took in answers.took_us]),
        "sent_late": answers.sent_late,
    }


def _report(report: Report, described: dict[str, Any], rounds: list[dict[str, Any]], sides: list[str]) -> None:
    table = [_row(rounds, side) for side in sides]
    report.table(table, "sent → the handler's first line, ms; medians over the rounds, max over all")
    first = {side: next(one["started_ms"] for one in rounds if one["side"] == side) for side in sides}
    for side, found in first.items():
        report.bars({name: found[name] for name in ("p50", "p90", "p99", "p999", "max")}, "ms", f"{side}, first round")
    pictures = {"": plot.cumulative(first, "Submit → start, first round", "ms")}
    report.keep(described, rounds, {"table": table}, pictures)


def _row(rounds: list[dict[str, Any]], side: str) -> dict[str, Any]:
    mine = [one for one in rounds if one["side"] == side]

    def each(figure: str) -> dict[str, float]:
        flat = [{**one, **one[figure]} for one in mine]
        return {name: figures.median(flat, side, name) for name in SHOWN[:-1]}

    return {
        "side": side,
        "jobs": sum(one["jobs"] for one in mine),
        **each("started_ms"),
        "max": max(one["started_ms"]["max"] for one in mine),
        "created → started p50": each("claimed_ms")["p50"],
        "p99 ": each("claimed_ms")["p99"],
        "201 after p50": each("answered_ms")["p50"],
        "others": others_share(mine),
    }
