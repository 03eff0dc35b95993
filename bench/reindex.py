"""How soon a long line is in Redis again after FLUSHALL, while jobs are submitted.

Measured from FLUSHALL until the index holds every job that waits, as its own count says, by looking every 10 ms; one
client submits all the time, and how it was answered meanwhile is noted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx2
import redis

from bench.load.store import Fill, fill
from bench.report.report import Report
from bench.stage import stage
from bench.stage.remote import Remote
from bench.stage.usage import Usage

LOOK_S = 0.01
BETWEEN_S = 0.02
"""Between two submissions."""
SETTLE_S = 1.0, 2.0
"""Before each round, at random, so that FLUSHALL falls anywhere between two looks of the audit."""
INDEXED_WITHIN_S = 120.0
TYPE = "nobodys"


def arguments(parser: argparse.ArgumentParser) -> None:
    stage.arguments(parser)
    parser.set_defaults(index="redis")
    parser.add_argument("--jobs", type=int, default=100_000, help="that wait, due")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=1)


class Client(threading.Thread):
    """Submits to another queue, and notes how each was answered and how long it took."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self._over = url, threading.Event()
        self.answers: list[tuple[float, int, float]] = []

    def run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=30, trust_env=False) as http:
            while not self._over.wait(BETWEEN_S):
                began = time.monotonic()
                status = http.post("/jobs", json={"type": TYPE, "queue": "other"}).status_code
                self.answers.append((began, status, (time.monotonic() - began) * 1000))

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def run(given: argparse.Namespace, report: Report) -> None:
    if given.index != "redis":
        raise SystemExit("only a private Redis is flushed: --index redis")
    rounds: list[dict[str, Any]] = []
    with ExitStack() as opened:
        progress = opened.enter_context(report.steps(given.rounds + 1))
        on = opened.enter_context(stage.open_stage(given))
        place = on.place()
        progress.step(f"{given.jobs:,} jobs that nobody runs")
        with Remote("fill", fill) as filling:
            filling.ask(*place, Fill(given.jobs, {"type": TYPE}), within_s=1800)
        fleet = [opened.enter_context(on.node(place, roles="api,scheduler")) for _ in range(given.nodes)]
        index = opened.enter_context(redis.Redis.from_url(place.index.partition("?")[0]))
        ready = f"tickr:{{{place.index.partition('namespace=')[2]}}}:ready:default"
        until_indexed(index, ready, given.jobs)
        client = opened.enter_context(Client(fleet[0].address.url))
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}")
            time.sleep(random.uniform(*SETTLE_S))
            usage = Usage(on.parties(fleet[0]))
            began = time.monotonic()
            index.flushall()
            until_indexed(index, ready, given.jobs)
            took_s = time.monotonic() - began
            answers = [(status, ms) for at, status, ms in client.answers if at >= began]
            found = {"took_s": took_s, "submitted": len(answers), "failed": sum(one != 201 for one, _ in answers)}
            found["slowest_ms"] = max((ms for _, ms in answers), default=0.0)
            rounds.append({"round": number, "side": "tickr", **found, **usage.so_far()})
        described = on.describe()
    report.table([{name: one[name] for name in ("took_s", "submitted", "failed", "slowest_ms")} for one in rounds])
    took = [one["took_s"] for one in rounds]
    summary = {"median_s": statistics.median(took), "longest_s": max(took)}
    print(f"median {summary['median_s']:.2f} s, longest {summary['longest_s']:.2f} s")
    report.keep(described, rounds, summary)


def until_indexed(index: redis.Redis, key: str, count: int) -> None:
    deadline = time.monotonic() + INDEXED_WITHIN_S
    while int(index.zcard(key)) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"the index did not hold {count:,} jobs within {INDEXED_WITHIN_S:g} s")
        time.sleep(LOOK_S)
