"""``python -m bench.peers``: run Tickr and its peers in alternating rounds, print a table, keep the raw figures.

python -m bench.peers [--peers celery,rq] [--jobs N] [--rounds 5] [--redis-fsync everysec]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bench.peers.brokers import Brokers
from bench.peers.catalogue import PEERS, REFERENCES
from bench.peers.contract import CHUNK
from bench.peers.report import raw, table
from bench.peers.rounds import Contest
from bench.report.machine import machine

RESULTS = Path(__file__).parents[1] / "results"


def names(text: str) -> list[str]:
    given = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in given if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no peer named {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    return given


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Tickr beside its peers, in one run.")
    parser.add_argument("--peers", type=names, metavar="NAMES", help=f"some of {','.join(PEERS)}; all by default")
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs in a round; by default as many as take 4 seconds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--redis-fsync",
        choices=["no", "everysec", "always"],
        default="no",
        help="give Redis an append-only file with this appendfsync; by default it saves nothing",
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where the raw figures go")
    return parser.parse_args(words)


def main() -> None:
    given = arguments(sys.argv[1:])
    wanted = {peer.name for peer in REFERENCES} | set(given.peers or PEERS)
    before = machine()  # the load average is of this moment
    peers = [peer for name, peer in PEERS.items() if name in wanted]
    with Brokers({server for peer in peers for server in peer.servers}, redis_fsync=given.redis_fsync) as brokers:
        contest = Contest(peers, brokers, jobs=given.jobs)
        contest.install()
        contest.calibrate()
        try:
            contest.rounds(given.rounds)
        except KeyboardInterrupt:
            print("stopped; here is what there is", file=sys.stderr)
        run = raw(
            contest.records,
            command=" ".join(["python", "-m", "bench.peers", *sys.argv[1:]]),
            machine=before,
            servers=brokers.versions(),
            settings={"rounds": given.rounds, "chunk": CHUNK, "redis_fsync": given.redis_fsync},
        )
    name = "all" if not given.peers else "-".join(given.peers)
    path = given.keep or RESULTS / f"peers-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(run, ensure_ascii=False) + "\n")
    print(table(contest.records))
    print(f"raw figures: {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
