"""What one subscriber that never reads costs the others: rounds with and without it, in turn; and memory for each.

In each round the last subscriber is a stuck one or one that reads. First it is written so much that nothing more can be
sent to a stuck one (in rounds without one as well, so that both are alike), then it is measured how soon events reach
the others while the server still holds on to it or has just dropped it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from bench.feed.load import Written
from bench.feed.stage import FeedStage, arrivals, feed_stage
from bench.feed.subscribers import be_stuck, subscribe
from bench.report import figures
from bench.report.report import Report
from bench.stage import usage
from bench.stage.remote import Remote

SETTLE_S = 2.0
DROPPED_WITHIN_S = 10.0
ARRIVED_WITHIN_S = 30.0
FILL_COMMITS, FILL_EVENTS, FILL_S = 8, 8, 2.0
"""So what fills a stuck one's buffers is written: commits, events in each, and in how many seconds."""


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--subscribers", type=int, default=1000)
    command.add_argument("--rounds", type=int, default=5, help="of each kind")
    command.add_argument("--seconds", type=float, default=10, help="measured in each round")
    command.add_argument("--commits", type=float, default=5, help="commits a second while it is measured")
    command.add_argument("--batch", type=int, default=5, help="events in each of them")
    command.add_argument("--fill-mib", type=float, default=0.5, help="written to each before, in MiB")


def run(given: argparse.Namespace, report: Report) -> None:
    with feed_stage(given, roles="api,scheduler") as on, report.steps(2 * given.rounds + 1) as progress:
        subscribers, writer = on.subscribers(), on.writer()
        subscribers.ask("connect", on.port, "/events", 1)
        _write(subscribers, writer, given.commits, given.batch, 0, 3)  # whatever is made once is made
        memory = [usage.memory(on.pid)]
        progress.step(f"connecting {given.subscribers}")
        subscribers.ask("connect", on.port, "/events", given.subscribers - 2, within_s=300)
        time.sleep(SETTLE_S)
        memory.append(usage.memory(on.pid))
        _write(subscribers, writer, given.commits, given.batch, 0, 5)
        memory.append(usage.memory(on.pid))
        rounds = []
        for number in range(2 * given.rounds):
            stuck = number % 4 in (1, 2)  # without, with, with, without: what drifts hits both alike
            progress.step(f"round {number + 1} of {2 * given.rounds}, {'with' if stuck else 'without'} a stuck one")
            found = _round(given, on, subscribers, writer, stuck=stuck)
            rounds.append({"round": number // 2, "side": "stuck" if stuck else "without", **found})
        memory.append(usage.memory(on.pid))
        described = on.describe()
    _report(given, report, described, rounds, memory)


def _round(
    given: argparse.Namespace, on: FeedStage, subscribers: Remote, writer: Remote, *, stuck: bool
) -> dict[str, Any]:
    with Remote("last", be_stuck, on.port, "/events") if stuck else Remote("last", subscribe) as last:
        if stuck:
            last.answer()
        else:
            last.ask("connect", on.port, "/events", 1)
        order = (FILL_COMMITS / FILL_S, FILL_EVENTS, int(given.fill_mib * 1024**2 / FILL_COMMITS / FILL_EVENTS), FILL_S)
        _write(subscribers, writer, *order)
        memory = usage.memory(on.pid)
        cpu, began = usage.cpu_s(on.pid), time.monotonic()
        measured = _write(subscribers, writer, given.commits, given.batch, 0, given.seconds)
        node_cpu = (usage.cpu_s(on.pid) - cpu) / (time.monotonic() - began)
        found: dict[str, Any] = {"stuck": stuck, "lag": measured, "node_cpu": node_cpu, "memory": memory}
        if stuck:
            seen = last.ask("how did it go")
            found |= {"dropped_s": _since(seen["full"], seen["dropped"]), "gone_s": _since(seen["full"], seen["gone"])}
            found |= {"queued_bytes": seen["queued"]}
    return found


def _since(full: int | None, then: int | None) -> float | None:
    return None if full is None or then is None else (then - full) / 1e9


def _write(
    subscribers: Remote, writer: Remote, commits: float, batch: int, size: int, seconds: float
) -> dict[str, Any]:
    """Write for ``seconds`` and return how soon it reached everybody, in ms; ends the program where it did not."""
    subscribers.ask("clear")
    written: Written = writer.ask(commits, batch, size, seconds, within_s=seconds + 60)
    instants = {event: instant for instant, events in written.commits for event in events}
    deadline = time.monotonic() + ARRIVED_WITHIN_S
    while time.monotonic() < deadline:
        count = subscribers.ask("count")
        if count["faults"] or count["delivered"] >= len(instants) * count["connected"]:
            break
        time.sleep(0.1)
    report = subscribers.ask("report")
    if report["faults"] or report["delivered"] != len(instants) * report["connected"]:
        missing = len(instants) * report["connected"] - report["delivered"]
        raise SystemExit(f"{missing:,} of {report['delivered'] + missing:,} did not arrive; {report['faults']}")
    return figures.distribution([(arrived - instants[event]) / 1e6 for _, event, arrived in arrivals(report)])


def _report(
    given: argparse.Namespace,
    report: Report,
    described: dict[str, Any],
    rounds: list[dict[str, Any]],
    memory: list[dict[str, int]],
) -> None:
    report.table(
        [
            {
                "round": "with a stuck one" if one["stuck"] else "without",
                **{f"{name} ms": one["lag"][name] for name in ("p50", "p90", "p99", "max")},
                "node cpu": one["node_cpu"],
                "dropped after s": "" if one.get("dropped_s") is None else one["dropped_s"],
                "its queue KiB": one.get("queued_bytes", 0) // 1024,
            }
            for one in rounds
        ]
    )
    p99 = {kind: [one["lag"]["p99"] for one in rounds if one["stuck"] is kind] for kind in (False, True)}
    ratio = statistics.median(p99[True]) / statistics.median(p99[False])
    each = {
        when: {name: (after[name] - memory[0][name]) / (given.subscribers - 2) / 1024 for name in after}
        for when, after in zip(("connected", "after traffic", "after all rounds"), memory[1:], strict=True)
    }
    print(f"p99, median of the rounds: {ratio - 1:+.1%} with a stuck one")
    report.table([{"KiB for each subscriber": when, **found} for when, found in each.items()])
    dropped = [one["dropped_s"] for one in rounds if one["stuck"]]
    if any(after is None or after > DROPPED_WITHIN_S for after in dropped):
        print(f"the stuck one was not dropped within {DROPPED_WITHIN_S:g} s in every round: {dropped}")
    summary = {"p99_ratio": ratio, "kib_for_each_subscriber": each, "memory": memory}
    report.keep(described, rounds, summary)
