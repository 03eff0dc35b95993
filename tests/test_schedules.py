"""What may be done to a schedule, and which of its ticks make jobs: pure, by the clock that each test says."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr.errors import ScheduleExists, ScheduleMismatch, ScheduleNotFound, TooManySchedules
from tickr.jobs import Extras, NewJob
from tickr.missed import LATE_US, MOST_AT_ONCE, MOST_MISSED, due
from tickr.schedule_moves import Delete, Fire, Move, Moved, Pause, Put, Resume, Run, Seen, watched
from tickr.schedules import Schedule
from tickr.ticks import SECOND_US, Timing

NOW = 1_800_000_000 * SECOND_US
MINUTE_US = 60 * SECOND_US
EVERY_MINUTE = Timing(every_us=MINUTE_US)
TEMPLATE = NewJob(id="", type="mail", queue="q", labels='{"a":"b"}', extras=Extras(traceparent="t"))


def put(**fields: Any) -> Put:
    return Put(**{"name": "s", "timing": EVERY_MINUTE, "job": TEMPLATE, "given": '{"type":"mail"}', **fields})


def made(**fields: Any) -> Schedule:
    """Return a schedule that was put at NOW; fields of the record count after that."""
    wish = {name: fields.pop(name) for name in ("timing", "job", "missed", "overlap") if name in fields}
    after = put(**wish).apply(Seen(None, NOW)).after
    assert after is not None
    return msgspec.structs.replace(after, **fields)


def moved(schedule: Schedule | None, move: Move, now: int = NOW, **seen: bool) -> Moved:
    return move.apply(Seen(schedule, now, **seen))


def after(schedule: Schedule | None, move: Move, now: int = NOW, **seen: bool) -> Schedule:
    found = moved(schedule, move, now, **seen).after
    assert found is not None
    return found


def told(found: Moved) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.data) | {"what": event.what} for event in found.told]


# -- from outside -----------------------------------------------------------------------------------------------------


def test_a_new_schedule_waits_for_its_next_tick() -> None:
    found = moved(None, put(missed="all", overlap="skip"))
    schedule = found.after
    assert schedule is not None
    assert (schedule.next_at, schedule.version, schedule.created_at, schedule.updated_at) == (
        NOW + MINUTE_US,
        1,
        NOW,
        NOW,
    )
    assert (schedule.missed, schedule.overlap, schedule.paused, schedule.last_tick) == ("all", "skip", False, None)
    (event,) = told(found)
    assert (event["what"], event["schedule"]["name"], event["schedule"]["version"]) == ("schedule.created", "s", 1)
    assert (event["schedule"]["every"], event["schedule"]["cron"], event["schedule"]["timezone"]) == (60, None, None)


def test_the_same_again_changes_nothing() -> None:
    schedule = made()
    assert moved(schedule, put(), NOW + 5) == Moved(schedule, schedule)


def test_another_template_keeps_the_next_tick() -> None:
    changed = after(made(), put(job=msgspec.structs.replace(TEMPLATE, priority=1)), NOW + 7 * SECOND_US)
    assert (changed.next_at, changed.version, changed.updated_at) == (NOW + MINUTE_US, 2, NOW + 7 * SECOND_US)
    assert changed.job.priority == 1


def test_another_timing_begins_anew_from_now_on() -> None:
    late = NOW + 10 * MINUTE_US + 3  # ticks are due that nobody dealt with
    changed = after(made(), put(timing=Timing(every_us=2 * MINUTE_US)), late)
    assert (changed.next_at, changed.anchor_at) == (late + 2 * MINUTE_US, late)
    assert after(made(paused=True, next_at=None), put(timing=Timing(every_us=2 * MINUTE_US)), late).next_at is None


def test_no_tick_comes_again_though_the_clock_was_set_back() -> None:
    hourly = Timing(cron="0 * * * *")
    schedule = made(timing=hourly, last_tick=NOW + 3600 * SECOND_US)
    changed = after(schedule, put(timing=Timing(cron="0,30 * * * *")), NOW)
    assert changed.next_at == NOW + 5400 * SECOND_US
    resumed = after(msgspec.structs.replace(schedule, paused=True, next_at=None), Resume(name="s"), NOW)
    assert resumed.next_at == NOW + 7200 * SECOND_US


def test_pause_and_resume_make_up_for_nothing() -> None:
    paused = after(made(), Pause(name="s"))
    assert (paused.paused, paused.next_at, paused.version) == (True, None, 2)
    assert moved(paused, Pause(name="s")) == Moved(paused, paused)
    late = NOW + 10 * MINUTE_US + 1
    resumed = after(paused, Resume(name="s"), late)
    assert (resumed.paused, resumed.next_at, resumed.version) == (False, NOW + 11 * MINUTE_US, 3)
    assert moved(resumed, Resume(name="s")) == Moved(resumed, resumed)


def test_a_run_makes_a_job_and_moves_no_tick() -> None:
    for schedule in (made(), made(paused=True, next_at=None)):
        found = moved(schedule, Run(name="s", job_id="j1"), NOW + 1)
        assert found.after == msgspec.structs.replace(schedule, last_job="j1")
        (job,) = found.jobs
        assert (job.id, job.type, job.run_at) == ("j1", "mail", None)
        assert job.extras == Extras(traceparent="t", schedule="s")
        assert not found.told
        assert moved(found.after, Run(name="s", job_id="j1")) == Moved(found.after, found.after)


def test_the_deleted_is_told_as_it_was() -> None:
    found = moved(made(), Delete(name="s"))
    assert found.after is None
    assert [(event["what"], event["schedule"]["name"]) for event in told(found)] == [("schedule.deleted", "s")]


def test_what_is_not_there_or_another_version_is_refused() -> None:
    for move in (Pause(name="s"), Resume(name="s"), Delete(name="s"), Run(name="s", job_id="j"), put(version=1)):
        with pytest.raises(ScheduleNotFound):
            moved(None, move)
    for move in (Pause(name="s", version=2), Resume(name="s", version=2), Delete(name="s", version=2), put(version=2)):
        with pytest.raises(ScheduleMismatch):
            moved(made(), move)
    assert after(made(), Pause(name="s", version=1)).paused
    with pytest.raises(ScheduleExists):
        moved(made(), put(only_new=True))
    assert after(None, put(only_new=True)).version == 1
    with pytest.raises(TooManySchedules):
        moved(None, put(), full=True)
    assert after(made(), put(missed="all"), full=True).missed == "all"


def test_every_event_has_an_id_of_its_own_over_deletions_too() -> None:
    ids: list[str] = []
    schedule: Schedule | None = None
    for n, move in enumerate([put(), Pause(name="s"), Resume(name="s"), Delete(name="s")] * 2):
        found = moved(schedule, move, NOW + n)
        schedule = found.after
        ids += [event.id for event in found.told]
    assert len(set(ids)) == len(ids) == 8
    assert ids[0] == f"schedule/s/{NOW}.1"


# -- by the clock -----------------------------------------------------------------------------------------------------


def fire(schedule: Schedule, now: int) -> Fire:
    numbers = itertools.count(1)
    return due(schedule, now, lambda: f"j{next(numbers)}")


def minutes(*numbers: int) -> list[int]:
    return [NOW + n * MINUTE_US for n in numbers]


def test_a_tick_in_time_makes_its_job_and_the_next_is_awaited() -> None:
    for missed in ("skip", "once", "all"):
        schedule = made(missed=missed)
        found = moved(schedule, fire(schedule, NOW + MINUTE_US), NOW + MINUTE_US)
        (job,) = found.jobs
        assert (job.id, job.run_at, job.extras.schedule, job.extras.tick) == (
            "j1",
            NOW + MINUTE_US,
            "s",
            NOW + MINUTE_US,
        )
        assert found.after is not None
        assert (found.after.next_at, found.after.last_tick, found.after.last_job) == (
            NOW + 2 * MINUTE_US,
            NOW + MINUTE_US,
            "j1",
        )
        assert (found.after.version, found.told) == (1, ())


@pytest.mark.parametrize(
    ("missed", "late_us", "fired", "skipped"),
    [
        ("skip", 5 * MINUTE_US + LATE_US, minutes(5), (4, *minutes(1, 4))),
        ("skip", 5 * MINUTE_US + LATE_US + 1, [], (5, *minutes(1, 5))),
        ("skip", MINUTE_US + LATE_US, minutes(1), None),
        ("once", 5 * MINUTE_US + 30 * SECOND_US, minutes(5), (4, *minutes(1, 4))),
        ("once", MINUTE_US + 59 * SECOND_US, minutes(1), None),
        ("all", 5 * MINUTE_US + 30 * SECOND_US, minutes(1, 2, 3, 4, 5), None),
    ],
)
def test_after_an_outage(missed: str, late_us: int, fired: list[int], skipped: tuple[int, int, int] | None) -> None:
    schedule = made(missed=missed)
    found = moved(schedule, fire(schedule, NOW + late_us), NOW + late_us)
    assert [job.run_at for job in found.jobs] == fired
    assert found.after is not None
    assert found.after.missed_ticks == (skipped[0] if skipped else 0)
    assert found.after.next_at == NOW + (late_us // MINUTE_US + 1) * MINUTE_US
    assert found.after.last_tick == NOW + late_us // MINUTE_US * MINUTE_US
    events = [(event["reason"], event["count"]) for event in told(found)]
    assert events == ([("missed", skipped[0])] if skipped else [])


def test_many_are_made_up_for_a_part_at_a_time() -> None:
    schedule, late = made(missed="all"), NOW + 120 * MINUTE_US
    first = fire(schedule, late)
    assert [tick for tick, _ in first.fired] == minutes(*range(1, MOST_AT_ONCE + 1))
    assert (first.next_at, first.skipped) == (NOW + (MOST_AT_ONCE + 1) * MINUTE_US, None)
    second = fire(after(schedule, first, late), late)
    assert second.fired[0][0] == first.next_at


@pytest.mark.parametrize("timing", [EVERY_MINUTE, Timing(cron="* * * * *", timezone="Europe/Berlin")])
def test_more_than_there_may_be_are_cut_and_told(timing: Timing) -> None:
    begin = NOW - NOW % MINUTE_US
    schedule, late = (
        made(missed="all", timing=timing, anchor_at=begin, next_at=begin + MINUTE_US),
        begin + 1700 * MINUTE_US,
    )
    found = moved(schedule, fire(schedule, late), late)
    assert [job.run_at for job in found.jobs] == [begin + n * MINUTE_US for n in range(701, 701 + MOST_AT_ONCE)]
    (event,) = told(found)
    assert (event["reason"], event["count"], event["schedule"]["skipped"]) == (
        "too_many",
        700,
        {"missed": 700, "overlap": 0},
    )
    assert found.after is not None
    assert (found.after.missed_ticks, found.after.next_at) == (700, begin + (701 + MOST_AT_ONCE) * MINUTE_US)


def test_a_year_of_seconds_is_dealt_with_at_once() -> None:
    for missed, fired in (("skip", 31), ("once", 1), ("all", MOST_AT_ONCE)):
        schedule = made(missed=missed, timing=Timing(cron="* * * * * *", timezone="Europe/Berlin"))
        late = NOW + 365 * 86_400 * SECOND_US
        plan = fire(schedule, late)
        assert len(plan.fired) == fired
        assert plan.skipped is not None
        assert (plan.skipped.count, plan.skipped.first) == (MOST_MISSED, schedule.next_at)
        assert plan.skipped.last == plan.fired[0][0] - SECOND_US


def test_a_tick_is_left_out_while_the_last_job_is_not_final() -> None:
    schedule = made(overlap="skip", last_job="j0")
    now = NOW + MINUTE_US
    plan = fire(schedule, now)
    assert watched(plan, schedule) == "j0"
    found = moved(schedule, plan, now, busy=True)
    assert not found.jobs
    assert found.after is not None
    assert (found.after.overlapped, found.after.last_tick, found.after.next_at) == (1, now, now + MINUTE_US)
    assert found.after.last_job == "j0"
    (event,) = told(found)
    assert (event["what"], event["reason"], event["count"]) == ("schedule.skipped", "overlap", 1)
    assert len(moved(schedule, plan, now).jobs) == 1
    assert watched(plan, made(last_job="j0")) is None
    assert watched(plan, None) is None


def test_of_several_that_may_not_overlap_the_first_makes_a_job() -> None:
    schedule, now = made(overlap="skip", missed="all"), NOW + 4 * MINUTE_US
    found = moved(schedule, fire(schedule, now), now)
    assert [job.run_at for job in found.jobs] == minutes(1)
    assert found.after is not None
    assert (found.after.overlapped, found.after.last_tick) == (3, NOW + 4 * MINUTE_US)


def test_who_is_second_does_nothing() -> None:
    schedule, now = made(), NOW + MINUTE_US
    plan = fire(schedule, now)
    fired = after(schedule, plan, now)
    changed = after(schedule, put(missed="all"), now)
    for meanwhile in (fired, changed, after(schedule, Pause(name="s"), now), None):
        assert moved(meanwhile, plan, now) == Moved(meanwhile, meanwhile)


@given(
    st.sampled_from(["skip", "once", "all"]),
    st.sampled_from(["allow", "skip"]),
    st.lists(st.tuples(st.integers(1, 3 * 3600), st.booleans()), min_size=1, max_size=12),
)
def test_every_tick_is_dealt_with_once(missed: str, overlap: str, looks: list[tuple[int, bool]]) -> None:
    """However seldom somebody looks: each tick makes one job, or is counted among those that make none."""
    schedule, now = made(missed=missed, overlap=overlap), NOW
    jobs: list[int] = []
    for pause_s, busy in looks:
        now += pause_s * SECOND_US
        while schedule.next_at is not None and schedule.next_at <= now:
            found = moved(schedule, fire(schedule, now), now, busy=busy)
            assert found.after is not None
            assert found.after.next_at is not None
            assert found.after.next_at > schedule.next_at
            jobs += [job.run_at for job in found.jobs if job.run_at is not None]
            schedule = found.after
    ticks = (now - NOW) // MINUTE_US
    assert jobs == sorted(set(jobs))
    assert all((job - NOW) % MINUTE_US == 0 and NOW < job <= now for job in jobs)
    assert len(jobs) + schedule.missed_ticks + schedule.overlapped == ticks
