"""Delayed jobs: how long after its run_at a job starts, and that none starts before.

Jobs with random delays are submitted at a steady rate. ``started_at - run_at`` is by the store's clock; ``handler`` is
the wall clock of this machine at the handler's first line, less ``run_at``. What is early is counted in both.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from typing import Any

from bench.load import documents
from bench.load.http import Answers, Order, submit
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Node
from bench.stage.usage import Usage, others_share

EDGES_MS = (-1e9, 0, 1, 2, 3, 4, 5, 7, 10, 20, 50, 100, 1000, 1e9)
"""Of the buckets shown in the terminal."""
BUCKETS = 100
"""Of the picture, up to the 99.9th percentile."""


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True)
    parser.add_argument("--rate", type=float, default=100, help="jobs a second, on average")
    parser.add_argument("--seconds", type=float, default=10, help="of submitting in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delay", default="1,5", help="least and most delay, in seconds")


def run(given: argparse.Namespace, report: Report) -> None:
    least, most = map(float, given.delay.split(","))
    rounds: list[dict[str, Any]] = []
    lateness: list[float] = []
    with stage.open_stage(given) as on, on.node() as node, report.steps(given.rounds) as progress:
        load = on.remote("load", submit, node.address)
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}: {given.rate:g} jobs/s for {given.seconds:g} s")
            delays = Order(
                {"type": "stamp"}, rate=given.rate, seconds=given.seconds, delays_s=(least, most), seed=number
            )
            usage = Usage(on.parties(node, load))
            found, late = _measure(node, load, delays)
            lateness += late
            rounds.append({"round": number, "side": "tickr", **found, **usage.so_far()})
        described = on.describe()
    table = [_row(one) for one in rounds]
    early = sum(one["early"] for one in rounds)
    report.table(table, "started_at − run_at, ms")
    whole = figures.distribution(lateness)
    print(f"{len(lateness):,} jobs, {early} early; p50 {whole['p50']} ms, p99 {whole['p99']} ms, max {whole['max']} ms")
    report.bars(_buckets(lateness), "jobs", "how many ms after run_at")
    summary = {"table": table, "early": early, "late_ms": whole}
    report.keep(described, rounds, summary, {"": _histogram(lateness, whole["p999"])})


def _measure(node: Node, load: Remote, order: Order) -> tuple[dict[str, Any], list[float]]:
    since_us = time.time_ns() // 1000
    answers: Answers = load.ask(order, within_s=order.seconds + 120)
    jobs = documents.succeeded(node.address, "stamp", since_us, answers.stored)
    run_at = [documents.instant_us(one["run_at"]) for one in jobs]
    late = [(documents.instant_us(one["started_at"]) - at) / 1000 for one, at in zip(jobs, run_at, strict=True)]
    handler = [(one["result"]["started_us"] - at) / 1000 for one, at in zip(jobs, run_at, strict=True)]
    found = {
        "jobs": len(jobs),
        "early": sum(one < 0 for one in late) + sum(one < 0 for one in handler),
        "late_ms": figures.distribution(late),
        "handler_ms": figures.distribution(handler),
        "sent_late": answers.sent_late,
    }
    return found, late


def _row(one: dict[str, Any]) -> dict[str, Any]:
    named = {name: one["late_ms"][name] for name in ("min", "p50", "p90", "p99", "max")}
    return {
        "round": one["round"] + 1,
        "jobs": one["jobs"],
        "early": one["early"],
        **named,
        "handler p50": one["handler_ms"]["p50"],
        "handler p99": one["handler_ms"]["p99"],
        "others": others_share([one]),
    }


def _buckets(late_ms: list[float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for low, high in pairwise(EDGES_MS):
        name = "early" if high == 0 else f"{low:g} or more" if high == EDGES_MS[-1] else f"{low:g} to {high:g}"
        found[name] = sum(low <= one < high for one in late_ms)
    last = max((place for place, count in enumerate(found.values()) if count), default=0)
    return dict([*found.items()][: last + 1])


def _histogram(late_ms: list[float], most: float) -> plot.Plot:
    least = min(0.0, *late_ms)
    width = (most - least) / BUCKETS or 1.0
    places = [least + width * number for number in range(BUCKETS)]
    counts = [0.0] * BUCKETS
    for one in late_ms:
        if one <= most:
            counts[min(int((one - least) / width), BUCKETS - 1)] += 1
    curve = plot.Curve(places, counts)
    return plot.Plot("Start of delayed jobs after their run_at", "ms", "jobs", {"jobs": curve}, bars=True)
