"""How schedules begin at once and end: by an instant, or after so many times. Pure; each test says what time it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_schedules import MINUTE_US, NOW, after, fire, minutes, moved, put, told
from tickr.missed import MOST_MISSED
from tickr.schedule_moves import Moved, Pause, Resume, Run, Seen
from tickr.schedules import Schedule
from tickr.ticks import Timing

EVERY_MINUTE_AND_NOW = Timing(every_us=MINUTE_US, start_now=True)
MIDNIGHT_AND_NOW = Timing(cron="@daily", start_now=True)


def made(**wish: Any) -> Schedule:
    """Return a schedule that was put at NOW."""
    found = put(**wish).apply(Seen(None, NOW)).after
    assert found is not None
    return found


def run(schedule: Schedule, now: int, *, busy: bool = False) -> tuple[Schedule, list[int]]:
    """Deal with all that is due at ``now``; return the schedule and the ticks that made jobs."""
    fired: list[int] = []
    while schedule.next_at is not None and schedule.next_at <= now:
        found = moved(schedule, fire(schedule, now), now, busy=busy)
        assert found.after is not None
        fired += [job.run_at for job in found.jobs if job.run_at is not None]
        schedule = found.after
    return schedule, fired


# -- so many times ----------------------------------------------------------------------------------------------------


def test_after_so_many_ticks_it_has_ended_and_says_so() -> None:
    schedule = made(times=2)
    schedule, fired = run(schedule, NOW + MINUTE_US)
    assert (fired, schedule.fired, schedule.left, schedule.ended) == (minutes(1), 1, 1, None)
    found = moved(schedule, fire(schedule, NOW + 2 * MINUTE_US), NOW + 2 * MINUTE_US)
    assert found.after is not None
    assert (found.after.next_at, found.after.ended, found.after.fired, found.after.version) == (None, "times", 2, 1)
    (event,) = told(found)
    assert (event["what"], event["schedule"]["ended"], event["schedule"]["fired"]) == ("schedule.ended", "times", 2)
    assert event["schedule"]["next_at"] is None


@pytest.mark.parametrize(("missed", "fired"), [("all", minutes(1, 2, 3)), ("once", minutes(5)), ("skip", minutes(5))])
def test_after_an_outage_no_more_than_so_many_make_jobs(missed: str, fired: list[int]) -> None:
    schedule, found = run(made(times=3, missed=missed), NOW + 5 * MINUTE_US)
    assert found == fired
    assert schedule.fired == len(fired)
    assert schedule.missed_ticks == (0 if missed == "all" else 4)
    schedule, more = run(schedule, NOW + 60 * MINUTE_US)
    assert schedule.fired == len(fired) + len(more) <= 3


def test_of_very_many_that_were_missed_it_is_the_first_that_count() -> None:
    late = NOW + 5 * MOST_MISSED * MINUTE_US
    schedule, fired = run(made(times=70, missed="all"), late)
    assert fired == minutes(*range(1, 71))
    assert (schedule.missed_ticks, schedule.ended) == (0, "times")
    schedule, fired = run(made(times=MOST_MISSED + 5, missed="all"), late)
    assert len(fired) == MOST_MISSED
    assert (fired[-1], schedule.left) == (late, 5)


def test_a_tick_without_a_job_and_a_run_do_not_count() -> None:
    schedule = made(times=1, overlap="skip", missed="all")
    schedule = after(schedule, Run(name="s", job_id="j0"))
    schedule, fired = run(schedule, NOW + 2 * MINUTE_US, busy=True)
    assert (fired, schedule.overlapped, schedule.fired, schedule.ended) == ([], 2, 0, None)
    schedule, fired = run(schedule, NOW + 9 * MINUTE_US)
    assert (fired, schedule.fired, schedule.ended) == (minutes(3), 1, "times")
    assert moved(schedule, Run(name="s", job_id="j9")).jobs


def test_none_that_overlap_are_told_of_after_the_last() -> None:
    schedule, fired = run(made(times=1, overlap="skip", missed="all"), NOW + 7 * MINUTE_US)
    assert (fired, schedule.overlapped, schedule.last_tick) == (minutes(1), 0, NOW + MINUTE_US)


# -- until an instant -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end_us", "fired"), [(0, minutes(1, 2)), (-1, minutes(1))])
def test_its_end_may_be_a_tick_itself(end_us: int, fired: list[int]) -> None:
    schedule, found = run(made(end_at=NOW + 2 * MINUTE_US + end_us, missed="all"), NOW + 9 * MINUTE_US)
    assert (found, schedule.ended, schedule.next_at) == (fired, "end_at", None)


@pytest.mark.parametrize("timing", [Timing(every_us=MINUTE_US), Timing(cron="* * * * *", timezone="Europe/Berlin")])
@pytest.mark.parametrize("missed", ["all", "once", "skip"])
def test_what_was_missed_before_its_end_is_made_up_for_and_nothing_after_it(timing: Timing, missed: str) -> None:
    end = NOW + 1500 * MINUTE_US
    schedule, fired = run(made(timing=timing, end_at=end, missed=missed), NOW + 9000 * MINUTE_US)
    assert len(fired) == {"all": MOST_MISSED, "once": 1, "skip": 0}[missed]
    assert all(tick <= end for tick in fired)
    assert (schedule.ended, schedule.last_tick) == ("end_at", end)


def test_one_whose_end_is_past_is_put_all_the_same_and_has_ended() -> None:
    found = moved(None, put(end_at=NOW - 1))
    assert found.after is not None
    assert (found.after.ended, found.after.next_at) == ("end_at", None)
    assert [event["what"] for event in told(found)] == ["schedule.created", "schedule.ended"]
    again = moved(found.after, put(end_at=NOW - 1), NOW + MINUTE_US)
    assert again == Moved(found.after, found.after)


# -- changed ----------------------------------------------------------------------------------------------------------


def test_with_a_later_end_it_goes_on_from_now() -> None:
    schedule, _ = run(made(times=1), NOW + MINUTE_US)
    late = NOW + 10 * MINUTE_US + 1
    found = moved(schedule, put(times=3), late)
    assert found.after is not None
    assert (found.after.next_at, found.after.ended, found.after.left) == (NOW + 11 * MINUTE_US, None, 2)
    assert [event["what"] for event in told(found)] == ["schedule.changed"]
    assert after(schedule, put(), late).next_at == NOW + 11 * MINUTE_US


def test_an_earlier_end_ends_it_at_once_and_another_one_keeps_the_next_tick() -> None:
    schedule, _ = run(made(missed="all"), NOW + 2 * MINUTE_US)
    late = NOW + 5 * MINUTE_US + 1  # three ticks are due that nobody dealt with
    assert after(schedule, put(missed="all", times=9), late).next_at == NOW + 3 * MINUTE_US
    for wish in ({"times": 2}, {"end_at": NOW + 3 * MINUTE_US - 1}):
        found = moved(schedule, put(missed="all", **wish), late)
        assert found.after is not None
        assert found.after.next_at is None
        assert [event["what"] for event in told(found)] == ["schedule.changed", "schedule.ended"]


def test_one_that_is_paused_may_end_meanwhile() -> None:
    paused = after(made(end_at=NOW + 5 * MINUTE_US), Pause(name="s"))
    assert (paused.ended, paused.next_at) == (None, None)
    found = moved(paused, Resume(name="s"), NOW + 9 * MINUTE_US)
    assert found.after is not None
    assert (found.after.paused, found.after.ended) == (False, "end_at")
    assert [event["what"] for event in told(found)] == ["schedule.resumed", "schedule.ended"]
    longer = after(paused, put(end_at=NOW + 99 * MINUTE_US), NOW + 9 * MINUTE_US)
    assert (longer.next_at, longer.ended, longer.paused) == (None, None, True)
    assert after(longer, Resume(name="s"), NOW + 9 * MINUTE_US).next_at == NOW + 10 * MINUTE_US


# -- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timing", "second"), [(EVERY_MINUTE_AND_NOW, NOW + MINUTE_US), (MIDNIGHT_AND_NOW, None)])
def test_the_first_tick_is_the_instant_at_which_it_is_put(timing: Timing, second: int | None) -> None:
    schedule = made(timing=timing)
    assert schedule.next_at == NOW
    schedule, fired = run(schedule, NOW + 1)
    assert fired == [NOW]
    assert schedule.next_at == (second or schedule.next_after(NOW))
    assert moved(schedule, put(timing=timing), NOW + 5) == Moved(schedule, schedule)


def test_another_timing_has_a_first_tick_again_and_nothing_else_has() -> None:
    schedule, _ = run(made(timing=MIDNIGHT_AND_NOW), NOW)
    late = NOW + 5 * MINUTE_US
    same = [put(timing=MIDNIGHT_AND_NOW, **wish) for wish in ({"missed": "all"}, {"times": 9}, {"end_at": 2 * NOW})]
    assert [after(schedule, wish, late).next_at for wish in same] == [schedule.next_at] * 3
    assert after(schedule, put(timing=EVERY_MINUTE_AND_NOW), late).next_at == late
    paused = after(schedule, Pause(name="s"), late)
    assert after(paused, Resume(name="s"), late).next_at == schedule.next_at
    changed = after(paused, put(timing=EVERY_MINUTE_AND_NOW), late)
    assert (changed.next_at, after(changed, Resume(name="s"), late + 1).next_at) == (None, late + MINUTE_US)


def test_it_does_not_come_again_though_the_clock_was_set_back() -> None:
    schedule, _ = run(made(timing=MIDNIGHT_AND_NOW), NOW)
    assert after(schedule, put(timing=EVERY_MINUTE_AND_NOW), NOW - 90 * 1_000_000).next_at == NOW + 30 * 1_000_000


def test_once_and_at_once_is_a_single_job() -> None:
    schedule, fired = run(made(timing=EVERY_MINUTE_AND_NOW, times=1), NOW + 9 * MINUTE_US)
    assert len(fired) == 1
    assert schedule.ended == "times"
    assert made(timing=EVERY_MINUTE_AND_NOW, end_at=NOW - 1).ended == "end_at"


# -- all together -----------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["skip", "once", "all"]),
    st.sampled_from(["allow", "skip"]),
    st.booleans(),
    st.none() | st.integers(1, 8),
    st.none() | st.integers(0, 3 * 3600),
    st.lists(st.tuples(st.integers(1, 3 * 3600), st.booleans()), min_size=1, max_size=10),
)
def test_however_seldom_somebody_looks_it_makes_no_more_jobs_and_none_too_late(
    missed: str,
    overlap: str,
    at_once: bool,
    times: int | None,
    end_s: int | None,
    looks: list[tuple[int, bool]],
) -> None:
    end = None if end_s is None else NOW + end_s * 1_000_000
    timing = Timing(every_us=MINUTE_US, start_now=at_once)
    schedule, now, fired = made(timing=timing, missed=missed, overlap=overlap, times=times, end_at=end), NOW, []
    for pause_s, busy in looks:
        now += pause_s * 1_000_000
        schedule, more = run(schedule, now, busy=busy)
        fired += more
    assert schedule.fired == len(fired) == len(set(fired)) <= (times or len(fired))
    assert all(tick <= (end or tick) for tick in fired)
    assert (schedule.next_at is None) == (schedule.ended is not None)
    assert (schedule.ended == "times") == (times == len(fired))
    last = min(now, end or now) if schedule.ended != "times" else schedule.last_tick or 0
    ticks = (last - NOW) // MINUTE_US + at_once if last >= NOW else 0
    assert len(fired) + schedule.missed_ticks + schedule.overlapped == ticks
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule
