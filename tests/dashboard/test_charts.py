"""What stands beside the axes of a chart, and a schedule's time in words: values in, texts out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.conftest import Board

pytestmark = pytest.mark.slow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z


def evaluated(board: Board, module: str, call: str, argument: Any) -> Any:
    """Return what a function of one of the page's modules returns for ``argument``."""
    code = f"(argument) => import('{board.node.url}/ui/{module}').then((found) => found.{call})"
    return board.page.evaluate(code, argument)


def test_values_beside_an_axis_are_round_and_reach_over_what_is_shown(shared_board: Board) -> None:
    shared_board.open("#/nodes")
    asked = [[0, False], [7, False], [0.31, False], [999_999, False], [0.3, True], [130, True], [7300, True]]
    found = evaluated(
        shared_board, "scale.mjs", "values && argument.map(([max, s]) => found.values(max, 4, {seconds: s}))", asked
    )
    assert found == [
        [0, 1],
        [0, 2, 4, 6, 8],
        [0, 0.1, 0.2, 0.3, 0.4],
        [0, 500_000, 1_000_000],
        [0, 0.1, 0.2, 0.3],
        [0, 60, 120, 180],
        [0, 3600, 7200, 10_800],
    ]


def test_instants_along_an_axis_are_those_of_a_clock_and_of_a_calendar(shared_board: Board) -> None:
    shared_board.open("#/nodes")
    spans = [HOUR_MS, DAY_MS, 30 * DAY_MS, 365 * DAY_MS]
    call = (
        f"instants && argument.map((span) => found.instants({NOON_MS} - span, {NOON_MS}, 6, {{utc: true}})"
        ".map(({text}) => text))"
    )
    hour, day, month, year = evaluated(shared_board, "scale.mjs", call, spans)
    assert hour == ["11:00", "11:10", "11:20", "11:30", "11:40", "11:50", "12:00"]
    assert day == ["12:00", "18:00", "Nov 23", "06:00", "12:00"]
    assert month == ["Oct 31", "Nov 7", "Nov 14", "Nov 21"]
    assert year == ["2026", "Apr", "Jul", "Oct"]


WORDS = {
    "30 2 * * *": "at 02:30 every day",
    "*/15 * * * *": "every 15 min",
    "*/7 * * * *": None,  # not every 7 min: the last one of an hour comes sooner
    "*/10 * * * * *": "every 10 s",
    "@hourly": "every hour, at minute 0",
    "0 */4 * * *": "every 4 h, at minute 0",
    "0 9,17 * * MON-FRI": "at 09:00 and 17:00 Monday to Friday",
    "0 6 LW * *": "at 06:00 on the last working day of the month",
    "0 0 13 * FRI": "at 00:00 on day 13 of the month and on Friday",
    "0 0 1 1,7 *": "at 00:00 on day 1 of the month in January and July",
    "0 12 * * MON#2": None,
    "0,30 9-17 * * *": None,
}


def test_a_cron_expression_is_said_in_words_where_there_are_short_ones(shared_board: Board) -> None:
    shared_board.open("#/nodes")
    found = evaluated(
        shared_board, "timing.mjs", "inWords && argument.map((cron) => found.inWords({cron, every: null}))", list(WORDS)
    )
    assert dict(zip(WORDS, found, strict=True)) == WORDS
    assert evaluated(shared_board, "timing.mjs", "inWords(argument)", {"cron": None, "every": 90}) == "every 1 min 30 s"
