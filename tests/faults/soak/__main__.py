"""``python -m tests.faults.soak --minutes 60``: a soak, its progress, its table, and exit code 1 if a promise broke."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from tests.faults.soak import report
from tests.faults.soak.run import Plan, Result, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long nodes and servers are tormented")
    parser.add_argument("--rate", type=float, default=45.0, help="submissions a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what happens when")
    parser.add_argument("--keep", type=Path, help="write the raw table here (JSON)")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tickr-soak-"))
    plan = Plan(seconds=given.minutes * 60, seed=given.seed, rate=given.rate)
    result = trio.run(soak, plan, folder, _show)
    _show("")
    report.show(result)
    print(f"the ledger and the whole history are in {folder}")
    if given.keep:
        given.keep.write_bytes(msgspec.json.format(msgspec.json.encode(_raw(result)), indent=1))
    return any(report.faults(result).values())


def _raw(result: Result) -> dict[str, object]:
    return {"command": " ".join(["python -m tests.faults.soak", *sys.argv[1:]]), **msgspec.to_builtins(result)}


def _show(line: str) -> None:
    """Keep one line of progress on a terminal; a line a minute elsewhere would only be noise."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
