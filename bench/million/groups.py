"""The table of docs/performance.md: ``python -m bench.million.groups RAW-FILE…``, a column for each file's store.

Of the calls of a line: the median of their medians, and the dearest; milliseconds of processor time, and by the clock.
Below it each call that costs more than the goal, and the screens: first paint and data, the median one and the slowest,
of cold and warm visits.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

WITHIN_MS = 50.0


class Line(NamedTuple):
    """``calls``: a pattern of the whole names. ``first``: what they cost when nobody has asked for that before."""

    about: str
    calls: str
    first: bool = False


_LONG = r"/statistics (6h|30d|1y)"
LINES = (
    Line(
        "`GET /jobs`, by nothing, state, queue, type, label, error, instants and several of these; "
        "first pages and the 20th",
        r"/jobs (?!.*payload).*",
    ),
    Line("`GET /jobs` that searches payloads, alone and beside other filters", r"/jobs .*payload.*"),
    Line("`GET /queues`, and a queue", r"/queues.*"),
    Line("`GET /dead-letters` by nothing, type, queue or error: all 80,000", r"/dead-letters( (type|queue|error)=.*)?"),
    Line("`GET /dead-letters` by a label, or a text in payloads", r"/dead-letters (label|payload).*"),
    Line("dry run: retry what failed, all 80,000", r"/operations dry run: retry failed"),
    Line("dry run: others, 5,000 jobs of each state", r"/operations dry run: (?!retry failed$).*"),
    Line("a job, its attempts, log, tree, explanation", r"/jobs/.*"),
    Line(
        "`/schedules`, `/nodes`, `/operations`, `/marks`, `/metrics`, `/readyz`",
        r"/(schedules|nodes)(/<.*)?|/operations|/marks|/metrics|/readyz",
    ),
    Line("`GET /events` from the earliest on, 100 and 1,000, and by a filter that nothing fits", r"/events.*"),
    Line("`GET /statistics` of 1 h by minute, 24 h by hour; also by type or queue", r"/statistics (1h|24h).*"),
    Line("… of 6 h by minute, 30 d by hour, 1 y by day", rf"{_LONG}( queue=mail)?(, totals)?"),
    Line("… these by type or queue, with all points or without", rf"{_LONG} by .*"),
    Line("… of these long times, the first time after a node's start", rf"{_LONG}.*", first=True),
)


def rows(raws: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    titles = [f"{raw['on']['name']}, {what}" for raw in raws for what in ("processor time", "clock")]
    yield f"| | {' | '.join(titles)} |"
    yield "|---" * (1 + len(titles)) + "|"
    for line in LINES:
        yield f"| {line.about} | {' | '.join(_cell(line, raw, what) for raw in raws for what in ('cpu', 'took'))} |"


def dear(raw: dict[str, Any]) -> Iterator[str]:
    """Yield the calls that cost more than ``WITHIN_MS`` of processor time."""
    for one in raw["rounds"]:
        if one["what"] == "call" and one["side"] == "idle" and one["cpu_ms"]["p50"] > WITHIN_MS:
            yield f"{raw['on']['name']}, {one['name']}: {one['cpu_ms']['p50']:.0f} ms"


def screens(raw: dict[str, Any]) -> Iterator[str]:
    """Yield what is said of the screens, for each side."""
    painted = [one for one in raw["rounds"] if one["what"] == "paint"]
    for side in dict.fromkeys(one["side"] for one in painted):
        some = [one for one in painted if one["side"] == side]
        for figure in ("first", "data"):
            times = [one[f"{figure}_ms"]["p50"] for one in some]
            slowest = max(some, key=lambda one: one[f"{figure}_ms"]["p50"])
            told = f"{median(times):.0f} ms ({min(times):.0f} to {max(times):.0f}: {slowest['name']})"
            yield f"{raw['on']['name']}, {side}, {figure}: {told}"


def _cell(line: Line, raw: dict[str, Any], what: str) -> str:
    calls = [one for one in raw["rounds"] if one["what"] == "call" and one["side"] == "idle"]
    some = [one for one in calls if re.fullmatch(line.calls, one["name"])]
    if not some or (line.first and what == "took"):
        return "–"
    times = [one["first_cpu_ms"] if line.first else one[f"{what}_ms"]["p50"] for one in some]
    return _figure(times[0]) if len(times) == 1 else f"{_figure(median(times))}; {_figure(max(times))}"


def _figure(ms: float) -> str:
    return f"{ms:.2g}" if ms < 10 else f"{ms:.0f}"


def main(paths: list[str]) -> None:
    raws = [json.loads(Path(path).read_text()) for path in paths]
    print("\n".join(rows(raws)))
    for raw in raws:
        print("\n".join([*dear(raw), *screens(raw)]))
        for side, share in raw["summary"]["others"].items():
            print(f"{raw['on']['name']}, {side}: other programs took {share:.2f} processors")


if __name__ == "__main__":
    main(sys.argv[1:])
