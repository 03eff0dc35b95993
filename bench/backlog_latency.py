"""Submit → start of instant jobs, with and without a backlog of delayed ones, on one node that is started here.

    python bench/backlog_latency.py [--backlog 100000] [--samples 200] [--store URL] [--index URL]

Both sides are measured in one run, alternating. The latency is ``started_at - created_at`` by the store's clock. Raw
figures go to ``bench/results/``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import httpx2
import trio

from tickr.jobs import NewJob
from tickr.store.open import open_store

HOUR_US = 3_600_000_000


async def fill(url: str, count: int) -> None:
    async with open_store(url) as store:
        for done in range(0, count, 1000):
            await store.insert(
                [
                    NewJob(id=str(uuid.uuid4()), type="report", delay_us=HOUR_US + number)
                    for number in range(min(1000, count - done))
                ]
            )
            print(f"\rfilling {done + 1000:,} of {count:,}", end="", file=sys.stderr)
    print(file=sys.stderr)


def measure(store: str, index: str, samples: int) -> list[float]:
    """Return submit → start in ms of ``samples`` jobs, one after the other, on a fresh node."""
    port = 18_473
    command = [sys.executable, "-m", "tickr", "serve", "--store", store, "--index", index, "--port", str(port)]
    node = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as http:
            wait_until(lambda: http.get("/readyz").status_code == 200)
            run_one(http, warm=True)
            return [run_one(http) for _ in range(samples)]
    finally:
        node.terminate()
        node.wait()


def run_one(http: httpx2.Client, *, warm: bool = False) -> float:
    job = http.post("/jobs", json={"type": "report", "payload": {"title": "t", "body": "b", "time": 0}}).json()
    found: dict[str, str] = {}

    def done() -> bool:
        found.update(http.get(f"/jobs/{job['id']}").json())
        return found["state"] == "succeeded"

    wait_until(done, within_s=60 if warm else 10)
    started, created = (datetime.fromisoformat(found[name]) for name in ("started_at", "created_at"))
    return (started - created).total_seconds() * 1000


def wait_until(fact: object, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if fact():  # type: ignore[operator]
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.01)
    raise TimeoutError("the node did not get there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", help="URL of an empty store; by default SQLite in a temporary folder")
    parser.add_argument("--index", default="heap:")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or f"sqlite:///{folder}/full.db"
        empty = f"sqlite:///{folder}/empty.db"
        trio.run(partial(fill, store, given.backlog))
        rounds = []
        for _ in range(given.rounds):
            sides = {"backlog": measure(store, given.index, given.samples)}
            if not given.store:
                sides["empty"] = measure(empty, given.index, given.samples)
            rounds.append(sides)
    report(given, rounds)


def report(given: argparse.Namespace, rounds: list[dict[str, list[float]]]) -> None:
    print(f"{'':10}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for side in rounds[0]:
        values = sorted(value for sides in rounds for value in sides[side])
        p99 = values[int(len(values) * 0.99)]
        print(f"{side:10}{statistics.median(values):10.2f}{p99:10.2f}{values[-1]:10.2f}")
    raw = {
        "command": " ".join(["python", "bench/backlog_latency.py", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(),
        "machine": {"python": platform.python_version(), "system": platform.platform(), "tickr": version("tickr")},
        "backlog": given.backlog,
        "rounds": rounds,
    }
    name = "sqlite-heap" if not given.store else "mysql-" + given.index.partition(":")[0]
    path = Path(__file__).parent / "results" / f"backlog_latency-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(raw) + "\n")
    print(f"raw figures: bench/results/{path.name}")


if __name__ == "__main__":
    main()
