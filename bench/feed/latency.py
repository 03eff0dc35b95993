"""COMMIT → websocket frame, while no-op jobs are submitted over HTTP at a steady rate and run by the node's worker."""

from __future__ import annotations

import argparse
import time
from typing import Any

from bench.feed.load import Submitted, submit
from bench.feed.stage import FeedStage, arrivals, feed_stage
from bench.report import figures, plot
from bench.report.report import Report
from bench.stage import usage
from bench.stage.remote import Remote

SETTLE_S = 1.0


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rate", type=float, default=500, help="jobs a second")
    command.add_argument("--seconds", type=float, default=30)
    command.add_argument("--warm-up", type=float, default=5, help="seconds that do not count")
    command.add_argument("--subscribers", type=int, default=1)
    command.add_argument("--rounds", type=int, default=1)
    command.add_argument("--apart", action="store_true", help="subscribe to a second node that serves the API alone")


def run(given: argparse.Namespace, report: Report) -> None:
    with feed_stage(given, workers=given.workers) as on, report.steps(given.rounds) as progress:
        subscribers = on.subscribers()
        subscribers.ask("connect", on.another_node() if given.apart else on.port, "/events", given.subscribers)
        rounds = []
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}: {given.rate:g} jobs/s for {given.seconds:g} s")
            rounds.append({"round": number, "side": "tickr", **_round(given, on, subscribers)})
        described = on.describe()
    rows = [
        {
            "measured from": since,
            "events": one[since]["count"],
            **{f"{name} ms": one[since][name] for name in ("p50", "p90", "p99", "p999", "max")},
            "jobs/s": one["answered_rate"],
            "201 p50 ms": one["answer"]["p50"],
            "node cpu": one["node_cpu"],
            "idle": one["idle"],
        }
        for one in rounds
        for since in ("answered", "sent")
    ]
    report.table(rows)
    print("measured from: the COMMIT's answer was seen by the node (answered), the COMMIT was sent (sent)")
    described["name"] += "-apart" if given.apart else ""
    first = {f"since {since}": rounds[0][since] for since in ("answered", "sent")}
    pictures = {"": plot.cumulative(first, "COMMIT to frame, first round", "ms")}
    report.keep(described, rounds, {"table": rows}, pictures)


def _round(given: argparse.Namespace, on: FeedStage, subscribers: Remote) -> dict[str, Any]:
    on.node.ask("commits")
    subscribers.ask("clear")
    cpu, idle, began = usage.cpu_s(on.pid), usage.idle_s(), time.monotonic()
    submitter = on.remote("submitter", submit, on.port, given.rate, given.warm_up + given.seconds)
    submitted: Submitted = submitter.answer(within_s=given.warm_up + given.seconds + 60)
    took = time.monotonic() - began
    used = {"node_cpu": (usage.cpu_s(on.pid) - cpu) / took, "idle": (usage.idle_s() - idle) / took}
    time.sleep(SETTLE_S)
    commits, _ = on.node.ask("commits")
    report = subscribers.ask("report")
    if report["faults"] or set(submitted.statuses) != {"201"}:
        raise SystemExit(f"faults: {report['faults']}; answers: {dict(submitted.statuses)}")
    written = {event: (sent, answered) for sent, answered, ids in commits for event in ids}
    since_ns = commits[0][1] + int(given.warm_up * 1e9)
    got = list(arrivals(report))
    if len(got) != len(written) * given.subscribers:
        raise SystemExit(f"{len(written):,} events written, {len(got):,} delivered to {given.subscribers} subscribers")
    counted = [(arrived, *written[event]) for _, event, arrived in got if written[event][1] >= since_ns]
    return {
        "answered": figures.distribution([(arrived - answered) / 1e6 for arrived, _, answered in counted]),
        "sent": figures.distribution([(arrived - sent) / 1e6 for arrived, sent, _ in counted]),
        "answer": figures.distribution([took * 1e3 for took in submitted.took_s]),
        "answered_rate": submitted.statuses["201"] / (given.warm_up + given.seconds),
        "commits": len(commits),
        "frames": report["frames"],
        "sent_late": submitted.sent_late,
        "submitter": {"cpu_s": submitted.cpu_s, "connections": submitted.connections},
        "subscribers_cpu_s": report["cpu_s"],
        **used,
    }
