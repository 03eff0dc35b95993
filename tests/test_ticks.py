"""Ticks: when cron expressions and intervals are due; clocks that jump; what is not taken, and what is said then.

Expected instants are written by hand, in UTC. The three zones jump by an hour in the north, an hour late in the evening
of UTC, and by half an hour in the south.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tickr import ticks
from tickr.ticks import SECOND_US, BadTiming, Timing

ANCHOR = 0


def at(text: str) -> int:
    """Return ``2026-03-29 01:00`` or ``… 01:00:30``, UTC, in microseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_US


def shown(tick: int) -> str:
    text = (datetime(1970, 1, 1) + timedelta(microseconds=tick)).isoformat(" ")
    return text.removesuffix(":00")


def following(cron: str, zone: str, after: str, count: int) -> list[str]:
    found = ticks.after(Timing(cron=cron, timezone=zone), ANCHOR, at(after))
    return [shown(tick) for tick in itertools.islice(found, count)]


# -- cron without a jump ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-01-01 02:29:59", ["2026-01-01 02:30", "2026-01-02 02:30"]),
        ("30 2 * * *", "2026-01-01 02:30", ["2026-01-02 02:30"]),
        ("*/20 * * * *", "2026-01-01 23:39", ["2026-01-01 23:40", "2026-01-02 00:00", "2026-01-02 00:20"]),
        ("0 9-17/4 * * MON-FRI", "2026-01-02 10:00", ["2026-01-02 13:00", "2026-01-02 17:00", "2026-01-05 09:00"]),
        ("0 0 1,15 * *", "2026-01-01 00:00", ["2026-01-15 00:00", "2026-02-01 00:00"]),
        ("0 0 L * *", "2026-01-01 00:00", ["2026-01-31 00:00", "2026-02-28 00:00"]),
        ("0 0 LW * *", "2026-01-01 00:00", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * 5L", "2026-01-01 00:00", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * MON#1", "2026-01-01 00:00", ["2026-01-05 00:00", "2026-02-02 00:00"]),
        ("0 0 29 feb *", "2026-01-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        # Day and weekday: either, unless one of them begins with a star.
        ("0 0 13 * FRI", "2026-02-01 00:00", ["2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00"]),
        ("0 0 */13 * FRI", "2026-02-01 00:00", ["2026-02-27 00:00", "2026-03-27 00:00"]),
        ("*/15 * * * * *", "2026-01-01 00:00:31", ["2026-01-01 00:00:45", "2026-01-01 00:01"]),
        ("30 0 12 * * 0", "2026-01-01 00:00", ["2026-01-04 12:00:30", "2026-01-11 12:00:30"]),
    ],
)
def test_an_expression_is_due_at(cron: str, after: str, expected: list[str]) -> None:
    assert following(cron, "UTC", after, len(expected)) == expected


def test_a_part_of_a_second_does_not_count() -> None:
    timing = Timing(cron="* * * * * *")
    second = at("2026-01-01 12:00:00")
    assert ticks.first_after(timing, ANCHOR, second) == second + SECOND_US
    assert ticks.first_after(timing, ANCHOR, second - 1) == second
    assert ticks.first_after(timing, ANCHOR, second + 1) == second + SECOND_US


def test_a_zone_has_its_own_midnight() -> None:
    assert following("0 0 * * *", "Asia/Kolkata", "2026-01-01 00:00", 2) == ["2026-01-01 18:30", "2026-01-02 18:30"]


# -- clocks that go forward -------------------------------------------------------------------------------------------
# Berlin: on 2026-03-29 02:00 (01:00 UTC) becomes 03:00. New York: on 2026-03-08 02:00 (07:00 UTC) becomes 03:00.
# Lord Howe: on 2026-10-04 02:00 (2026-10-03 15:30 UTC) becomes 02:30.


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # A time of day that is skipped comes right after the gap; the day after it is itself again.
        ("Europe/Berlin", "30 2 * * *", "03-28 01:00", "03-28 01:30, 03-29 01:00, 03-30 00:30"),
        ("America/New_York", "30 2 * * *", "03-07 07:00", "03-07 07:30, 03-08 07:00, 03-09 06:30"),
        ("Australia/Lord_Howe", "15 2 * * *", "10-02 15:00", "10-02 15:45, 10-03 15:30, 10-04 15:15"),
        # Several that are skipped come once; one that is due then anyway comes once.
        ("Europe/Berlin", "0,20,40 2,3 * * *", "03-29 00:00", "03-29 01:00, 03-29 01:20, 03-29 01:40, 03-30 00:00"),
        ("America/New_York", "0 2-4 * * *", "03-08 06:00", "03-08 07:00, 03-08 08:00, 03-09 06:00"),
        ("Australia/Lord_Howe", "0,10,30 2 * * *", "10-03 15:00", "10-03 15:30, 10-04 15:00, 10-04 15:10, 10-04 15:30"),
        # What comes more often goes by the clock: what it skips does not come.
        ("Europe/Berlin", "*/30 * * * *", "03-29 00:00", "03-29 00:30, 03-29 01:00, 03-29 01:30"),
        ("Europe/Berlin", "30 * * * *", "03-29 00:00", "03-29 00:30, 03-29 01:30"),
        ("Europe/Berlin", "*/30 2 * * *", "03-28 01:00", "03-28 01:30, 03-30 00:00, 03-30 00:30"),
        ("America/New_York", "15 * * * *", "03-08 06:00", "03-08 06:15, 03-08 07:15"),
        ("Australia/Lord_Howe", "*/15 * * * *", "10-03 15:00", "10-03 15:15, 10-03 15:30, 10-03 15:45"),
        ("Australia/Lord_Howe", "0 * * * *", "10-03 14:00", "10-03 14:30, 10-03 16:00, 10-03 17:00"),
        # The hour after a gap of half an hour is whole.
        ("Australia/Lord_Howe", "*/20 3 * * *", "10-03 00:00", "10-03 16:00, 10-03 16:20, 10-03 16:40, 10-04 16:00"),
        # Six fields always go by the clock.
        ("Europe/Berlin", "0 30 2 * * *", "03-28 01:00", "03-28 01:30, 03-30 00:30"),
    ],
)
def test_when_the_clock_goes_forward(zone: str, cron: str, after: str, expected: str) -> None:
    found = following(cron, zone, f"2026-{after}", expected.count(",") + 1)
    assert ", ".join(tick.removeprefix("2026-") for tick in found) == expected


# -- clocks that go back ----------------------------------------------------------------------------------------------
# Berlin: on 2026-10-25 03:00 (01:00 UTC) becomes 02:00. New York: on 2026-11-01 02:00 (06:00 UTC) becomes 01:00.
# Lord Howe: on 2026-04-05 02:00 (2026-04-04 15:00 UTC) becomes 01:30.


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # A time of day that comes twice counts the first time.
        ("Europe/Berlin", "30 2 * * *", "10-24 00:00", "10-24 00:30, 10-25 00:30, 10-26 01:30"),
        ("America/New_York", "30 1 * * *", "10-31 05:00", "10-31 05:30, 11-01 05:30, 11-02 06:30"),
        ("Australia/Lord_Howe", "45 1 * * *", "04-03 14:00", "04-03 14:45, 04-04 14:45, 04-05 15:15"),
        ("Europe/Berlin", "0,30 2,3 * * *", "10-25 00:00", "10-25 00:30, 10-25 02:00, 10-25 02:30"),
        ("Australia/Lord_Howe", "0,30 1,2 * * *", "04-04 13:30", "04-04 14:00, 04-04 14:30, 04-04 15:30, 04-04 16:00"),
        # Also for who begins to look the second time.
        ("Europe/Berlin", "30 2 * * *", "10-25 01:10", "10-26 01:30"),
        ("America/New_York", "30 1 * * *", "11-01 06:10", "11-02 06:30"),
        # What comes more often goes by the clock: both times.
        ("Europe/Berlin", "*/30 * * * *", "10-25 00:00", "10-25 00:30, 10-25 01:00, 10-25 01:30, 10-25 02:00"),
        (
            "Europe/Berlin",
            "*/30 2 * * *",
            "10-24 23:00",
            "10-25 00:00, 10-25 00:30, 10-25 01:00, 10-25 01:30, 10-26 01:00",
        ),
        ("America/New_York", "15 * * * *", "11-01 05:00", "11-01 05:15, 11-01 06:15, 11-01 07:15"),
        ("Australia/Lord_Howe", "30 * * * *", "04-04 14:00", "04-04 14:30, 04-04 15:00, 04-04 16:00"),
        ("Australia/Lord_Howe", "0 * * * *", "04-04 13:30", "04-04 14:00, 04-04 15:30, 04-04 16:30"),
        # The hour after is whole.
        ("Australia/Lord_Howe", "*/20 3 * * *", "04-04 00:00", "04-04 16:30, 04-04 16:50, 04-04 17:10, 04-05 16:30"),
        ("Europe/Berlin", "0 30 2 * * *", "10-25 00:00", "10-25 00:30, 10-25 01:30, 10-26 01:30"),
    ],
)
def test_when_the_clock_goes_back(zone: str, cron: str, after: str, expected: str) -> None:
    found = following(cron, zone, f"2026-{after}", expected.count(",") + 1)
    assert ", ".join(tick.removeprefix("2026-") for tick in found) == expected


def test_a_midnight_that_is_skipped_comes_right_after_it() -> None:
    # In Cairo, on 2026-04-24, 00:00 (2026-04-23 22:00 UTC) becomes 01:00.
    assert following("0 0 * * *", "Africa/Cairo", "2026-04-23 00:00", 2) == ["2026-04-23 22:00", "2026-04-24 21:00"]
    assert following("*/30 0 24 4 *", "Africa/Cairo", "2026-04-23 00:00", 1) == ["2027-04-23 22:00"]


# -- intervals --------------------------------------------------------------------------------------------------------


def test_an_interval_goes_on_from_its_anchor_and_does_not_drift() -> None:
    timing, anchor = Timing(every_us=1_500_000), at("2026-01-01 00:00:00")
    assert list(itertools.islice(ticks.after(timing, anchor, anchor), 3)) == [anchor + n * 1_500_000 for n in (1, 2, 3)]
    late = anchor + 10**6 * 1_500_000 + 7
    assert ticks.first_after(timing, anchor, late) == anchor + (10**6 + 1) * 1_500_000


def test_an_interval_begins_at_its_start() -> None:
    start = at("2026-01-01 12:00")
    timing = Timing(every_us=3600 * SECOND_US, start_at=start)
    assert ticks.first_after(timing, 0, start - 10**12) == start
    assert ticks.first_after(timing, 0, start) == start + 3600 * SECOND_US
    assert ticks.first_after(timing, 0, start + 1) == start + 3600 * SECOND_US


# -- for any timing ---------------------------------------------------------------------------------------------------

minutes = st.sampled_from(["*", "*/7", "*/30", "0", "15,45", "5-50/15"])
hours = st.sampled_from(["*", "*/3", "0", "1", "2", "1-3", "23", "2,3"])
days = st.sampled_from(["*", "1", "*/9", "L", "LW", "29-31"])
weekdays = st.sampled_from(["*", "MON-FRI", "SUN", "0#1", "6L"])
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata", "Pacific/Apia"]
)
crons = st.builds("{} {} {} * {}".format, minutes, hours, days, weekdays) | st.builds(
    "*/20 {} {} * * *".format, minutes, hours
)
starts = st.none() | st.just(at("2026-05-05 05:05"))
timings = st.builds(lambda cron, zone: Timing(cron=cron, timezone=zone), crons, zones) | st.builds(
    lambda every, start: Timing(every_us=every, start_at=start), st.integers(10**6, 10**12), starts
)
instants = st.integers(at("2026-01-01 00:00:00"), at("2028-01-01 00:00:00"))


@given(timings, instants)
@settings(deadline=None, max_examples=300)
def test_ticks_strictly_rise_and_each_is_the_one_after_the_one_before(timing: Timing, begin: int) -> None:
    found = list(itertools.islice(ticks.after(timing, begin, begin), 12))
    assert found == sorted(set(found))
    assert not found or found[0] > begin
    for before, tick in itertools.pairwise([begin, *found]):
        assert ticks.first_after(timing, begin, before) == tick
        assert ticks.first_after(timing, begin, (before + tick) // 2) == tick
        assert ticks.first_after(timing, begin, tick - 1) == tick


whole_hours = st.sampled_from(["Europe/Berlin", "America/New_York"])


@given(minutes, hours, days, weekdays, whole_hours, st.booleans(), instants)
@settings(deadline=None, max_examples=300)
def test_where_clocks_jump_by_an_hour_the_ticks_are_those_of_cronsim(
    minute: str, hour: str, day: str, weekday: str, zone: str, with_seconds: bool, begin: int
) -> None:
    cron = f"{'0 ' if with_seconds else ''}{minute} {hour} {day} * {weekday}"
    theirs: list[int] = []
    for moment in itertools.islice(CronSim(cron, moment_of(begin).astimezone(ZoneInfo(zone))), 20):
        tick = int(moment.timestamp()) * SECOND_US
        if tick > max([begin, *theirs]):  # what is skipped together comes as often, and what came comes again
            theirs.append(tick)
    ours = itertools.islice(ticks.after(Timing(cron=cron, timezone=zone), ANCHOR, begin), len(theirs))
    assert list(ours) == theirs


def moment_of(tick: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=tick)


@given(timings, instants, st.integers(0, 40 * 86_400), st.integers(1, 60))
@settings(deadline=None, max_examples=300)
def test_the_latest_are_the_last_of_all(timing: Timing, since: int, lasting_s: int, count: int) -> None:
    until = since + min(lasting_s * SECOND_US, 2000 * (timing.every_us or 10**9))
    everything = list(itertools.takewhile(lambda tick: tick <= until, ticks.after(timing, since, since)))
    assert ticks.latest(timing, since, since, until, count) == everything[-count:]


def test_the_latest_are_found_where_a_gap_swallowed_as_many() -> None:
    timing = Timing(cron="* * * * * *", timezone="Europe/Berlin")
    since, jump = at("2026-03-29 00:00"), at("2026-03-29 01:00")
    assert ticks.latest(timing, 0, since, jump, 1000) == [jump - n * SECOND_US for n in range(999, -1, -1)]


def test_the_latest_of_many_years_cost_no_more_than_they_are() -> None:
    timing = Timing(cron="0 0 29 2 *", timezone="Europe/Berlin")
    found = ticks.latest(timing, 0, at("1990-01-01 00:00"), at("2026-01-01 00:00"), 1000)
    assert [shown(tick) for tick in found[-2:]] == ["2020-02-28 23:00", "2024-02-28 23:00"]
    assert len(found) == 9


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("@hourly", ["2026-02-27 13:00", "2026-02-27 14:00"]),
        ("@daily", ["2026-02-27 23:00", "2026-02-28 23:00"]),
        ("@midnight", ["2026-02-27 23:00", "2026-02-28 23:00"]),
        ("@weekly", ["2026-02-28 23:00", "2026-03-07 23:00"]),
        ("@monthly", ["2026-02-28 23:00", "2026-03-31 22:00"]),
        ("@yearly", ["2026-12-31 23:00", "2027-12-31 23:00"]),
        ("@annually", ["2026-12-31 23:00", "2027-12-31 23:00"]),
        ("@Daily", ["2026-02-27 23:00", "2026-02-28 23:00"]),
    ],
)
def test_a_word_is_due_as_the_expression_that_it_stands_for(word: str, expected: list[str]) -> None:
    ticks.check(Timing(cron=word, timezone="Europe/Berlin"), at("2026-02-27 12:30"))
    assert following(word, "Europe/Berlin", "2026-02-27 12:30", 2) == expected


@pytest.mark.parametrize("word", sorted(ticks.WORDS))
def test_a_word_means_the_same_where_clocks_jump_and_backwards(word: str) -> None:
    named = Timing(cron=word, timezone="Europe/Berlin")
    written = Timing(cron=ticks.WORDS[word], timezone="Europe/Berlin")
    since, until = at("2026-03-01 00:00"), at("2027-03-01 00:00")
    both = [list(itertools.islice(ticks.after(one, ANCHOR, since), 9000)) for one in (named, written)]
    assert both[0] == both[1]
    assert ticks.latest(named, ANCHOR, since, until, 400) == ticks.latest(written, ANCHOR, since, until, 400)


def test_other_words_are_refused_with_what_to_say_instead() -> None:
    for word, told in (("@reboot", '"start": "now"'), ("@every 5m", "every takes an interval")):
        with pytest.raises(BadTiming, match=told):
            ticks.check(Timing(cron=word), 0)


def test_what_another_program_has_stored_is_no_other_error() -> None:
    with pytest.raises(BadTiming, match="cannot be read"):
        ticks.first_after(Timing(cron="@full-moon"), ANCHOR, 0)


# -- what is not taken ------------------------------------------------------------------------------------------------

FIVE = "must have five fields, minute hour day-of-month month day-of-week, like"


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("", FIVE),
        ("* * * *", FIVE),
        ("* * * * * * *", FIVE),
        ("* * * * ?", FIVE),
        ("0 0 * * ü", FIVE),
        ("0\t0 * * *", FIVE),
        (" " + "0," * 100 + "0 * * * *", FIVE),
        ("61 * * * *", 'has the minute "61", which cannot be read; the fields are minute hour'),
        ("0 24 * * *", 'has the hour "24", which cannot be read'),
        ("0 0 0 * *", 'has the day-of-month "0", which cannot be read'),
        ("0 0 1 13 *", 'has the month "13", which cannot be read'),
        ("0 0 * * FRI-SUN", 'has the day-of-week "FRI-SUN", which cannot be read'),
        ("61 * * * * *", 'has the second "61", which cannot be read; the fields are second minute hour'),
        ("0 0 * * */0", 'has the day-of-week "*/0", which cannot be read'),
        ("0 0 30 2 *", "never comes: no month 2 has a day 30"),
        ("0 0 31 4,6,SEP *", "never comes: no month 4,6,SEP has a day 31"),
        ("0 0 */31 * MON#2", "never comes: there is no such day in the next 50 years"),
        ("@dayly", "knows the words @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"),
    ],
)
def test_an_expression_is_refused_with_what_would_be_right(cron: str, told: str) -> None:
    with pytest.raises(BadTiming) as caught:
        ticks.check(Timing(cron=cron), at("2026-01-01 00:00"))
    assert caught.value.pointer == "/cron"
    assert caught.value.problem.startswith(told)


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("utc", "UTC"),
        ("", None),
        ("right/Europe/Berlin", "Europe/Berlin"),
        ("posixrules", None),
        ("../../etc/passwd", None),
        ("/etc/localtime", None),
        ("leapseconds", None),
        ("x" * 10_000, None),
        ("\0", None),
    ],
)
def test_a_zone_is_refused_with_the_nearest(zone: str, near: str | None) -> None:
    with pytest.raises(BadTiming) as caught:
        ticks.check(Timing(cron="0 0 * * *", timezone=zone), at("2026-01-01 00:00"))
    assert caught.value.pointer == "/timezone"
    assert caught.value.problem.endswith(f'did you mean "{near}"?' if near else "like Europe/Berlin or UTC")


@given(st.text("0123456789*,-/#LWMONFRI ", max_size=40), instants)
@settings(deadline=None, max_examples=500)
def test_any_expression_is_taken_or_refused(cron: str, now: int) -> None:
    try:
        ticks.check(Timing(cron=cron), now)
    except BadTiming:
        return
    assert ticks.first_after(Timing(cron=cron), ANCHOR, now)
