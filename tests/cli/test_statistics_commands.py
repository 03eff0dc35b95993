"""``tickr stats`` and ``tickr mark``: what a person sees, and what they ask a server."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from tests.children import POLL_S
from tests.cli.test_jobs_commands import ABSENT, Tickr, server, submitted, tickr, until
from tickr.cli import statistics_screen
from tickr.cli.statistics import fitting
from tickr.client.statistics import Amounts, Mark, Point, Series, Statistics, Times

__all__ = ["server", "tickr"]
SINCE = datetime(2030, 1, 31, 12, tzinfo=UTC)


def amounts(done: int, failed: int = 0, took: float | None = None) -> dict[str, Any]:
    counts = dict.fromkeys(Amounts.__struct_fields__, 0) | {"created": done + failed, "succeeded": done}
    times = None if took is None else Times(done, took, took, 2 * took, 4 * took)
    return counts | {"failed": failed, "retrying": 2 * failed, "wait": times, "run": times}


def series(name: str | None, done: int, failed: int = 0, took: float | None = 0.012, *, other: bool = False) -> Series:
    points = [Point(at=SINCE + timedelta(minutes=n), **amounts(n)) for n in range(0, 60, 6)]
    return Series(queue=None, type=name, other=other, points=points, total=Amounts(**amounts(done, failed, took)))


def statistics(*some: Series) -> Statistics:
    over = SINCE + timedelta(hours=1)
    mark = Mark(ABSENT, SINCE, "v1.2.3\x1b[2J")
    return Statistics(step="minute", since=SINCE, until=over, as_of=over, series=list(some), marks=[mark])


def shown(found: Statistics, whole: Series | None, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(statistics_screen.table(found, whole, by="type", width=width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_only_names_are_cut(width: int) -> None:
    long = "email.welcome/" + "x" * 100
    found = statistics(series(long, 184_182, 12_345, 190.0), series("a", 7), series(None, 1, took=None, other=True))
    table = shown(found, series(None, 1_234_567, 20), width)
    assert max(map(len, table)) <= width
    assert table[0].split()[:5] == ["TYPE", "DONE", "RATE", "FAILED", "RETRIED"]
    assert "…" in table[1]
    assert "184k" in table[1]
    assert "email.welcome/" in table[1]
    assert "12k" in table[1]
    assert table[2].split()[:8] == [
        "a",
        "7",
        "7.0/h",
        "0",
        "0",
        "12ms",
        "24ms",
        *(["48ms"] if width > 100 else ["12ms"]),
    ]
    assert table[3].split()[:6] == ["others", "1", "1.0/h", "0", "0", "-"]
    assert table[4].split()[:4] == ["all", "1.2M", "343/s", "20"]
    assert not any("…" in line for line in table[2:])


def test_a_trend_has_a_bar_for_some_steps() -> None:
    found = statistics(series("a", 1))
    assert statistics_screen.trend(found, found.series[0], 10) == " ▁▂▃▄▅▆▇██"
    assert len(statistics_screen.trend(found, found.series[0], 1000)) == 60
    assert statistics_screen.trend(found, found.series[0], 10, ascii_only=True).isascii()
    assert statistics_screen.bars([0, 1, 1000]) == " ▁█"
    assert statistics_screen.bars([0, 0]) == "  "


@pytest.mark.parametrize(
    ("count", "over_s", "told"),
    [(0, 60, "0"), (120, 60, "2.0/s"), (3000, 60, "50/s"), (30, 60, "30/min"), (1, 7200, "0.5/h")],
)
def test_a_rate_is_short_to_say(count: int, over_s: float, told: str) -> None:
    assert statistics_screen.rate(count, over_s) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "-"), (0.0004, "0.4ms"), (0.0123, "12ms"), (0.9996, "1.0s"), (59, "59s"), (200, "3min"), (7200, "2h")],
)
def test_a_duration_is_short_to_say(seconds: float | None, told: str) -> None:
    assert statistics_screen.took(seconds) == told


def test_what_a_mark_says_does_not_steer_the_terminal() -> None:
    (line,) = statistics_screen.marks(statistics())
    assert line.plain.endswith("  v1.2.3\\x1b[2J")


def test_the_step_fits_the_time() -> None:
    lengths = [timedelta(hours=1), timedelta(hours=24), timedelta(hours=25), timedelta(days=60), timedelta(days=61)]
    assert [fitting(SINCE, SINCE + length) for length in lengths] == ["minute", "minute", "hour", "hour", "day"]


def counted(tickr: Tickr, *words: str, done: int) -> dict[str, Any]:
    """Wait, by asking, until so many have succeeded; return the answer."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found: dict[str, Any] = json.loads(tickr("stats", *words, "--json").stdout)
        if sum(one["total"]["succeeded"] for one in found["series"]) == done:
            return found
        time.sleep(POLL_S)
    raise AssertionError(found)


@pytest.mark.slow
def test_what_was_done_is_shown_by_type_and_by_queue(tickr: Tickr) -> None:
    assert "Nothing was done" in tickr("stats", "--queue", "none").stderr
    for queue in ("s1", "s1", "s2"):
        until(tickr, submitted(tickr, "report", "title=x", "--queue", queue), "succeeded")
    both = ["--queue", "s1", "--queue", "s2"]
    found = counted(tickr, *both, "--by", "queue", done=3)
    assert [(one["queue"], one["total"]["succeeded"]) for one in found["series"]] == [("s1", 2), ("s2", 1)]
    assert found["step"] == "minute"
    table = tickr("stats", *both, "--by", "queue").stdout.splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["QUEUE", "DONE"], ["s1", "2"], ["s2", "1"], ["all", "3"]]
    table = tickr("stats", *both, "--since", "7d").stdout.splitlines()
    assert "by hour" in table[0]
    assert [line.split()[:2] for line in table[1:]] == [["TYPE", "DONE"], ["report", "3"]]
    assert "ask for longer steps" in tickr("stats", "--since", "7d", "--step", "minute", code=2).stderr
    assert "must be like 2h" in tickr("stats", "--since", "soon", code=2).output


@pytest.mark.slow
def test_a_mark_is_made_listed_shown_and_deleted(tickr: Tickr) -> None:
    assert tickr("mark").stderr == "No marks.\n"
    made = tickr("mark", "v1.2.3").stdout
    mark_id = made.split()[0]
    assert made.endswith("v1.2.3\n")
    old = json.loads(tickr("mark", "older", "--at", "2h", "--json").stdout)
    assert datetime.now(UTC) - datetime.fromisoformat(old["at"]) > timedelta(minutes=119)
    assert [line.split()[-1] for line in tickr("mark").stdout.splitlines()] == ["older", "v1.2.3"]
    assert "v1.2.3" in tickr("stats", "--queue", "none").stdout
    tickr("mark", "--delete", mark_id)
    assert "There is no mark" in tickr("mark", "--delete", mark_id, code=7).stderr
    assert [one["id"] for one in json.loads(tickr("mark", "--json").stdout)["items"]] == [old["id"]]
    assert "Say what the mark is" in tickr("mark", "--at", "1h", code=2).stderr
    assert "/text must be a line" in tickr("mark", "", code=2).stderr
