"""Memory of one process: with a long backlog, and over time while jobs come and go.

A node starts on an empty store (first figure) and is stopped; so many jobs are put there that are not due; another one
starts (second figure), and jobs are submitted at a steady rate for --minutes while its memory is looked at. The slope
is a straight line through the second half of the looks: what is warming up is over by then.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from bench.load.http import Order, submit
from bench.load.store import Fill, fill
from bench.report import figures, plot
from bench.report.report import Report
from bench.report.terminal import Steps
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.stage import Node
from bench.stage.usage import family, memory

HOUR_US = 3_600_000_000
GROWS = 1.005
"""More than by this factor from one look to the next: the index is still being filled."""
LOOKS = 240
"""How many looks there are, whatever the time; at most one a second."""
MIB = 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.add_argument("--backlog", type=int, default=100_000, help="delayed jobs that wait")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=100, help="jobs a second meanwhile")
    parser.add_argument("--payload-bytes", type=int, default=32)
    parser.add_argument(
        "--settle", type=float, default=3, help="seconds before a look, after the start and the backlog"
    )


def run(given: argparse.Namespace, report: Report) -> None:
    looks = max(2, min(LOOKS, int(given.minutes * 60)))
    with stage.open_stage(given) as on, report.steps(looks + 3) as progress:
        progress.step("a node on an empty store")
        place = on.place()
        with on.node(place) as node:
            time.sleep(given.settle)
            empty = _memory(node)
        progress.step(f"{given.backlog:,} jobs")
        with Remote("fill", fill) as filling:
            payload = f'{{"data":"{"x" * given.payload_bytes}"}}'
            fields = {"type": "noop", "delay_us": 24 * HOUR_US, "payload": payload}
            filling.ask(*place, Fill(given.backlog, fields, spread_us=1000), within_s=1800)
        with on.node(place) as node:
            full = _settled(node, given.settle, progress)
            samples = _watch(given, node, on.remote("load", submit, node.address), looks, progress)
        described = on.describe()
    half = samples[len(samples) // 2 :]
    slope = figures.slope([one["minute"] for one in half], [one["rss"] for one in half]) * 60 / MIB
    most = max(one["rss"] for one in samples)
    processes = max(one["processes"] for one in samples)
    row = {
        "processes": processes,
        "empty MiB": empty["rss"] / MIB,
        f"with {given.backlog:,} MiB": full["rss"] / MIB,
        "in the end MiB": samples[-1]["rss"] / MIB,
        "most MiB": most / MIB,
        "MiB/hour": slope,
        "jobs/s": given.rate,
        "minutes": given.minutes,
    }
    report.table([row], "resident memory of the node")
    some = samples[:: max(1, len(samples) // 12)]
    report.bars({f"{one['minute']:.1f} min": one["rss"] / MIB for one in some}, "MiB", "over time")
    curve = plot.Curve([one["minute"] for one in samples], [one["rss"] / MIB for one in samples])
    title = f"A node with {given.backlog:,} jobs waiting, {given.rate:g} jobs/s"
    pictures = {"": plot.Plot(title, "minutes", "resident memory, MiB", {"rss": curve})}
    summary = {"table": [row], "empty": empty, "full": full, "most_bytes": most, "mib_per_hour": slope}
    report.keep(described, samples, summary, pictures)


def _memory(node: Node) -> dict[str, int]:
    """Return what the node takes in bytes, all of its processes together."""
    pids = family(node.pid)
    found = [memory(pid) for pid in pids]
    return {"rss": sum(one["rss"] for one in found), "pss": sum(one["pss"] for one in found), "processes": len(pids)}


def _settled(node: Node, settle_s: float, progress: Steps) -> dict[str, int]:
    """Wait until an index in the process has taken in the backlog: memory has not grown for a moment."""
    progress.step("the index fills")
    before = after = _memory(node)
    while after is before or after["rss"] > before["rss"] * GROWS:
        time.sleep(settle_s)
        before, after = after, _memory(node)
    return after


def _watch(given: argparse.Namespace, node: Node, load: Remote, looks: int, progress: Steps) -> list[dict[str, Any]]:
    began, seconds = time.monotonic(), given.minutes * 60
    job = {"type": "noop", "payload": {"data": "x" * given.payload_bytes}}
    load.tell(Order(job, rate=given.rate, seconds=seconds))
    samples = []
    for number in range(looks):
        progress.step(f"{number * given.minutes / looks:.1f} of {given.minutes:g} minutes")
        if load.pipe.poll(max(0.0, began + (number + 1) * seconds / looks - time.monotonic())) and number < looks - 1:
            break  # it should go on; ``answer`` says why it does not
        minute = (time.monotonic() - began) / 60
        samples.append({"round": number, "side": "tickr", "minute": minute, **_memory(node)})
    answers = load.answer(within_s=180)
    if answers.stored != len(answers.took_us):
        raise SystemExit(f"jobs were refused: {dict(answers.statuses)}")
    return samples
