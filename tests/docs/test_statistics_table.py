"""What the page about statistics lists is what the program has."""

from __future__ import annotations

from tests.docs.pages import ROOT, code, table
from tickr.api import marks, statistics, statistics_query
from tickr.scheduler import statistics as keeping
from tickr.store import sums
from tickr.tallies import COUNTED

PAGE = (ROOT / "docs" / "statistics.md").read_text()


def test_the_parameters_and_counts_of_statistics_are_those_of_the_program() -> None:
    named = [name for row in table(PAGE, "parameter", "if not given") for name in code(row[0])]
    assert named == [one.name for one in statistics_query.PARAMETERS]
    counted = {name for row in table(PAGE, "field of a point") for name in code(row[0])}
    assert counted == {"at", "wait", "run", *COUNTED}


def test_the_bounds_of_statistics_are_those_of_the_program() -> None:
    text = " ".join(PAGE.split())
    minutes, hours, days = (seconds // 3600 for seconds in keeping.KEEP_S.values())
    kept = f"Minutes are kept for {minutes} hours, hours for {hours // 24} days, days for {days // 24 // 365} years."
    assert kept in text
    assert f"In each step {sums.MAX_PAIRS} pairs" in text
    assert f"each of the {statistics.MAX_SERIES} that did the most" in text
    assert f"The last {sums.MAX_MARKS:,} are kept" in text
    assert f"a line of up to {marks.MAX_TEXT} characters" in text
    assert f"looks every {keeping.PAUSE_S:g} s" in text
