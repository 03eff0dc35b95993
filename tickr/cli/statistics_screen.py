"""What statistics look like in a terminal: a table with a line for each type, or queue, and the marks below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import ceil

from rich.table import Table
from rich.text import Text

from tickr.cli.screen import WIDE, harmless, plain_table, span
from tickr.client.statistics import Amounts, Series, Statistics, Times

TREND, WHOLE_TREND = 15, 20
"""Columns of a trend, in the table and above it."""
BARS, ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
LENGTHS = {step: timedelta(**{f"{step}s": 1}) for step in ("minute", "hour", "day")}


def table(found: Statistics, whole: Series | None, *, by: str, width: int, ascii_only: bool = False) -> Table:
    """Return what was done as a table, ``width`` columns wide at most.

    Args:
      whole: all series together, for a last line.
    """
    wide = width >= WIDE
    times = ("WAIT p50", "p95", *(("p99",) if wide else ()), "RUN p50", "p95", *(("p99",) if wide else ()))
    made = plain_table(by.upper(), "DONE", "RATE", "FAILED", "RETRIED", *times, *(("TREND",) if wide else ()))
    made.columns[0].no_wrap, made.columns[0].overflow = False, "ellipsis"  # this one gives way
    for column in made.columns[1 : len(made.columns) - wide]:
        column.justify = "right"
    over_s = max((min(found.until, found.as_of) - found.since).total_seconds(), 1.0)
    for one in [*found.series, *([whole] if whole else [])]:
        name = Text("all", "bold") if one is whole else _name(one)
        trend_of = (Text(trend(found, one, TREND, ascii_only=ascii_only), "cyan"),) if wide else ()
        made.add_row(name, *_cells(one.total, over_s, wide=wide), *trend_of)
    return made


def headline(found: Statistics, whole: Series, *, ascii_only: bool = False) -> Text:
    """Return over which time it is, with a trend of all."""
    since, until = (at.astimezone() for at in (found.since, min(found.until, max(found.as_of, found.since))))
    to = f"{until:%H:%M:%S}" if until.date() == since.date() else f"{until:%Y-%m-%d %H:%M:%S}"
    drawn = trend(found, whole, WHOLE_TREND, ascii_only=ascii_only)
    return Text.assemble((f"{since:%Y-%m-%d %H:%M:%S} to {to}, by {harmless(found.step)}  ", "dim"), (drawn, "cyan"))


def marks(found: Statistics) -> Iterable[Text]:
    """Yield a line for each mark."""
    for mark in found.marks:
        yield Text.assemble((f"{mark.at.astimezone():%Y-%m-%d %H:%M:%S}  ", "dim"), harmless(mark.text))


def trend(found: Statistics, series: Series, width: int, *, ascii_only: bool = False) -> str:
    """Return how many jobs ended over the time, as ``width`` bars at most, one for each so many steps."""
    length = LENGTHS.get(found.step, LENGTHS["minute"])
    steps = max(1, (found.until - found.since) // length)
    each = ceil(steps / width)
    sums = [0] * ceil(steps / each)
    for point in series.points:
        place = (point.at - found.since) // length // each
        if 0 <= place < len(sums):
            sums[place] += ended(point)
    return bars(sums, ASCII_BARS if ascii_only else BARS)


def bars(sums: Sequence[int], signs: str = BARS) -> str:
    """Return a sign for each number; the first one is for nothing alone."""
    most = max([*sums, 1])
    return "".join(signs[ceil(one / most * (len(signs) - 1))] for one in sums)


def ended(amounts: Amounts) -> int:
    return amounts.succeeded + amounts.failed + amounts.cancelled


def rate(count: int, over_s: float) -> str:
    """Return how often something happened: by second, minute or hour, whichever is short to say."""
    if not count:
        return "0"
    for unit, length_s in (("s", 1), ("min", 60), ("h", 3600)):
        often = count / over_s * length_s
        if often >= 1 or unit == "h":
            return f"{often:,.0f}/{unit}" if often >= 10 else f"{often:.1f}/{unit}"
    raise AssertionError("the last unit takes all")


def took(seconds: float | None) -> str:
    """Return a duration in few signs: ``0.4ms``, ``12ms``, ``1.5s``, ``3min``."""
    if seconds is None:
        return "-"
    milliseconds = seconds * 1000
    if milliseconds >= 999.5:
        return span(seconds).replace(" ", "")
    return f"{milliseconds:.0f}ms" if milliseconds >= 9.95 else f"{milliseconds:.1f}ms"


def amount(count: int) -> str:
    """Return a number in few signs: ``9,999``, ``184k``, ``1.2M``."""
    for size, unit, places in ((10_000_000, "M", 0), (1_000_000, "M", 1), (10_000, "k", 0)):
        if count >= size:
            return f"{count / (1_000_000 if unit == 'M' else 1000):,.{places}f}{unit}"
    return f"{count:,}"


def when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _name(series: Series) -> Text:
    named = series.queue or series.type
    return Text(harmless(named)) if named else Text("others" if series.other else "all", "dim")


def _cells(total: Amounts, over_s: float, *, wide: bool) -> Iterable[Text]:
    yield Text(amount(total.succeeded), "green" if total.succeeded else "dim")
    yield Text(rate(ended(total), over_s))
    yield Text(amount(total.failed), "bold red" if total.failed else "dim")
    yield Text(amount(total.retrying), "yellow" if total.retrying else "dim")
    yield from _times(total.wait, wide=wide)
    yield from _times(total.run, wide=wide)


def _times(times: Times | None, *, wide: bool) -> Iterable[Text]:
    shares = (times.p50, times.p95, times.p99) if times else (None, None, None)
    return (Text(took(share), "" if share is not None else "dim") for share in shares[: 3 if wide else 2])
