"""Schedules by function: what becomes of them by what is known of their ticks. Pure; each test says what time it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_schedules import MINUTE_US, NOW, after, fire, minutes, moved, put, told
from tickr.foresight import AHEAD, FEW, MOST_MISSED, MOST_PASSED, Foresight
from tickr.missed import LATE_US, is_known
from tickr.schedule_moves import Foresee, Moved, Pause, Resume, Seen
from tickr.schedules import Schedule
from tickr.ticks import BY_FUNCTION, SECOND_US, Timing

BY = Timing(cron=BY_FUNCTION, function="nights.at_sunset", code="c0de")


def made(**wish: Any) -> Schedule:
    """Return a schedule by function that was put at NOW; nobody has told its ticks."""
    found = put(timing=BY, **wish).apply(Seen(None, NOW)).after
    assert found is not None
    return found


def foresee(schedule: Schedule, *ticks: int, **fields: Any) -> Foresee:
    known = schedule.foreseen
    assert known is not None
    given = {"version": schedule.version, "horizon": known.horizon, "after": known.horizon, "ticks": ticks}
    return Foresee(**{"name": "s", **given, **fields})


def told_of(schedule: Schedule, *numbers: int, now: int = NOW, **fields: Any) -> Schedule:
    """Return it after its function has told the ticks so many minutes after NOW."""
    return after(schedule, foresee(schedule, *minutes(*numbers), **fields), now)


def known(schedule: Schedule) -> Foresight:
    assert schedule.foreseen is not None
    return schedule.foreseen


def run(schedule: Schedule, now: int, *, busy: bool = False) -> tuple[Schedule, list[int]]:
    """Deal with all that is due and may be dealt with; return the schedule and the ticks that made jobs."""
    fired: list[int] = []
    while schedule.next_at is not None and schedule.next_at <= now and is_known(schedule, now):
        found = moved(schedule, fire(schedule, now), now, busy=busy)
        assert found.after is not None
        fired += [job.run_at for job in found.jobs if job.run_at is not None]
        schedule = found.after
    return schedule, fired


# -- what is known ----------------------------------------------------------------------------------------------------


def test_nothing_is_known_at_first_and_that_is_no_end() -> None:
    found = moved(None, put(timing=BY))
    assert found.after is not None
    assert (found.after.next_at, found.after.ended, known(found.after)) == (None, None, Foresight(NOW))
    (event,) = told(found)
    assert (event["what"], event["schedule"]["function"], event["schedule"]["cron"]) == (
        "schedule.created",
        "nights.at_sunset",
        None,
    )
    assert event["schedule"]["timezone"] == "UTC"


def test_what_is_told_are_its_next_ticks() -> None:
    schedule = told_of(made(), 1, 5)
    assert (schedule.next_at, list(schedule.after(NOW)), schedule.version) == (minutes(1)[0], minutes(1, 5), 1)
    schedule = told_of(schedule, 7, 8)
    assert list(schedule.after(NOW)) == minutes(1, 5, 7, 8)


def test_a_first_tick_at_once_needs_no_function() -> None:
    schedule = put(timing=msgspec.structs.replace(BY, start_now=True)).apply(Seen(None, NOW)).after
    assert schedule is not None
    assert (schedule.next_at, known(schedule)) == (NOW, Foresight(NOW, (NOW,)))
    schedule, fired = run(told_of(schedule, 3), NOW)
    assert (fired, schedule.next_at) == ([NOW], minutes(3)[0])


def test_whoever_was_not_first_changes_nothing() -> None:
    before = made()
    later = told_of(before, 1, 2)
    for stale in (
        foresee(before, *minutes(1, 2, 3)),
        foresee(later, *minutes(5), version=7),
        foresee(later, horizon=minutes(1)[0]),
        foresee(later),
    ):
        assert moved(later, stale) == Moved(later, later)
    assert moved(None, foresee(before)) == Moved(None, None)
    plain = put().apply(Seen(None, NOW)).after
    assert moved(plain, foresee(before, *minutes(1))) == Moved(plain, plain)


def test_what_is_told_anew_takes_the_place_of_what_was_known() -> None:
    schedule = told_of(made(), 1, 2, 3)
    schedule, _ = run(schedule, minutes(1)[0])
    schedule = told_of(schedule, 1, 4, 9, after=minutes(1)[0])
    assert (list(schedule.after(NOW)), schedule.next_at) == (minutes(4, 9), minutes(4)[0])
    assert told_of(schedule, 1, 4, 9, after=known(schedule).since) == schedule


def test_a_tick_that_was_dealt_with_does_not_come_again() -> None:
    schedule = told_of(made(), 1, 2)
    wish = foresee(schedule, *minutes(1, 2, 3), after=NOW)
    schedule, fired = run(schedule, minutes(1)[0])
    schedule = after(schedule, wish, minutes(1)[0])
    assert (fired, list(schedule.after(NOW))) == (minutes(1), minutes(2, 3))


def test_a_fault_is_kept_until_more_is_told() -> None:
    schedule = told_of(made(), fault="f raised ValueError: no sun")
    assert (known(schedule).fault, schedule.next_at, schedule.ended) == ("f raised ValueError: no sun", None, None)
    assert known(told_of(schedule, 1)).fault is None
    schedule = told_of(schedule, 1, fault="again")
    assert (schedule.next_at, known(schedule).fault) == (minutes(1)[0], "again")


def test_of_very_many_that_have_passed_the_first_and_the_last_are_kept() -> None:
    schedule, late = made(), 5 * MOST_PASSED
    while known(schedule).horizon < minutes(late)[0]:
        begin = (known(schedule).horizon - NOW) // MINUTE_US + 1
        schedule = told_of(schedule, *range(begin, begin + 1_000), now=minutes(late)[0])
        assert len(known(schedule).ticks) <= MOST_PASSED + 1_000
    passed = [tick for tick in known(schedule).ticks if tick <= minutes(late)[0]]
    half = MOST_PASSED // 2
    assert passed == [*minutes(*range(1, half + 1)), *minutes(*range(late - half + 1, late + 1))]


def test_when_the_function_is_to_be_asked() -> None:
    schedule = made()
    assert not known(schedule).is_enough(NOW, None)
    assert known(schedule).lacking(NOW) == AHEAD
    ticks = known(told_of(schedule, *range(1, AHEAD + 1)))
    assert ticks.is_enough(NOW, None)
    assert ticks.few_at() == minutes(AHEAD - FEW + 1)[0]
    assert ticks.is_enough(ticks.few_at() - 1, None)
    assert not ticks.is_enough(ticks.few_at(), None)
    assert ticks.lacking(ticks.few_at()) == AHEAD - FEW + 1
    assert not known(told_of(schedule, 1)).is_enough(NOW, None)
    assert known(told_of(schedule, 1)).is_enough(NOW, NOW + 1), "nobody wants ticks after its end"
    assert known(told_of(schedule, 1, no_more=True)).is_enough(minutes(9)[0], None)


# -- ticks ------------------------------------------------------------------------------------------------------------


def test_its_ticks_are_fired_by_whoever_there_is() -> None:
    schedule = told_of(made(), 1, 2)
    schedule, fired = run(schedule, minutes(1)[0])
    assert (fired, schedule.next_at, schedule.fired, schedule.last_tick) == (minutes(1), *minutes(2), 1, *minutes(1))
    schedule, fired = run(schedule, minutes(2)[0])
    assert (fired, schedule.next_at, schedule.ended) == (minutes(2), None, None), "in time, though no more is known"


@pytest.mark.parametrize(("missed", "jobs"), [("once", [7]), ("all", [1, 2, 3, 4, 5, 6, 7]), ("skip", [])])
def test_after_an_outage_it_waits_until_all_that_was_missed_is_known(missed: str, jobs: list[int]) -> None:
    now = minutes(7)[0] + LATE_US + 1
    schedule = told_of(made(missed=missed), 1, 2, 3)
    assert run(schedule, now) == (schedule, [])
    schedule, fired = run(told_of(schedule, 4, 5, 6, 7, 8, now=now), now)
    assert (fired, schedule.next_at) == (minutes(*jobs), minutes(8)[0])
    assert schedule.missed_ticks == 7 - len(jobs)


def test_the_last_one_that_is_known_is_fired_while_it_is_not_late() -> None:
    schedule = told_of(made(), 1)
    assert run(schedule, minutes(1)[0] + LATE_US)[1] == minutes(1)
    assert run(schedule, minutes(1)[0] + LATE_US + 1)[1] == []


def test_ticks_that_nobody_could_tell_count_as_missed() -> None:
    schedule, _ = run(told_of(made(missed="all"), 1), minutes(1)[0])
    schedule, fired = run(told_of(schedule, 2, 3, 4, now=minutes(3)[0]), minutes(3)[0])
    assert (fired, schedule.missed_ticks) == (minutes(2, 3), 0)


def test_two_codes_that_tell_otherwise_make_no_job_twice() -> None:
    """The newer one is put while the older one's ticks are known: from then on its own come."""
    schedule, _ = run(told_of(made(), 1, 2, 3, 4), minutes(2)[0])
    older = foresee(schedule, *minutes(5))
    plan = fire(schedule, minutes(3)[0])
    newer = put(timing=msgspec.structs.replace(BY, code="b0de"))
    schedule = after(schedule, newer, minutes(2)[0])
    assert (schedule.next_at, schedule.foreseen) == (None, Foresight(minutes(2)[0]))
    for stale in (older, plan):
        assert moved(schedule, stale, minutes(3)[0]) == Moved(schedule, schedule)
    schedule, fired = run(told_of(schedule, 2, 3), minutes(3)[0])
    assert fired == minutes(3)


def test_another_code_of_the_function_makes_up_for_what_was_due_before() -> None:
    """As after a deploy that took a while, or with another release of Python."""
    schedule = told_of(made(missed="all"), 1, 2, 3)
    newer = put(timing=msgspec.structs.replace(BY, code="b0de"), missed="all")
    schedule = after(schedule, newer, minutes(2)[0])
    assert (schedule.next_at, known(schedule)) == (minutes(1)[0], Foresight(NOW, tuple(minutes(1, 2))))
    other = put(timing=msgspec.structs.replace(BY, function="g"), missed="all")
    assert known(after(schedule, other, minutes(2)[0])) == Foresight(minutes(2)[0])
    schedule, fired = run(told_of(schedule, 5, now=minutes(2)[0]), minutes(2)[0])
    assert (fired, schedule.next_at) == (minutes(1, 2), minutes(5)[0])
    assert known(after(schedule, put(timing=BY), minutes(3)[0])) == Foresight(minutes(3)[0]), "nothing was due"
    at_once = put(timing=msgspec.structs.replace(BY, start_now=True))
    assert known(after(schedule, at_once, minutes(6)[0])).ticks == tuple(minutes(6)), "that is another timing"


def test_a_plan_stands_when_later_ticks_were_told_otherwise_meanwhile() -> None:
    schedule = told_of(made(), 1, 2, 3)
    plan = fire(schedule, minutes(1)[0])
    schedule = after(schedule, foresee(schedule, *minutes(1, 5), after=NOW), minutes(1)[0])
    schedule = after(schedule, plan, minutes(1)[0])
    assert (schedule.next_at, list(schedule.after(0))) == (minutes(5)[0], minutes(5))


# -- pause, end -------------------------------------------------------------------------------------------------------


def test_a_pause_keeps_what_is_known_and_a_resume_what_is_to_come() -> None:
    schedule = after(told_of(made(), 1, 2, 3), Pause(name="s"))
    assert (schedule.next_at, schedule.ended) == (None, None)
    assert told_of(schedule, 4).next_at is None
    schedule = after(schedule, Resume(name="s"), minutes(2)[0])
    assert (schedule.next_at, known(schedule)) == (minutes(3)[0], Foresight(minutes(2)[0], tuple(minutes(3))))
    schedule = after(after(schedule, Pause(name="s")), Resume(name="s"), minutes(9)[0])
    assert (schedule.next_at, schedule.ended, known(schedule)) == (None, None, Foresight(minutes(9)[0]))


def test_a_function_ends_its_schedule() -> None:
    found = moved(made(), foresee(made(), no_more=True))
    assert found.after is not None
    assert (found.after.ended, [event["what"] for event in told(found)]) == ("function", ["schedule.ended"])
    schedule, fired = run(told_of(made(), 1, no_more=True), minutes(9)[0])
    assert (fired, schedule.ended) == (minutes(1), "function")
    assert told_of(schedule, 12, after=known(schedule).since).ended is None, "what knows more says so when it starts"


def test_its_end_and_its_times_are_those_of_every_schedule() -> None:
    schedule, fired = run(told_of(made(end_at=minutes(2)[0]), 1, 2, 3), minutes(9)[0])
    assert (fired, schedule.ended, schedule.missed_ticks) == (minutes(2), "end_at", 1)
    schedule, fired = run(told_of(made(times=2, missed="all"), 1, 2, 3), minutes(2)[0])
    assert (fired, schedule.ended) == (minutes(1, 2), "times")
    schedule = after(schedule, put(timing=BY, times=9, missed="all"), minutes(8)[0])
    assert (schedule.ended, schedule.next_at, known(schedule)) == (None, None, Foresight(minutes(8)[0]))


def test_another_timing_forgets_what_was_known() -> None:
    schedule = after(told_of(made(), 1, 2), put())
    assert (schedule.foreseen, schedule.timing.function, schedule.next_at) == (None, None, minutes(1)[0])
    assert known(after(schedule, put(timing=BY), NOW + 5)) == Foresight(NOW + 5)


# -- against an interval ----------------------------------------------------------------------------------------------


class Both:
    """A schedule by interval, and one by a function that says the same; the second is asked before it is looked at."""

    def __init__(self, **wish: Any) -> None:
        interval, by = (put(timing=timing, **wish).apply(Seen(None, NOW)).after for timing in (EVERY, BY))
        assert interval is not None
        assert by is not None
        self.interval, self.by = interval, by

    def ask(self, now: int) -> None:
        while self.by.next_at is None or not known(self.by).is_enough(now, self.by.end_at):
            if self.by.ended or self.by.paused:
                return
            horizon = known(self.by).horizon
            step = EVERY.every_us or 0
            begin = NOW + (horizon - NOW) // step * step
            self.by = after(self.by, foresee(self.by, *range(begin + step, begin + 21 * step, step)), now)


EVERY = Timing(every_us=10 * SECOND_US)


@given(
    st.sampled_from(["once", "all", "skip"]),
    st.sampled_from(["allow", "skip"]),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(1, 3_000),
    st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.sampled_from(["", "", "", "pause"])), max_size=8),
)
def test_it_does_what_an_interval_does(
    missed: str, overlap: str, times: int | None, end_s: int | None, steps: list[tuple[int, bool, str]]
) -> None:
    end_at = None if end_s is None else NOW + end_s * SECOND_US
    both = Both(missed=missed, overlap=overlap, times=times, end_at=end_at)
    now = NOW
    for seconds, busy, what in steps:
        now += seconds * SECOND_US
        both.ask(now)
        both.interval, expected = run(both.interval, now, busy=busy)
        both.by, fired = run(both.by, now, busy=busy)
        assert fired == expected
        if what:
            for move in (Pause(name="s"), Resume(name="s")):
                both.interval, both.by = after(both.interval, move, now), after(both.by, move, now)
        both.ask(now)
        for field in ("fired", "missed_ticks", "overlapped", "last_tick", "next_at", "paused"):
            assert getattr(both.by, field) == getattr(both.interval, field), field
        assert bool(both.by.ended) == bool(both.interval.ended)


@pytest.mark.parametrize("missed", ["once", "all", "skip"])
def test_after_a_long_outage_it_does_what_an_interval_does(missed: str) -> None:
    both, now = Both(missed=missed), NOW + 4_321 * 10 * SECOND_US
    both.ask(now)
    both.interval, expected = run(both.interval, now)
    both.by, fired = run(both.by, now)
    assert fired == expected
    assert len(fired) == {"once": 1, "all": MOST_MISSED, "skip": 4}[missed]
    assert both.by.missed_ticks == both.interval.missed_ticks == 1_000
