"""One process and two: single POSTs and draining through ``tickr serve``, against the same with ``--processes``.

Rounds alternate between the two sides. *POST*: keep-alive connections at a node with the role api alone; how they are
spread over the processes is counted in the kernel's tables. *drain*: the jobs are all due at one instant, after the
store was filled, so that everybody begins at once. With the load and the database on the same machine two processes do
not get two processors; the table says what each party took.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from bench.drain import payload_of
from bench.load.http import Order, submit
from bench.load.store import Fill, Filled, fill
from bench.report import figures
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Node, Stage
from bench.stage.usage import Usage, cpu_columns, family, memory, others_share
from bench.stage.watch import Ended, Watch, watch
from bench.submit import one_round

WITHIN_S = 300.0
SETTLES_S = 0.3
"""Until what a client opened has been accepted; and how early before the jobs are due all is ready. In seconds."""
CONNECTIONS = 64
"""Opened one after the other for the spread."""
MIB = 1024 * 1024
DELAY_S = 6.0
FILLED_A_SECOND = 3_000
"""Jobs that are stored in a second even on a slow machine; draining begins when all should be."""


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, workers=100)
    parser.set_defaults(processes=2)
    parser.add_argument("--rounds", type=int, default=5, help="of each side")
    parser.add_argument("--seconds", type=float, default=3, help="of each round of POSTs")
    parser.add_argument("--connections", type=int, default=64, help="of the POSTs")
    parser.add_argument("--jobs", type=int, default=20_000, help="of each round of draining")
    parser.add_argument("--payload-bytes", type=int, default=32)


def run(given: argparse.Namespace, report: Report) -> None:
    sides = {"one": 1, "several": given.processes}
    rounds: list[dict[str, Any]] = []
    with stage.open_stage(given) as on, report.steps(2 * len(sides) * given.rounds) as progress:
        rounds += _posts(given, on, sides, progress)
        rounds += _drains(given, on, sides, progress)
        described = on.describe()
    table = [
        _row([one for one in rounds if one["what"] == what], what, side) for what in ("POST", "drain") for side in sides
    ]
    ratios = [
        {**figures.ratio([one for one in rounds if one["what"] == what], "jobs/s", "several", "one"), "at": what}
        for what in ("POST", "drain")
    ]
    report.table(table)
    report.ratios(ratios)
    spreads = [one["spread"] for one in rounds if one.get("spread")]
    print(f"{CONNECTIONS} connections over the processes, by rounds: {spreads}")
    report.keep(described, rounds, {"table": table, "ratios": ratios, "spread": spreads})


def _posts(given: argparse.Namespace, on: Stage, sides: dict[str, int], progress: Any) -> list[dict[str, Any]]:
    """Both sides serve all the time, each at a store of its own; only one of them has work."""
    rounds = []
    with ExitStack() as opened:
        nodes = {}
        for side, given.processes in sides.items():
            nodes[side] = opened.enter_context(on.node(roles="api"))
        _until_all_serve(nodes["several"])
        load = on.remote("load", submit, nodes["one"].address)
        for number, side in figures.turns(list(sides), given.rounds):
            progress.step(f"POST, {sides[side]} processes, round {number + 1} of {given.rounds}")
            node = nodes[side]
            spread = _spread(node) if sides[side] > 1 else []
            order = Order(_job(given), connections=given.connections, seconds=given.seconds)
            found = one_round(load, order, node.address, on.parties(node, load))
            rounds.append({"what": "POST", "round": number, "side": side, **found, "spread": spread, **_memory(node)})
    return rounds


def _drains(given: argparse.Namespace, on: Stage, sides: dict[str, int], progress: Any) -> list[dict[str, Any]]:
    rounds = []
    for number, side in figures.turns(list(sides), given.rounds):
        progress.step(f"drain, {sides[side]} processes, round {number + 1} of {given.rounds}: {given.jobs:,} jobs")
        given.processes = sides[side]
        place = on.place()
        with on.node(place) as node, Remote("watch", watch, place.store) as watching, Remote("fill", fill) as filling:
            _until_all_serve(node)
            due = time.monotonic() + _delay_s(given)
            order = Fill(given.jobs, {**_job(given), "delay_us": round(_delay_s(given) * 1e6)})
            filled: Filled = filling.ask(place.store, place.index, order, within_s=600)
            if time.monotonic() > due:
                raise SystemExit("filling the store took longer than the jobs were delayed")
            time.sleep(max(0.0, due - time.monotonic() - SETTLES_S))  # what waiting costs is not draining's
            usage = Usage(on.parties(node, watching))
            watching.tell(Watch(filled.since_us, given.jobs, WITHIN_S))
            ended: Ended = watching.answer(WITHIN_S + 30)
            used = usage.so_far()
            if ended.succeeded != given.jobs:
                raise SystemExit(f"only {ended.succeeded:,} of {given.jobs:,} jobs succeeded within {WITHIN_S:g} s")
            seconds = (ended.seen_at - ended.first_started) / 1e6
            figures_ = {"jobs": given.jobs, "seconds": seconds, "jobs/s": given.jobs / seconds, **used}
            rounds.append({"what": "drain", "round": number, "side": side, **figures_, "spread": [], **_memory(node)})
        on.clear(place)
    return rounds


def _job(given: argparse.Namespace) -> dict[str, Any]:
    return {"type": "noop", "payload": payload_of(given.payload_bytes)}


def _until_all_serve(node: Node) -> None:
    """The port answers as soon as the first of them serves; what is said to people comes when all do."""
    assert node.process is not None
    wanted = "\n  stop    Ctrl-C"
    deadline = time.monotonic() + 30
    while wanted not in node.process.log:
        if time.monotonic() > deadline:
            raise SystemExit(f"not all processes serve: {node.process.log[-2000:]}")
        time.sleep(0.05)


def _delay_s(given: argparse.Namespace) -> float:
    return DELAY_S + given.jobs / FILLED_A_SECOND


# -- what it costs, and who has the connections -----------------------------------------------------------------------


def _memory(node: Node) -> dict[str, Any]:
    return {"rss_mib": [round(memory(pid)["rss"] / MIB) for pid in sorted(family(node.pid))]}


def _spread(node: Node) -> list[int]:
    """Open connections one after the other, and return how many of them each process has."""
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            opened.enter_context(socket.create_connection((node.address.host, node.address.port)))
        time.sleep(SETTLES_S)
        inodes = _established(node.address.port)
        return [len(inodes & _sockets(pid)) for pid in sorted(family(node.pid) - {node.pid})]


def _established(port: int) -> set[str]:
    """Return the inodes of the servers' ends of connections at ``port`` of this machine (proc(5), /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}


def _sockets(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    return found


def _row(rounds: list[dict[str, Any]], what: str, side: str) -> dict[str, Any]:
    mine = [one for one in rounds if one["side"] == side]
    return {
        "what": what,
        "side": side,
        "jobs/s": figures.median(rounds, side, "jobs/s"),
        "least": min(one["jobs/s"] for one in mine),
        "most": max(one["jobs/s"] for one in mine),
        **cpu_columns(mine, "jobs"),
        "others": others_share(mine),
        "RSS MiB": "+".join(
            str(statistics.median_high(sizes)) for sizes in zip(*(one["rss_mib"] for one in mine), strict=True)
        ),
    }
