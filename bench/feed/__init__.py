"""The event feed (latency, fanout, stuck): how soon events arrive, how many, what a stuck subscriber costs.

*latency*: no-op jobs are submitted over HTTP at a steady rate and run by the node's own worker; measured from COMMIT to
the arrival of the frame, for every event of the second half of the warm-up on. *fanout*: events per second that reach
all subscribers together, written beside the node by another process; each rate is held for some seconds. *stuck*:
rounds with and without one subscriber that never reads, in turn, and what a subscriber takes of memory.

Node, subscribers and whoever makes the events are processes of their own on this machine; instants are of its one
monotonic clock.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.feed import fanout, latency, stuck
from bench.report.report import Report
from bench.stage import stage

PARTS = {"latency": latency, "fanout": fanout, "stuck": stuck}


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, dest="part")
    for name, module in PARTS.items():
        command = commands.add_parser(
            name, description=module.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        # Again, so that it may stand behind the part; without a default, which would undo what stands before it.
        command.add_argument("--results", type=Path, default=argparse.SUPPRESS, metavar="FOLDER")
        stage.arguments(command)
        module.arguments(command)


def run(given: argparse.Namespace, report: Report) -> None:
    report.name = f"feed-{given.part}"
    PARTS[given.part].run(given, report)
