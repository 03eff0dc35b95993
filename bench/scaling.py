"""Load → another process, no load → one fewer: how soon ``--processes 1-2`` follows.

Endless jobs take every slot of the one process; then one more is submitted. Measured from just before that: until the
supervisor adds a process, until that process serves, and until the job has started there. Then all jobs are cancelled;
measured from there: until a process is told to go, and until it has gone. The instants are those of the log lines.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from bench.report import figures
from bench.report.report import Report
from bench.stage import stage
from bench.stage.stage import Node, Stage
from bench.stage.usage import Usage, others_share
from tickr.client import Client

SIDE = "1-2"
WITHIN_S = 90.0
LOOK_S = 0.05
SHOWN = ("added", "serving", "started", "removed", "stopped")


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser, workers=4)
    parser.set_defaults(log_level="info")
    parser.add_argument("--rounds", type=int, default=5)


def run(given: argparse.Namespace, report: Report) -> None:
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        progress = opened.enter_context(report.steps(given.rounds))
        on = opened.enter_context(stage.open_stage(given))
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}")
            rounds.append({"round": number, "side": SIDE, **_round(on, given.workers)})
        described = on.describe()
    table = [_row(rounds, what) for what in SHOWN]
    report.table(table, "seconds from the job that waits, or from when nothing is left")
    report.keep(described, rounds, {"table": table})


def _round(on: Stage, slots: int) -> dict[str, Any]:
    place = on.place()
    with on.node(place, more=("--processes", SIDE)) as node, Client(node.address.url) as client:
        usage = Usage(on.parties(node))
        jobs = client.submit_many([{"type": "endless"}] * slots)
        _instants(node, "job.started", slots)
        began = time.time()
        jobs += client.submit_many([{"type": "endless"}])
        found = {
            "added": _instants(node, "processes.added")[0] - began,
            "serving": _instants(node, "node.serving", 2)[1] - began,
            "started": _instants(node, "job.started", slots + 1)[slots] - began,
        }
        for job in jobs:
            assert not isinstance(job, Exception), job
            client.cancel(job)
        ended = _instants(node, "job.cancelled", slots + 1)[-1]
        found["removed"] = _instants(node, "processes.removed")[0] - ended
        found["stopped"] = _instants(node, "node.stopped")[0] - ended
        used = usage.so_far()
    on.clear(place)
    return {"jobs": len(jobs), **found, **used}


def _instants(node: Node, event: str, count: int = 1) -> list[float]:
    """Return when ``event`` was logged, seconds of the wall clock, once that has been so often."""
    deadline = time.monotonic() + WITHIN_S
    while len(found := sorted(_logged(node, event))) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{event} was not logged {count} times within {WITHIN_S:g} s")
        time.sleep(LOOK_S)
    return found


def _logged(node: Node, event: str) -> Iterator[float]:
    assert node.process is not None
    for line in node.process.log.splitlines():
        if line.startswith(f'{{"event":"{event}"') and line.endswith("}"):
            yield datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()


def _row(rounds: list[dict[str, Any]], what: str) -> dict[str, Any]:
    seconds = [one[what] for one in rounds]
    return {
        "until": what,
        "median": figures.median(rounds, SIDE, what),
        "least": min(seconds),
        "most": max(seconds),
        "others": others_share(rounds),
    }
