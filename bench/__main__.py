"""``python -m bench NAME``: run a load test; without a name, list them.

Comes in: a command line. Goes out: progress on stderr, a table on stdout, the raw figures under ``bench/results/``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from bench.report.report import RESULTS, Report

COMMANDS = (
    "submit",
    "batch",
    "stream",
    "drain",
    "end_to_end",
    "latency",
    "delay_accuracy",
    "cancel",
    "feed",
    "growth",
    "million",
    "memory",
    "reindex",
    "attempts",
    "processes",
    "scaling",
    "metrics",
    "index_cost",
)
"""Each a module of this package with ``arguments(parser)`` and ``run(given, report)``; ``feed`` has three of them."""


class Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The page of a command: its docstring as it stands, and every default."""


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        show_commands()
        return 0
    if words[0] not in COMMANDS:
        print(f"python -m bench: there is no {words[0]!r}", file=sys.stderr)
        show_commands()
        return 2
    name, *rest = words
    module = importlib.import_module(f"bench.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m bench {name}",
        description=module.__doc__,
        formatter_class=Formatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the raw figures go")
    module.arguments(parser)
    given = parser.parse_args(rest)
    module.run(given, Report(name, words, given))
    return 0


def show_commands() -> None:
    print("usage: python -m bench NAME [--help] [flags]\n")
    for name in COMMANDS:
        print(f"  {name:<16}{first_line(name)}")


def first_line(name: str) -> str:
    """Return what the command's docstring says first."""
    doc = importlib.import_module(f"bench.{name}").__doc__ or ""
    return doc.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
