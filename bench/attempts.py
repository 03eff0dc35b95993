"""What an attempt costs in this process: no-op handlers through the pool, claims and store left out.

The log goes nowhere, at each of --log-levels in turn: a line for each start and each end is part of what a job costs at
the level info. One more process does all of it, so that nothing else of the bench is in its memory.
"""

from __future__ import annotations

import argparse
import os
import time
from multiprocessing.connection import Connection
from typing import Any

import structlog
import trio

from bench.report import figures
from bench.report.report import Report
from bench.stage.remote import Remote
from tickr.jobs import Job as Record
from tickr.reports import Outcome
from tickr.worker.handlers import Job, Jobs
from tickr.worker.pool import Pool

jobs = Jobs()


@jobs.handler("noop")
async def noop(job: Job, to: str, body: str) -> dict[str, bool]:
    return {"ok": True}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=40_000, help="of each round")
    parser.add_argument("--slots", type=int, default=50, help="jobs at once")
    parser.add_argument("--log-levels", default="warning,info")
    parser.add_argument("--rounds", type=int, default=5, help="of each level")


def run(given: argparse.Namespace, report: Report) -> None:
    levels = given.log_levels.split(",")
    rounds: list[dict[str, Any]] = []
    with Remote("pool", serve) as pool, report.steps(len(levels) * given.rounds) as progress:
        for number, level in figures.turns(levels, given.rounds):
            progress.step(f"log at {level}, round {number + 1} of {given.rounds}")
            found = pool.ask(level, given.jobs, given.slots, within_s=600)
            rounds.append({"round": number, "side": level, "jobs": given.jobs, **found})
    columns = ("wall_us", "cpu_us")
    table = [{"log": side, **{name: figures.median(rounds, side, name) for name in columns}} for side in levels]
    report.table(table, "microseconds for each attempt, medians")
    ratios = [figures.ratio(rounds, "cpu_us", side, levels[0]) for side in levels[1:]]
    report.ratios(ratios)
    report.keep({"name": "process"}, rounds, {"table": table, "ratios": ratios})


class Counter:
    """Takes outcomes in the store's place."""

    def __init__(self) -> None:
        self.succeeded = 0

    def put(self, outcome: Outcome) -> None:
        assert outcome.kind == "succeeded", outcome
        self.succeeded += 1

    async def wait_room(self) -> None:
        return


def serve(pipe: Connection) -> None:
    """The process: for each ``(level, jobs, slots)`` on ``pipe`` send what an attempt cost."""
    with open(os.devnull, "w") as nowhere:
        while True:
            try:
                level, count, slots = pipe.recv()
            except (EOFError, OSError):
                return
            structlog.configure(
                processors=[
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso"),
                    structlog.processors.JSONRenderer(),
                ],
                wrapper_class=structlog.make_filtering_bound_logger(level),
                logger_factory=structlog.WriteLoggerFactory(nowhere),
                cache_logger_on_first_use=False,
            )
            pipe.send(trio.run(measure, count, slots))


def claimed(number: int) -> Record:
    payload = '{"to":"a@b.c","body":"hello world"}'
    return Record(id=f"{number:032x}", type="noop", run_at=1, created_at=1, payload=payload, attempt=1, fence=1)


async def measure(count: int, slots: int) -> dict[str, float]:
    """Return microseconds of wall time (``wall_us``) and of processor time (``cpu_us``) for each attempt."""
    waiting = [claimed(number) for number in range(count)]
    counter = Counter()
    pool = Pool(jobs, counter, slots=slots, max_result_bytes=1_000_000)
    async with trio.open_nursery() as tasks:
        wall, busy = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.run, tasks)
            while waiting:
                free = await pool.wait_free()
                pool.start(waiting[-free:])
                del waiting[-free:]
            pool.close()
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
    assert counter.succeeded == count
    return {"wall_us": wall / count * 1e6, "cpu_us": busy / count * 1e6}
