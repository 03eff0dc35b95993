"""Single POSTs over keep-alive connections, beside a bare route that only echoes the same JSON.

A node with the role api alone, so that running the jobs is not measured; each connection sends its next job when it has
its answer. Rounds alternate between the node and ``bench/echo_route.py``, which has the same server settings: what lies
between the two is what Tickr does, the COMMIT included. With --url the node is left out of the table of processor time.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import nullcontext
from typing import Any

from bench.load.address import Address
from bench.load.http import Answers, Order, submit
from bench.report import figures, plot
from bench.report.machine import ROOT
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.usage import Usage, cpu_columns, others_share
from tests.children import Child, free_port

WARM_UP_S = 0.5
FIGURES = ("jobs/s", "jobs/server_s")
"""What sides are compared by: jobs a second, and jobs for each second of the server's processor time."""


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True)
    parser.add_argument("--concurrency", default="1,4,16,64", help="connections, one after another")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--seconds", type=float, default=3, help="of each round")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument("--type", default="noop", help="of the jobs")
    parser.add_argument("--alone", action="store_true", help="without the bare route")


def job(given: argparse.Namespace) -> dict[str, Any]:
    return {"type": given.type, "payload": {"data": "x" * given.payload_bytes}}


def run(given: argparse.Namespace, report: Report) -> None:
    steps = [int(word) for word in given.concurrency.split(",")]
    sides = ["tickr"] if given.alone or given.url else ["tickr", "echo"]
    rounds: list[dict[str, Any]] = []
    with (
        stage.open_stage(given) as on,
        on.node(roles="api") as node,
        Echo() if len(sides) > 1 else nullcontext() as bare,
        report.steps(len(steps) * len(sides) * given.rounds) as progress,
    ):
        load = on.remote("load", submit, node.address)
        at = {"tickr": (node.address, on.parties(node, load))}
        if bare:
            at["echo"] = (bare.address, on.parties(bare.pid, load))
        for connections in steps:
            for number, side in figures.turns(sides, given.rounds):
                progress.step(f"{side}, {connections} connections, round {number + 1} of {given.rounds}")
                address, parties = at[side]
                order = Order(job(given), connections=connections, seconds=given.seconds)
                found = one_round(load, order, address, parties)
                rounds.append({"round": number, "side": side, "connections": connections, **found})
        described = on.describe()
    _report(report, described, rounds, steps, sides)


class Echo(Child):
    """The bare route in a process of its own."""

    name = "echo"

    def __init__(self) -> None:
        super().__init__()
        self.address = Address("127.0.0.1", free_port())

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bench.echo_route", "--port", str(self.address.port)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        with socket.create_connection((self.address.host, self.address.port), timeout=5):
            return True


def one_round(load: Remote, order: Order, address: Address, parties: dict[str, list[int]]) -> dict[str, Any]:
    """Carry out ``order`` after a warm-up, and return what it came to. Raises: SystemExit: some were refused."""
    warm_up = Order(order.job, size=order.size, connections=order.connections, seconds=min(WARM_UP_S, order.seconds))
    load.ask((warm_up, address))
    usage = Usage(parties)
    answers: Answers = load.ask((order, address), within_s=order.seconds + 120)
    return figures_of(answers, usage, order.size or 1)


def figures_of(answers: Answers, usage: Usage, jobs_each: int) -> dict[str, Any]:
    """Return a round's figures. ``jobs_each``: how many jobs a request carries."""
    sent = len(answers.took_us) * jobs_each
    if answers.stored != sent:
        raise SystemExit(f"{sent - answers.stored:,} of {sent:,} jobs were refused: {dict(answers.statuses)}")
    used = usage.so_far()
    busy_s = used["cpu_s"].get("server")
    return {
        "jobs": sent,
        "jobs/s": sent / answers.seconds,
        "jobs/server_s": sent / busy_s if busy_s else None,
        "requests/s": len(answers.took_us) / answers.seconds,
        "took_ms": figures.distribution([took / 1000 for took in answers.took_us]),
        **used,
    }


def _report(
    report: Report, described: dict[str, Any], rounds: list[dict[str, Any]], steps: list[int], sides: list[str]
) -> None:
    table, ratios = [], []
    for connections in steps:
        here = [one for one in rounds if one["connections"] == connections]
        for side in sides:
            table.append(row(here, side, {"connections": connections}))
        if len(sides) > 1:
            ratios += [
                {**figures.ratio(here, figure, "tickr", "echo"), "at": f"{connections} connections"}
                for figure in FIGURES
                if all(one[figure] for one in here)
            ]
    report.table(table)
    report.ratios(ratios)
    best = {f"{line['connections']}": line["jobs/s"] for line in table if line["side"] == "tickr"}
    report.bars(best, "jobs/s", "single POSTs a second, by connections")
    curves = {side: plot.Curve(steps, [line["jobs/s"] for line in table if line["side"] == side]) for side in sides}
    pictures = {"": plot.Plot("Single POSTs", "connections", "jobs a second", curves, log="x")}
    report.keep(described, rounds, {"table": table, "ratios": ratios}, pictures)


def row(rounds: list[dict[str, Any]], side: str, at: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the table: medians over the rounds of ``side``, and processor time for each job."""
    mine = [one for one in rounds if one["side"] == side]
    took = {name: figures.median([{**one, **one["took_ms"]} for one in mine], side, name) for name in ("p50", "p99")}
    return {
        "side": side,
        **at,
        "jobs/s": figures.median(mine, side, "jobs/s"),
        "least": min(one["jobs/s"] for one in mine),
        "most": max(one["jobs/s"] for one in mine),
        **{f"{name} ms": value for name, value in took.items()},
        **cpu_columns(mine, "jobs"),
        "others": others_share(mine),
    }
