"""Cancel → stopped: how soon a job that runs on one node has ended after another was asked to cancel it.

Endless jobs run on a second node; they are cancelled one after the other at the first, at random moments. Measured from
just before the request is sent: until the ``cancelled`` event is written, by its own time (the store's clock, which a
private server has from this machine), and until a subscriber at the first node has it. The event is written only after
the handler has ended. With --nodes 1 both are the same node.
"""

from __future__ import annotations

import argparse
import random
import time
from contextlib import ExitStack
from typing import Any

from bench.report import figures
from bench.report.report import Report
from bench.stage import stage
from bench.stage.stage import ALL, Node, Stage
from bench.stage.usage import Usage, others_share
from tickr.client import Client

TYPE = "endless"
BETWEEN_S = 0.01, 0.06
"""Between two cancels, at random, so that they fall anywhere between what else goes on."""
RUN_WITHIN_S = 60.0
LOOK_S = 0.05
SHOWN = ("p50", "p90", "p99", "max")


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.add_argument("--cancels", type=int, default=50, help="of each round; no more than --workers")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--nodes", type=int, choices=(1, 2), default=2)


def run(given: argparse.Namespace, report: Report) -> None:
    if given.cancels > given.workers:
        raise SystemExit("--cancels: all of a round run at the same time, so no more than --workers")
    side = "another node" if given.nodes == 2 else "the same node"
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        progress = opened.enter_context(report.steps(given.rounds + 1))
        on = opened.enter_context(stage.open_stage(given))
        progress.step("nodes")
        asked, runs = _nodes(on, opened, given.nodes)
        client = opened.enter_context(Client(asked.address.url))
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}")
            usage = Usage(on.parties(runs))
            rounds.append({"round": number, "side": side, **_measure(client, given.cancels), **usage.so_far()})
        described = on.describe()
    _report(report, described, rounds, side)


def _nodes(on: Stage, opened: ExitStack, count: int) -> tuple[Node, Node]:
    """Return the node that is asked, and the one where jobs run."""
    place = on.place()
    if count == 1:
        alone = opened.enter_context(on.node(place, roles=ALL))
        return alone, alone
    asked = opened.enter_context(on.node(place, roles="api,scheduler"))
    return asked, opened.enter_context(on.node(place, roles="api,worker"))


def _measure(client: Client, count: int) -> dict[str, Any]:
    stored = client.submit_many([{"type": TYPE}] * count)
    _until_running(client, count)
    written, heard = [], []
    with client.events(type=TYPE, event="cancelled") as events:
        for job in stored:
            assert not isinstance(job, Exception), job
            time.sleep(random.uniform(*BETWEEN_S))
            sent_us, sent_ns = time.time_ns() // 1000, time.monotonic_ns()
            client.cancel(job)
            event = next(events)
            heard.append((time.monotonic_ns() - sent_ns) / 1e6)
            written.append(event.time.timestamp() * 1000 - sent_us / 1000)
            if event.job.id != job.id:
                raise SystemExit(f"another job was cancelled: {event.job.id}, not {job.id}")
    return {"jobs": count, "written_ms": figures.distribution(written), "heard_ms": figures.distribution(heard)}


def _until_running(client: Client, count: int) -> None:
    deadline = time.monotonic() + RUN_WITHIN_S
    while len(list(client.list(type=TYPE, state="running"))) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{count} jobs did not run within {RUN_WITHIN_S:g} s")
        time.sleep(LOOK_S)


def _report(report: Report, described: dict[str, Any], rounds: list[dict[str, Any]], side: str) -> None:
    table = []
    for what in ("written", "heard"):
        flat = [{**one, **one[f"{what}_ms"]} for one in rounds]
        row: dict[str, Any] = {"until": what, "cancels": sum(one["jobs"] for one in rounds)}
        row |= {name: figures.median(flat, side, name) for name in SHOWN[:-1]}
        table.append({**row, "max": max(one["max"] for one in flat), "others": others_share(rounds)})
    report.table(table, f"cancel sent → event, ms, job on {side}; medians over the rounds, max over all")
    report.keep(described, rounds, {"table": table})
