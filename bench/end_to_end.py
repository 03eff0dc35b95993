"""End to end: no-op jobs submitted while the node works, until the last one is final in the store.

The clock starts with the first submission and stops when nothing is due or running in the store any more, which is
asked of the store itself. --by says how the jobs come in: POST /jobs/batch, the websocket, single POSTs, or straight
into the store and its index, from a process beside the node. Of several, like ``--by batch,stream``, each has its turn.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

from bench.drain import payload_of, row
from bench.load.address import Address
from bench.load.http import Order, submit
from bench.load.store import Fill, fill
from bench.load.stream import StreamOrder, stream
from bench.report import figures
from bench.report.report import Report
from bench.stage import account, stage
from bench.stage.remote import Remote
from bench.stage.stage import Node, Stage
from bench.stage.usage import SERVING, Usage
from bench.stage.watch import Ended, Watch, watch, watch_outside

WITHIN_S = 300.0
WARM_UP_BATCHES = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, url=True, workers=100)
    parser.add_argument("--by", default="batch", help="batch, stream, post or store; several take turns")
    parser.add_argument("--jobs", type=int, default=50_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="of each way")
    add_load(parser)


def add_load(parser: argparse.ArgumentParser) -> None:
    """Add what ``Way`` reads."""
    parser.add_argument("--size", type=int, default=500, help="jobs of a batch or a frame")
    parser.add_argument("--connections", type=int, default=2, help="of batches and websockets")
    parser.add_argument("--posts", type=int, default=32, help="connections of single POSTs")
    parser.add_argument("--payload-bytes", type=int, default=32)


def whole_batches(given: argparse.Namespace) -> int:
    """Make ``given.jobs`` so many that they are whole batches; return how many to warm up with."""
    given.size = min(given.size, given.jobs)
    given.jobs -= given.jobs % given.size
    return int(min(WARM_UP_BATCHES * given.size, given.jobs))


class Way(NamedTuple):
    """One way for jobs to come in: a process and the orders it takes."""

    name: str
    load: Remote
    given: argparse.Namespace
    node: Node

    @classmethod
    def open(cls, name: str, on: Stage, node: Node, given: argparse.Namespace) -> Way:
        """Start the process. Raises: SystemExit: there is no such way here."""
        targets: dict[str, tuple[Any, ...]] = {
            "batch": (submit, node.address),
            "post": (submit, node.address),
            "stream": (stream, node.address),
        }
        if node.place:
            targets |= {"store": (fill,)}
        if name not in targets:
            raise SystemExit(f"--by {name}: one of {', '.join(targets)}")
        return cls(name, on.remote(name, *targets[name]), given, node)

    def bring(self, jobs: int) -> int:
        """Submit ``jobs``, and return how many were confirmed."""
        given, within_s = self.given, WITHIN_S
        job = {"type": "noop", "payload": {"data": "x" * given.payload_bytes}}
        if self.name == "store":
            assert self.node.place is not None
            rows = Fill(jobs, {"type": "noop", "payload": payload_of(given.payload_bytes)}, given.size)
            return int(self.load.ask(*self.node.place, rows, within_s=within_s).stored)
        if self.name == "stream":
            frames = StreamOrder(job, given.size, max(2000, given.size), connections=given.connections, jobs=jobs)
            return int(self.load.ask(frames, within_s=within_s).stored)
        if self.name == "post":
            return int(self.load.ask(Order(job, connections=given.posts, requests=jobs), within_s=within_s).stored)
        order = Order(job, size=given.size, connections=given.connections, requests=jobs // given.size)
        return int(self.load.ask(order, within_s=within_s).stored)


def run(given: argparse.Namespace, report: Report) -> None:
    sides = given.by.split(",")
    warm_up = whole_batches(given)
    rounds: list[dict[str, Any]] = []
    with (
        stage.open_stage(given) as on,
        on.node() as node,
        report.steps(len(sides) * (given.rounds + 1)) as progress,
    ):
        ways = {side: Way.open(side, on, node, given) for side in sides}
        watching = on.remote("watch", watch, node.place.store) if node.place else None
        for way in ways.values():
            progress.step(f"{way.name}, warm-up")
            one_round(way, warm_up, on, watching)
        for number, side in figures.turns(sides, given.rounds):
            progress.step(f"{side}, round {number + 1} of {given.rounds}: {given.jobs:,} jobs")
            rounds.append({"round": number, "side": side, **one_round(ways[side], given.jobs, on, watching)})
        described = on.describe()
        room = account.sizes(node.place) if node.place else {}
    table = [{**row(rounds, side), "submitted/s": figures.median(rounds, side, "submitted/s")} for side in sides]
    ratios = compared(rounds, sides)
    report.table(table)
    report.ratios(ratios)
    report.bars({line["side"]: line["jobs/s"] for line in table}, "jobs/s", "jobs a second, until final in the store")
    costs = _costs(rounds, room, len(sides) * warm_up)
    if costs:
        report.table([costs], "for each job: bytes of room and of the logs, and how many jobs there are to a commit")
    report.keep(described, rounds, {"table": table, "ratios": ratios, "costs": costs, "bytes": room})


def compared(rounds: list[dict[str, Any]], sides: list[str]) -> list[dict[str, Any]]:
    """Return the ratios of all sides to the first: of jobs a second, and for each second of processor time."""
    told = [figure for figure in ("jobs/s", "jobs/cpu_s") if all(one[figure] for one in rounds)]
    return [figures.ratio(rounds, figure, side, sides[0]) for side in sides[1:] for figure in told]


def _costs(rounds: list[dict[str, Any]], room: dict[str, int], more_jobs: int) -> dict[str, float]:
    """Return what each job cost the store besides time. ``more_jobs``: those of no round, which take room as well."""
    jobs = sum(one["jobs"] for one in rounds)
    found = {f"{name} bytes": size / (jobs + more_jobs) for name, size in room.items()}
    if "redo_bytes" in rounds[0]:
        found["redo bytes"] = sum(one["redo_bytes"] for one in rounds) / jobs
        if any(one.get("binlog_bytes") for one in rounds):
            found["binlog bytes"] = sum(one["binlog_bytes"] for one in rounds) / jobs
        found["jobs a commit"] = jobs / max(sum(one["commits"] for one in rounds), 1)
    return found


def one_round(way: Way, jobs: int, on: Stage, watching: Remote | None) -> dict[str, Any]:
    """Submit ``jobs`` and wait until all are final. Raises: SystemExit: some were not taken, or did not succeed."""
    place = way.node.place
    before = account.counters(place) if place else {}
    usage = Usage(on.parties(way.node, way.load, *([watching] if watching else [])))
    began_us = time.time_ns() // 1000
    stored = way.bring(jobs)
    submitted_us = time.time_ns() // 1000
    if stored != jobs:
        raise SystemExit(f"only {stored:,} of {jobs:,} jobs were taken")
    seen_us = _until_final(way.node.address, watching, Watch(began_us, jobs, WITHIN_S))
    seconds = (seen_us - began_us) / 1e6
    rates = {"jobs/s": jobs / seconds, "submitted/s": jobs / ((submitted_us - began_us) / 1e6)}
    used = usage.so_far()
    busy_s = sum(used["cpu_s"].get(party, 0.0) for party in SERVING)
    found = {"jobs": jobs, "seconds": seconds, **rates, "jobs/cpu_s": jobs / busy_s if busy_s else None, **used}
    return {**found, **(account.since(before, place) if place else {})}


def _until_final(address: Address, watching: Remote | None, order: Watch) -> int:
    if watching is None:
        return watch_outside(address, order.queue, order.within_s)
    ended: Ended = watching.ask(order, within_s=order.within_s + 30)
    if ended.succeeded != order.expected:
        raise SystemExit(f"{ended.succeeded:,} jobs succeeded, {order.expected:,} were expected")
    return ended.seen_at
