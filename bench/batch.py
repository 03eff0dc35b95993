"""Batches over POST /jobs/batch: jobs stored a second, by the size of the batch.

A node with the role api alone, so that running the jobs is not measured. Sizes take turns in every round.
"""

from __future__ import annotations

import argparse

from bench.load.http import Order, submit
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import stage
from bench.submit import job, one_round, row


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True)
    parser.add_argument("--sizes", default="1,10,100,1000", help="jobs of a batch, one after another")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="of each size")
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument("--type", default="noop", help="of the jobs")


def run(given: argparse.Namespace, report: Report) -> None:
    sides = given.sizes.split(",")
    rounds = []
    with (
        stage.open_stage(given) as on,
        on.node(roles="api") as node,
        report.steps(len(sides) * given.rounds) as progress,
    ):
        load = on.remote("load", submit, node.address)
        parties = on.parties(node, load)
        for number, side in figures.turns(sides, given.rounds):
            progress.step(f"batches of {side}, round {number + 1} of {given.rounds}")
            order = Order(job(given), size=int(side), connections=given.connections, seconds=given.seconds)
            rounds.append({"round": number, "side": side, **one_round(load, order, node.address, parties)})
        described = on.describe()
    table = [row(rounds, side, {}) for side in sides]
    report.table([{"size": int(line.pop("side")), **line} for line in map(dict, table)])
    report.bars({line["side"]: line["jobs/s"] for line in table}, "jobs/s", "jobs a second, by the size of the batch")
    curve = plot.Curve([int(side) for side in sides], [line["jobs/s"] for line in table])
    pictures = {"": plot.Plot("POST /jobs/batch", "jobs of a batch", "jobs a second", {"stored": curve}, log="x")}
    report.keep(described, rounds, {"table": table}, pictures)
