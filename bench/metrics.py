"""What counting costs: a note in each meter, a commit's tally, and a scrape of a node with few labels and with most.

In this process, in microseconds of processor time, without a store: what it is asked for is not the counting.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.report import figures
from bench.report.report import Report
from tickr.meters import Batches, Requests
from tickr.metrics.board import Board, board_file
from tickr.metrics.exposition import write
from tickr.metrics.jobs import MAX_PAIRS, Tallied
from tickr.metrics.snapshot import decode, encode, joined, of_histogram
from tickr.tallies import Part, Tally, Times, bucket

JOBS_OF_A_COMMIT = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--times", type=int, default=20_000, help="each note of each round; the rest a hundredth of it")
    parser.add_argument("--rounds", type=int, default=5)


def run(given: argparse.Namespace, report: Report) -> None:
    notes, scrapes = _notes(), _scrapes()
    rounds: list[dict[str, Any]] = []
    with report.steps(given.rounds) as progress:
        for number in range(given.rounds):
            progress.step(f"round {number + 1} of {given.rounds}")
            for times, calls in ((given.times, notes), (max(1, given.times // 100), scrapes)):
                for side, call in calls.items():
                    rounds.append({"round": number, "side": side, "times": times, "cpu_us": _cpu_us(call, times)})
    sides = [*notes, *scrapes]
    table = [{"what": side, "cpu_us": figures.median(rounds, side, "cpu_us")} for side in sides]
    report.table(table, "microseconds of processor time, medians")
    report.keep({"name": "process"}, rounds, {"table": table})


def _cpu_us(call: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


def _notes() -> dict[str, Callable[[], object]]:
    """Return what stands on the paths of jobs and requests."""
    requests, batches, tallied = Requests(), Batches(), Tallied()
    commit = _commit("a", "q")
    return {
        "a request": lambda: requests.note("/jobs", "POST", 201, 0.004),
        "a transaction of a line, or a claim": lambda: batches.note(JOBS_OF_A_COMMIT, 0.004),
        f"a commit of {JOBS_OF_A_COMMIT} jobs of one type": lambda: tallied.take(commit),
    }


def _scrapes() -> dict[str, Callable[[], object]]:
    """Return what a scrape, and each second of one of several processes, is made of."""
    found: dict[str, Callable[[], object]] = {}
    board = Board(board_file(1), 1)
    for pairs in (1, MAX_PAIRS):
        tallied, batches = Tallied(), Batches()
        for number in range(pairs):
            tallied.take(_commit(f"type-{number}", "q"))
        snapshot = tallied.snapshot() | {"tickr_claim_duration_seconds": {(): of_histogram(batches.seconds)}}
        text = encode(snapshot)
        found[f"snapshot, {pairs} pairs"] = tallied.snapshot
        found[f"tell the other processes, {pairs} pairs"] = lambda snapshot=snapshot: board.write(0, encode(snapshot))  # type: ignore[misc]
        found[f"add up four processes, {pairs} pairs"] = lambda text=text: joined([decode(text)] * 4)  # type: ignore[misc]
        found[f"write the text, {pairs} pairs"] = lambda snapshot=snapshot: write(snapshot, "")  # type: ignore[misc]
    return found


def _commit(type: str, queue: str) -> Tally:
    some_us = range(0, JOBS_OF_A_COMMIT * 1_000, 1_000)
    times = Times(sum(some_us), Counter(map(bucket, some_us)))
    part = Part(queue, type, wait=times, run=times)
    part.counts[1] = part.counts[2] = JOBS_OF_A_COMMIT
    return Tally(0, [part])
