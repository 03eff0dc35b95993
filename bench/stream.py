"""Jobs over the websocket GET /jobs/stream, beside single POSTs to the same node.

A node with the role api alone, so that running the jobs is not measured. Sides: single objects as frames, arrays of
them, and single POSTs; they take turns in every round.
"""

from __future__ import annotations

import argparse
from typing import Any

from bench.load.http import Order, submit
from bench.load.stream import StreamOrder, stream
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.usage import Usage
from bench.submit import FIGURES, WARM_UP_S, figures_of, job, one_round, row


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True)
    parser.add_argument("--size", type=int, default=100, help="jobs of an array")
    parser.add_argument("--in-flight", type=int, default=2000, help="jobs unanswered on each websocket")
    parser.add_argument("--websockets", type=int, default=1)
    parser.add_argument("--connections", type=int, default=32, help="of the single POSTs")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument("--type", default="noop", help="of the jobs")


def run(given: argparse.Namespace, report: Report) -> None:
    sides = ["objects", "arrays", "posts"]
    rounds: list[dict[str, Any]] = []
    with (
        stage.open_stage(given) as on,
        on.node(roles="api") as node,
        report.steps(len(sides) * given.rounds) as progress,
    ):
        posts, frames = on.remote("posts", submit, node.address), on.remote("frames", stream, node.address)
        for number, side in figures.turns(sides, given.rounds):
            progress.step(f"{side}, round {number + 1} of {given.rounds}")
            if side == "posts":
                order = Order(job(given), connections=given.connections, seconds=given.seconds)
                found = one_round(posts, order, node.address, on.parties(node, posts))
            else:
                found = _stream(given, frames, given.size if side == "arrays" else 0, on.parties(node, frames))
            rounds.append({"round": number, "side": side, **found})
        described = on.describe()
    table = [row(rounds, side, {}) for side in sides]
    ratios = [
        figures.ratio(rounds, figure, side, "posts")
        for side in ("objects", "arrays")
        for figure in FIGURES
        if all(one[figure] for one in rounds)
    ]
    report.table(table)
    report.ratios(ratios)
    took = {side: next(one["took_ms"] for one in rounds if one["side"] == side) for side in sides}
    pictures = {"": plot.cumulative(took, "From sending a job to its answer, first round", "ms")}
    report.keep(described, rounds, {"table": table, "ratios": ratios}, pictures)


def _stream(given: argparse.Namespace, load: Remote, size: int, parties: dict[str, list[int]]) -> dict[str, Any]:
    def order(seconds: float) -> StreamOrder:
        in_flight = max(given.in_flight, size)
        return StreamOrder(job(given), size, in_flight, connections=given.websockets, seconds=seconds)

    load.ask(order(min(WARM_UP_S, given.seconds)))
    usage = Usage(parties)
    return figures_of(load.ask(order(given.seconds), within_s=given.seconds + 120), usage, 1)
