"""The event feed: how soon events arrive, how many, and what one stuck subscriber costs the others.

    python bench/feed.py latency [--rate 500] [--seconds 30] [--subscribers 1] [--store mysql|sqlite|URL] [--index URL]
    python bench/feed.py fanout  [--subscribers 100] [--rates 1000,1500,…]
    python bench/feed.py stuck   [--subscribers 1000] [--rounds 5]

By default a private MariaDB and Redis are started. Node, subscribers and whoever makes the events are processes of
their own on this machine; instants are of its one monotonic clock. A table is printed, and the raw figures go to
``bench/results/feed-*.json``.

*latency*: no-op jobs are submitted over HTTP at a steady rate and run by the node's own worker; measured from COMMIT to
the arrival of the frame, for every event of the second half of the warm-up on. *fanout*: events per second that reach
all subscribers together, written beside the node by another process; each rate is held for some seconds. *stuck*:
rounds with and without one subscriber that never reads, in turn, and what a subscriber takes of memory.
"""

from __future__ import annotations

import argparse
import sys

from bench import feed_fanout, feed_latency, feed_stuck


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, module in {"latency": feed_latency, "fanout": feed_fanout, "stuck": feed_stuck}.items():
        command = commands.add_parser(name, description=module.__doc__)
        command.add_argument(
            "--store", default="mysql", help="mysql (a private MariaDB), sqlite, or an empty store's URL"
        )
        command.add_argument("--index", help="redis (a private one) or a URL; heap: by default with SQLite")
        module.arguments(command)
        command.set_defaults(run=module.run)
    given = parser.parse_args()
    sys.exit(given.run(given))


if __name__ == "__main__":
    main()
