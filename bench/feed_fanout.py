"""Events delivered per second in all to many subscribers, written beside the node by another process."""

from __future__ import annotations

import argparse
import time

from bench import feed_figures as figures
from bench.feed_load import Written
from bench.feed_stage import Remote, Stage, stage

LATE_S = 20.0
"""How long the last event may take to arrive after it was written, before a rate is given up."""


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--subscribers", type=int, default=100)
    command.add_argument(
        "--rates", default="1000,1500,2000,3000,4000", help="events written a second, one after another"
    )
    command.add_argument("--commits", type=float, default=20, help="commits a second")
    command.add_argument("--seconds", type=float, default=8, help="for each rate")


def run(given: argparse.Namespace) -> int:
    # A node without workers: what is written must not be run, and delivery is all it has to do.
    with stage(given.store, given.index, workers=1, roles="api,scheduler") as on:
        subscribers, writer = on.subscribers(), on.writer()
        figures.show(f"connecting {given.subscribers}")
        subscribers.ask("connect", on.port, "/events", given.subscribers)
        _step(given, on, subscribers, writer, 200.0)  # warm-up
        steps = []
        for rate in map(float, given.rates.split(",")):
            figures.show(f"{rate:,.0f} events/s to {given.subscribers} subscribers for {given.seconds:g} s")
            steps.append(_step(given, on, subscribers, writer, rate))
            if steps[-1]["faults"]:
                break
        costs = {"writer_cpu_s": writer.ask("stop")}
    columns = ("written/s", "delivered/s", "p50 ms", "p99 ms", "frames/s", "MB/s", "node cpu", "others cpu", "idle")
    figures.table(
        [{name: step[name] for name in columns} | {"all arrived": "no" if step["faults"] else "yes"} for step in steps]
    )
    kept = {name: value for name, value in vars(given).items() if name != "run"}
    figures.keep(f"fanout-{on.name}", {"given": kept, "on": on.name, "steps": steps, **costs})
    return 0


def _step(given: argparse.Namespace, on: Stage, subscribers: Remote, writer: Remote, rate: float) -> dict[str, object]:
    subscribers.ask("clear")
    batch = max(1, round(rate / given.commits))
    cpu, idle, began = figures.cpu_s(on.pid), figures.idle_s(), time.monotonic()
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
    for _, event, arrived in figures.arrivals(report):
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
        "node cpu": (figures.cpu_s(on.pid) - cpu) / wall,
        "others cpu": (_others(subscribers, writer) - others) / wall,
        "idle": (figures.idle_s() - idle) / wall,
        "late_commits": written.late,
        "bytes_per_event": report["bytes"] / max(1, report["delivered"]),
        "faults": faults,
        "lag": found,
    }


def _others(*processes: Remote) -> float:
    return sum(figures.cpu_s(process.process.pid or 0) for process in processes)
