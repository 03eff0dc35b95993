"""What an attempt costs: no-op async jobs through the pool, with the log at a level and written to nowhere.

    python bench/attempts.py [LEVEL] [JOBS]

Prints one JSON line: microseconds of wall time and of processor time per job, claims and store left out.
"""

from __future__ import annotations

import json
import os
import sys
import time

import structlog
import trio

from tickr.jobs import Job as Record
from tickr.jobs import Outcome
from tickr.worker.handlers import Job, Jobs
from tickr.worker.pool import Pool

SLOTS = 50

jobs = Jobs()


@jobs.handler("noop")
async def noop(job: Job, to: str, body: str) -> dict[str, bool]:
    return {"ok": True}


class Counter:
    def __init__(self) -> None:
        self.succeeded = 0

    def put(self, outcome: Outcome) -> None:
        assert outcome.kind == "succeeded", outcome
        self.succeeded += 1

    async def wait_room(self) -> None:
        return


def claimed(number: int) -> Record:
    payload = '{"to":"a@b.c","body":"hello world"}'
    return Record(id=f"{number:032x}", type="noop", run_at=1, created_at=1, payload=payload, attempt=1, fence=1)


async def measure(count: int) -> tuple[float, float]:
    waiting = [claimed(number) for number in range(count)]
    counter = Counter()
    pool = Pool(jobs, counter, node="bench", slots=SLOTS, max_result_bytes=1_000_000)
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
    return wall / count * 1e6, busy / count * 1e6


def main() -> None:
    level = sys.argv[1] if len(sys.argv) > 1 else "info"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40_000
    with open(os.devnull, "w") as nowhere:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.WriteLoggerFactory(nowhere),
        )
        wall, busy = trio.run(measure, count)
    print(json.dumps({"log": level, "jobs": count, "wall_us": round(wall, 1), "cpu_us": round(busy, 1)}))


if __name__ == "__main__":
    main()
