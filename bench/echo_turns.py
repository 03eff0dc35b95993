"""Single POSTs to a node take turns with the bare route, served both ways; see ``echo_route.py``.

Comes in: its flags. Goes out: a table, ratios, and ``bench/results/echo_route-….json``. The node has the role api, so
that running the jobs is not measured, and a durable store; the load is another process and is not charged to anybody.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.load.http import Order
from bench.load.http import submit as load_http
from bench.report import figures
from bench.report.report import RESULTS, Report, without_password
from bench.stage import stage
from bench.submit import Echo, job, one_round, row
from tests.processes import TickrProcess

PAIRS = (("tickr", "echo"), ("tickr", "plain"), ("tickr", "before"), ("before", "echo"))
"""Of whose requests the ratios are told, where both take part."""


class Plain(Echo):
    """The bare route as Hypercorn serves it."""

    name = "plain"

    def command(self) -> list[str]:
        return [*super().command(), "--plain"]


class Before(TickrProcess):
    """A node of the tree in ``folder``."""

    def __init__(self, folder: Path, place: stage.Place, log_level: str) -> None:
        flags = ["--log-level", log_level]
        super().__init__(store=place.store, index=place.index, roles="api", arguments=flags)
        self._python_path = [folder]


class _Report(Report):
    """With the command as it is."""

    def __init__(self, words: Sequence[str], given: argparse.Namespace) -> None:
        super().__init__("echo_route", words, given)
        self._command = without_password(shlex.join(["python", "-m", "bench.echo_route", *words]))


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.add_argument("--concurrency", default="1,8,32,64", help="connections, one after another")
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--seconds", type=float, default=2, help="of each round")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument("--type", default="noop", help="of the jobs")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the raw figures go")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another tree of Tickr, to take part")


def run(given: argparse.Namespace, words: Sequence[str]) -> None:
    """Have all sides take turns, and tell what it came to. ``words``: of the command, as it was given."""
    report = _Report(words, given)
    rounds: list[dict[str, Any]] = []
    steps = [int(word) for word in given.concurrency.split(",")]
    with stage.open_stage(given) as on, ExitStack() as opened:
        node = opened.enter_context(on.node(roles="api"))
        load = on.remote("load", load_http, node.address)
        at = {"tickr": (node.address, on.parties(node, load))}
        if given.before:
            old = opened.enter_context(Before(given.before.absolute(), on.place(), given.log_level))
            at["before"] = (node.address._replace(port=old.port), on.parties(old.pid, load))
        for bare in (opened.enter_context(Echo()), opened.enter_context(Plain())):
            at[bare.name] = (bare.address, on.parties(bare.pid, load))
        with report.steps(len(steps) * len(at) * given.rounds) as progress:
            for connections in steps:
                order = Order(job(given), connections=connections, seconds=given.seconds)
                for number, side in figures.turns([*at], given.rounds):
                    progress.step(f"{side}, {connections} connections, round {number + 1} of {given.rounds}")
                    found = one_round(load, order, *at[side])
                    rounds.append({"round": number, "side": side, "connections": connections, **found})
        described = on.describe()
    tell(report, described, rounds, [*at], steps)


def tell(
    report: Report,
    described: dict[str, Any],
    rounds: Sequence[dict[str, Any]],
    sides: Sequence[str],
    steps: Sequence[int],
) -> None:
    lines, ratios = [], []
    for connections in steps:
        here = [one for one in rounds if one["connections"] == connections]
        lines += [row(here, side, {"connections": connections}) for side in sides]
        for mine, other in PAIRS:
            if mine in sides and other in sides:
                found = figures.ratio(here, "requests/s", mine, other)
                ratios.append({**found, "at": f"{connections} connections"})
    report.table(lines)
    report.ratios(ratios)
    report.keep(described, rounds, {"table": lines, "ratios": ratios})
