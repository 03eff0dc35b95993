"""Functions that give ticks: what they are known by, and what becomes of each thing that they may say. Pure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr.next_ticks import MAX_FAULT, MAX_NAME, MOST_ASKED, NextTick, Walked, code_of, name_of, walk
from tickr.ticks import HORIZON_US, SECOND_US

NOW = 1_800_000_000 * SECOND_US
AT = datetime.fromtimestamp(1_800_000_000, UTC)
HOUR = timedelta(hours=1)


def hourly(after: datetime) -> datetime:
    return after.replace(minute=0, second=0, microsecond=0) + HOUR


def every(seconds: float) -> NextTick:
    return lambda after: after + timedelta(seconds=seconds)


def asked(function: Callable[[Any], Any], *, wanted: int = 3, now: int = NOW, **more: Any) -> Walked:
    return walk(function, None, NOW, now=now, wanted=wanted, **more)


# -- what they are known by -------------------------------------------------------------------------------------------


class Shown:
    def __repr__(self) -> str:
        return "the moon at 5, 7"

    def __call__(self, after: datetime) -> datetime:
        return after + HOUR

    def rise(self, after: datetime) -> datetime:
        return after + HOUR


class Hidden(Shown):
    __repr__ = object.__repr__


def test_a_function_has_the_name_of_its_place() -> None:
    assert name_of(hourly) == f"{__name__}.hourly"
    assert name_of(partial(hourly)) == f"{__name__}.hourly"
    assert name_of(Shown().rise) == f"{__name__}.Shown.rise"
    assert name_of(Shown()) == "the moon at 5, 7"
    assert "Hidden object" in name_of(Hidden())
    assert " at 0x" not in name_of(Hidden())


def test_names_are_bounded_and_cannot_fail() -> None:
    class Long(Shown):
        def __repr__(self) -> str:
            return "x" * 1000

    class Broken(Shown):
        def __repr__(self) -> str:
            raise ValueError

    assert name_of(Long()) == "x" * MAX_NAME
    assert name_of(Broken()).endswith("Broken")
    assert code_of(Broken()) == code_of(Broken())


def compiled(text: str) -> Any:
    names: dict[str, Any] = {"timedelta": timedelta}
    exec(text, names)
    return names["f"]


CODE = "def f(after, n=5):\n    return after + timedelta(hours=n, minutes=3)"


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("3", "4"),
        CODE.replace("n=5", "n=6"),
        CODE.replace("+", "-"),
        CODE.replace("minutes", "seconds"),
        CODE.replace("after, n=5", "after, *, n=5"),
    ],
)
def test_another_code_has_another_digest(other: str) -> None:
    assert code_of(compiled(CODE)) == code_of(compiled(CODE)) != code_of(compiled(other))


def test_lines_names_of_files_and_comments_change_no_digest() -> None:
    assert code_of(compiled(CODE)) == code_of(compiled(f"# it is said\n\n{CODE}  # and done"))


def test_what_a_function_has_closed_over_is_part_of_its_digest() -> None:
    assert code_of(every(5)) == code_of(every(5)) != code_of(every(6))
    assert code_of(partial(every, 5)) != code_of(partial(every, 6))
    assert code_of(cache(every(5))) == code_of(cache(every(5))) != code_of(cache(every(6)))
    assert code_of(Shown().rise) == code_of(Shown().rise) != code_of(Shown())


def test_a_function_that_has_closed_over_itself_has_a_digest() -> None:
    def f(after: datetime) -> datetime:
        return f(after)

    def g(after: datetime) -> datetime:
        return later(after)

    assert len(code_of(f)) == len(code_of(g)) == 16
    later = hourly
    assert len(code_of(g)) == 16


def test_the_digest_is_the_same_in_every_process() -> None:
    """Sets of constants are in another order in each."""
    program = (
        "from tickr.next_ticks import code_of\n"
        "def f(after): return after if after.tzname() in {'A', 'B', 'C', 'D', 'E'} else None\n"
        "print(code_of(f))"
    )
    found = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert len(found.pop()) > 16


# -- what they say ----------------------------------------------------------------------------------------------------


def test_it_is_asked_for_tick_after_tick() -> None:
    begin = NOW // (3600 * SECOND_US) * 3600 * SECOND_US
    assert asked(hourly) == Walked([begin + n * 3600 * SECOND_US for n in (1, 2, 3)])


def test_ticks_that_have_passed_do_not_count() -> None:
    found = asked(hourly, now=NOW + 5 * 3600 * SECOND_US)
    assert sum(tick > NOW + 5 * 3600 * SECOND_US for tick in found.ticks) == 3
    assert len(found.ticks) == 8


def test_it_is_given_instants_of_its_zone() -> None:
    seen: list[datetime] = []

    def spy(after: datetime) -> datetime:
        seen.append(after)
        return (after + HOUR).astimezone(UTC)

    walk(spy, ZoneInfo("Asia/Kolkata"), NOW, now=NOW, wanted=2)
    assert [one.utcoffset() for one in seen] == [timedelta(hours=5, minutes=30)] * 2
    assert seen == [AT, AT + HOUR]


def test_an_answer_may_be_in_any_zone() -> None:
    assert asked(lambda after: (after + HOUR).astimezone(timezone(-HOUR))) == asked(lambda after: after + HOUR)


def test_none_is_the_end() -> None:
    assert asked(lambda after: None) == Walked([], no_more=True)
    assert asked(lambda after: AT + HOUR if after < AT + HOUR else None) == Walked(
        [NOW + 3600 * SECOND_US], no_more=True
    )


def test_an_instant_in_fifty_years_is_the_end() -> None:
    assert asked(every((HORIZON_US + 1) / SECOND_US + 1)) == Walked([], no_more=True)
    assert len(asked(every(HORIZON_US / SECOND_US - 1), wanted=1).ticks) == 1


def raises(error: BaseException) -> Callable[[Any], Any]:
    def function(after: datetime) -> datetime:
        raise error

    return function


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (raises(ValueError("no sun")), "raised ValueError: no sun"),
        (raises(ValueError("no \udcff\0")), "raised ValueError: no \\udcff?"),
        (raises(ZeroDivisionError()), "raised ZeroDivisionError"),
        (raises(SystemExit(3)), "raised SystemExit: 3"),
        (raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (raises(Unspeakable()), "raised Unspeakable"),
        (lambda: None, "raised TypeError: "),
        (lambda after: 5, "gave 5, which is neither a datetime nor None"),
        (lambda after: after.date(), "gave datetime.date(2027, 1, 15), which is neither a datetime nor None"),
        (lambda after: after.replace(tzinfo=None), "gave 2027-01-15 08:00:00, which has no time zone"),
        (lambda after: after, "gave 2027-01-15 08:00:00+00:00, which is not later than 2027-01-15T08:00:00+00:00"),
        (lambda after: after - HOUR, "gave 2027-01-15 07:00:00+00:00, which is not later than "),
        (every(0.5), "gave 2027-01-15 08:00:01+00:00, which is not at least a second later than "),
    ],
)
def test_what_is_wrong_is_told_in_words(function: Callable[[Any], Any], fault: str) -> None:
    found = asked(function)
    assert found.fault is not None
    assert found.fault.startswith(fault)
    assert not found.no_more
    assert len(found.ticks) <= 1


def test_what_was_told_before_it_failed_counts() -> None:
    def function(after: datetime) -> datetime:
        if after > AT:
            raise ValueError("x" * 1000)
        return after + HOUR

    found = asked(function)
    assert (found.ticks, len(found.fault or "")) == ([NOW + 3600 * SECOND_US], MAX_FAULT)


def test_it_is_not_asked_beyond_the_end_of_its_schedule() -> None:
    found = asked(every(10), wanted=20, end_at=NOW + 25 * SECOND_US)
    assert found == Walked([NOW + n * SECOND_US for n in (10, 20, 30)])


def test_it_is_asked_so_often_at_a_time_and_no_longer_than_it_may() -> None:
    assert len(asked(every(1), now=NOW + 10**6 * SECOND_US).ticks) == MOST_ASKED
    turns = iter([False, False, True])
    assert len(asked(every(1), wanted=20, enough=lambda: next(turns)).ticks) == 3


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.integers(1, 20), st.integers(0, 10**7))
def test_whatever_they_say_ticks_rise_and_stop(steps: list[int], wanted: int, late_s: int) -> None:
    """Walks that go on from each other come to the same ticks as one alone."""
    known = [NOW]
    for step in steps:
        known.append(known[-1] + step * SECOND_US)

    def function(after: datetime) -> datetime | None:
        at = round(after.timestamp()) * SECOND_US
        found = next((tick for tick in known if tick > at), None)
        return None if found is None else datetime.fromtimestamp(found // SECOND_US, UTC)

    ticks, no_more = [NOW], False
    for _ in range(len(known) + 1):
        found = walk(function, None, ticks[-1], now=NOW + late_s * SECOND_US, wanted=wanted)
        assert found.fault is None
        ticks += found.ticks
        no_more = found.no_more
    assert (ticks, no_more) == (known, True)
