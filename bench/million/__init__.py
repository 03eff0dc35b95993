"""Every list and read of the API, and every screen of the dashboard, on a store with 1,000,000 jobs of all kinds.

How long each call takes over a connection that is kept, and the processor time it costs (--calls); idle, and beside
--rate jobs a second. And in Chromium, when each screen paints first and when its data is there (--paints).
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import trio

from bench.growth import wait_indexed
from bench.load.http import Order, submit
from bench.million import paint
from bench.million.asking import Asker
from bench.million.calls import calls
from bench.million.filling import catch_up, fill
from bench.million.furnish import furnish
from bench.million.mix import DELAYED_SHARE
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.usage import Usage, others_share

SLICE_S = 1.0
"""The load beside is ordered second by second."""
IDLE = "idle"
KEEP = ("--keep-succeeded", "3650d", "--keep-failed", "3650d", "--events-keep", "3650d")
"""A filled store is as large days later."""


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="in the store")
    parser.add_argument("--filled", action="store_true", help="the store of --store is as an earlier run has left it")
    parser.add_argument("--calls", type=int, default=30, help="of each kind, on each side; 0: none")
    parser.add_argument("--rate", type=float, default=100, help="jobs a second on the side that is not idle; 0: none")
    parser.add_argument("--paints", type=int, default=10, help="of each screen, on each side; 0: none")
    parser.add_argument("--only", default="", help="calls and screens with these words in their names alone")


def run(given: argparse.Namespace, report: Report) -> None:
    sides = {IDLE: 0.0, **({f"{given.rate:g} jobs/s": given.rate} if given.rate else {})}
    rounds: list[dict[str, Any]] = []
    others: dict[str, float] = {}
    with ExitStack() as opened:
        progress = opened.enter_context(report.steps(3 + 2 * len(sides)))
        on = opened.enter_context(stage.open_stage(given))
        place = on.place()
        if not given.filled:
            progress.step(f"filling: {given.jobs:,} jobs")
            trio.run(partial(fill, place.store, given.jobs, progress.detail))
        else:
            trio.run(catch_up, place.store)
        progress.step("a node fills its index")
        node = opened.enter_context(on.node(place, more=KEEP))
        wait_indexed(on, place, node, int(given.jobs * DELAYED_SHARE))
        progress.step("schedules, marks, operations")
        known = furnish(node.address)
        load = on.remote("load", submit, node.address)
        pids = [pid for some in on.parties(node).values() for pid in some]
        wanted = [call for call in calls(known) if given.only in call.name]
        for side, rate in sides.items():
            with _beside(load, rate):
                usage, asker = Usage(on.parties(node, load)), Asker(node.address, pids)
                for call in wanted if given.calls else ():
                    progress.detail(f"{side}: {call.name}")
                    rounds.append({"round": 0, "side": side, "what": "call", **asker.measure(call, given.calls)})
                progress.step(f"{side}: screens")
                for found in paint.screens(node.address, known, given.paints, given.only):
                    rounds.append({"round": 0, "side": side, "what": "paint", **found})
                others[side] = others_share([usage.so_far()])
        described = on.describe()
    _report(report, described, rounds, others)


@contextmanager
def _beside(load: Remote, rate: float) -> Iterator[None]:
    """Have so many jobs a second be submitted meanwhile, over keep-alive connections."""
    stopped = threading.Event()

    def submit() -> None:
        order = Order({"type": "noop", "payload": {"data": "x" * 200}}, rate=rate, seconds=SLICE_S)
        while not stopped.is_set():
            load.ask(order)

    thread = threading.Thread(target=submit)
    if rate:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        if rate:
            thread.join()


def _report(report: Report, described: dict[str, Any], rounds: list[dict[str, Any]], others: dict[str, float]) -> None:
    sides = [*others]
    names = [*dict.fromkeys(one["name"] for one in rounds if one["what"] == "call")]
    table = [_row(rounds, name, sides) for name in names]
    screens = [*dict.fromkeys(one["name"] for one in rounds if one["what"] == "paint")]
    painted = [_painted(rounds, name, sides) for name in screens]
    if table:
        report.table(table, "calls, ms from the request sent to the answer read, and of processor time")
    if painted:
        report.table(painted, "screens, ms after the navigation: first paint, and data; medians")
    report.keep(described, rounds, {"table": table, "screens": painted, "others": others})


def _painted(rounds: list[dict[str, Any]], name: str, sides: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"screen": name}
    for side in sides:
        one = next(one for one in rounds if one["name"] == name and one["side"] == side)
        row |= {f"{side}: {what}": one[f"{what}_ms"]["p50"] for what in ("first", "data")}
        row[f"{side}: max"] = one["data_ms"]["max"]
    return row


def _row(rounds: list[dict[str, Any]], name: str, sides: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"call": name}
    for side in sides:
        one = next(one for one in rounds if one["name"] == name and one["side"] == side)
        took, used = one["took_ms"], one["cpu_ms"]
        row |= {f"{side}: p50": took["p50"], "p95" + "'" * sides.index(side): took["p95"]}
        row |= {"max" + "'" * sides.index(side): took["max"], "cpu" + "'" * sides.index(side): used["p50"]}
        if side == IDLE:
            row["first cpu"] = one["first_cpu_ms"]
    return row
