"""Events delivered per second in all to many subscribers, written beside the node by another process."""

from __future__ import annotations

import argparse
import time
from typing import Any

from bench.feed.load import Written
from bench.feed.stage import FeedStage, arrivals, feed_stage
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import usage
from bench.stage.remote import Remote

LATE_S = 20.0
"""How long the last event may take to arrive after it was written, before a rate is given up."""


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--subscribers", type=int, default=100)
    command.add_argument(
        "--rates", default="1000,1500,2000,3000,4000", help="events written a second, one after another"
    )
    command.add_argument("--commits", type=float, default=20, help="commits a second")
    command.add_argument("--seconds", type=float, default=8, help="for each rate")


def run(given: argparse.Namespace, report: Report) -> None:
    rates = [float(word) for word in given.rates.split(",")]
    # A node without workers: what is written must not be run, and delivery is all it has to do.
    with feed_stage(given, roles="api,scheduler") as on, report.steps(len(rates) + 1) as progress:
        subscribers, writer = on.subscribers(), on.writer()
        progress.step(f"connecting {given.subscribers}")
        subscribers.ask("connect", on.port, "/events", given.subscribers)
        _step(given, on, subscribers, writer, 200.0)  # warm-up
        steps = []
        for number, rate in enumerate(rates):
            progress.step(f"{rate:,.0f} events/s to {given.subscribers} subscribers for {given.seconds:g} s")
            steps.append({"round": number, "side": "tickr", **_step(given, on, subscribers, writer, rate)})
            if steps[-1]["faults"]:
                break
        costs = {"writer_cpu_s": writer.ask("stop")}
        described = on.describe()
    columns = ("written/s", "delivered/s", "p50 ms", "p99 ms", "frames/s", "MB/s", "node cpu", "others cpu", "idle")
    table = [{name: step[name] for name in columns} | {"all arrived": not step["faults"]} for step in steps]
    report.table(table)
    curve = plot.Curve([step["written/s"] for step in steps], [step["delivered/s"] for step in steps])
    pictures = {"": plot.Plot("Fan-out", "events written a second", "delivered a second", {"in all": curve})}
    report.keep(described, steps, {"table": table, **costs}, pictures)


def _step(given: argparse.Namespace, on: FeedStage, subscribers: Remote, writer: Remote, rate: float) -> dict[str, Any]:
    subscribers.ask("clear")
    batch = max(1, round(rate / given.commits))
    cpu, idle, began = usage.cpu_s(on.pid), usage.idle_s(), time.monotonic()
    others = _others(subscribers, writer)
    written: Written = writer.ask(given.commits, batch, 0, given.seconds, within_s=given.seconds + 60)
    ids = {event: instant for instant, events in written.commits for event in events}
    expected, deadline = len(ids) * given.subscribers, time.monotonic() + LATE_S
    while (count := subscribers.ask("count"))["delivered"] < expected and time.monotonic() < deadline:
        if count["faults"]:
            break
        time.sleep(0.1)
    wall = time.monotonic() - began
    report = subscribers.ask("report")
    lags, last = [], 0
    for _, event, arrived in arrivals(report):
        lags.append((arrived - ids[event]) / 1e6)
        last = max(last, arrived)
    took = (last - written.commits[0][0]) / 1e9
    faults = report["faults"]
    if report["delivered"] != expected:
        faults = [*faults, f"{report['delivered']:,} of {expected:,} were delivered"]
    if missing := ids.keys() - set(report["ids"]):
        faults = [*faults, f"{len(missing):,} events reached nobody"]
    found = figures.distribution(lags)
    return {
        "written/s": len(ids) / given.seconds,
        "delivered/s": report["delivered"] / took,
        "p50 ms": found["p50"],
        "p99 ms": found["p99"],
        "frames/s": report["frames"] / took,
        "MB/s": report["bytes"] / took / 1e6,
        "node cpu": (usage.cpu_s(on.pid) - cpu) / wall,
        "others cpu": (_others(subscribers, writer) - others) / wall,
        "idle": (usage.idle_s() - idle) / wall,
        "late_commits": written.late,
        "bytes_per_event": report["bytes"] / max(1, report["delivered"]),
        "faults": faults,
        "lag": found,
    }


def _others(*processes: Remote) -> float:
    return sum(usage.cpu_s(process.process.pid or 0) for process in processes)
