"""How soon a long line is in Redis again after FLUSHALL, while jobs are submitted.

    python bench/reindex.py [--jobs 100000] [--rounds 10] [--nodes 1]

MariaDB and Redis are private. Measured from FLUSHALL until the index holds every job that waits, as its own count says,
by looking every 10 ms; one client submits all the time. Raw figures go to ``bench/results/``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx2
import trio

from bench import feed_figures as figures
from tests.processes import TickrProcess
from tests.servers import MariaDB, Redis
from tickr.jobs import NewJob
from tickr.store.contract import MAX_BATCH
from tickr.store.open import open_store

LOOK_S = 0.01
BETWEEN_S = 0.02
"""Between two submissions."""
SETTLE_S = 1.0, 2.0
"""Before each round, at random, so that FLUSHALL falls anywhere between two looks of the audit."""
READY = "tickr:{t}:ready:default"


async def fill(url: str, count: int) -> None:
    async with open_store(url) as store:
        for done in range(0, count, MAX_BATCH):
            figures.show(f"filling {done:,} of {count:,}")
            size = min(MAX_BATCH, count - done)
            await store.insert([NewJob(id=str(uuid.uuid4()), type="nobodys") for _ in range(size)])


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
                status = http.post("/jobs", json={"type": "nobodys", "queue": "other"}).status_code
                self.answers.append((began, status, (time.monotonic() - began) * 1000))

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def until_indexed(redis: Redis, count: int) -> None:
    with redis.client() as client:
        while client.zcard(READY) < count:
            time.sleep(LOOK_S)


def measure(jobs: int, rounds: int, nodes: int) -> list[dict[str, float]]:
    with ExitStack() as stack:
        mariadb, redis = stack.enter_context(MariaDB(tls=False)), stack.enter_context(Redis())
        trio.run(partial(fill, mariadb.url, jobs))
        node = partial(TickrProcess, store=mariadb.url, index=redis.url, roles="api,scheduler")
        fleet = [stack.enter_context(node()) for _ in range(nodes)]
        until_indexed(redis, jobs)
        client = stack.enter_context(Client(fleet[0].url))
        found = []
        for number in range(rounds):
            figures.show(f"round {number + 1} of {rounds}")
            time.sleep(random.uniform(*SETTLE_S))
            redis.flush()
            began = time.monotonic()
            until_indexed(redis, jobs)
            took_s = time.monotonic() - began
            answers = [(status, ms) for at, status, ms in client.answers if at >= began]
            failed = sum(status != 201 for status, _ in answers)
            slowest = max((ms for _, ms in answers), default=0.0)
            found.append({"took_s": took_s, "submitted": len(answers), "failed": failed, "slowest_ms": slowest})
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=1)
    given = parser.parse_args()
    machine = figures.machine()
    rounds = measure(given.jobs, given.rounds, given.nodes)
    figures.table(rounds)
    took = [one["took_s"] for one in rounds]
    print(f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s")
    raw = {
        "command": " ".join(["python", "bench/reindex.py", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(),
        "machine": machine,
        "jobs": given.jobs,
        "rounds": rounds,
    }
    path = figures.RESULTS / "reindex-mariadb-redis.json"
    path.write_text(json.dumps(raw) + "\n")
    print(f"raw figures: bench/results/{Path(path).name}")


if __name__ == "__main__":
    main()
