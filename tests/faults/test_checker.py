"""The checker itself: good histories pass, and each way to break an invariant is found and named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.faults.checker import check
from tests.faults.doctors import (
    CANCELLED,
    DEAD,
    DELAYED,
    FLAKY,
    KILLED,
    PLAIN,
    POISON,
    STOPPED,
    STRANGER,
    UNKNOWN,
    Doctor,
    asked,
    both,
    crowd,
    event,
    faults,
    good,
    id_of,
    job,
    late_note,
    later_by,
    made_by_a_schedule,
    mark,
    mark_again,
    more_events,
    mysql_away,
    no_event,
    no_job,
    no_mark,
    nobody_asked,
    note_twice,
    rows_from,
    swapped,
    told_twice,
)  # fmt: skip
from tests.faults.history import StoredEvent
from tests.faults.invented import MS, Plan, S, history

STEPS = st.sampled_from(
    ["success", "error", "give up", "hand back", "kill", "freeze", "kill unstarted", "cancel", "redrive"]
)
PLANS = st.builds(
    Plan,
    steps=st.lists(STEPS, max_size=7),
    delay_s=st.sampled_from([0.0, 0.0, 3.0]),
    answer=st.sampled_from(["ok", "ok", "ok", "unknown", "refused"]),
    noisy=st.booleans(),
)


@given(st.lists(PLANS, max_size=8), st.integers(1, 4), st.sampled_from([0, 7 * MS, 40 * S]))
def test_a_good_history_passes(plans: list[Plan], rows_of: int, apart_us: int) -> None:
    good = history(plans, rows_of=rows_of, apart_us=apart_us)
    verdict = check(good)
    assert not verdict.violations, verdict.told()
    assert verdict.table.longest_recovery_s < 17
    assert verdict.table.submitted == len(plans)
    assert verdict.table.stored == len(good.jobs)
    assert verdict.table.attempts == sum(job.fence for job in good.jobs)


# -- each invariant, broken -----------------------------------------------------------------------------------------

SUCCESS_AGAIN = {"what": "succeeded", "previous_state": "running", "state": "succeeded", "version": 4}
BROKEN: list[tuple[str, str, Doctor]] = [
    ("I1", "lost with all that was told of it", both(no_job(PLAIN), no_event(PLAIN))),
    ("I1", "lost though it was told", no_job(PLAIN)),
    ("I1", "lost while it ran", both(no_job(KILLED), no_event(KILLED, 4, 5))),
    ("I1", "refused and stored", asked(PLAIN, answer="refused")),
    ("I1", "ends where its handler does not lead", asked(DEAD, ends=("succeeded",))),
    ("I1", "an unknown one ends so", asked(UNKNOWN, ends=("failed",))),
    ("I1", "cancelled by nobody", asked(CANCELLED, ends=("succeeded",))),
    ("I1", "quarantined without faults", both(faults(lambda one: None), asked(POISON, crashes_it=False))),
    ("I1", "quarantined, the faults were before its time", both(faults(lambda f: replace(f, began=f.began - 60 * S)),
                                                                asked(POISON, crashes_it=False))),
    ("I1", "poison that succeeds", asked(PLAIN, crashes_it=True)),
    ("I1", "poison that is failed for another reason", asked(DEAD, crashes_it=True)),
    ("I2", "stored, and never submitted", nobody_asked(PLAIN)),
    ("I2", "ran, and neither stored nor submitted", mark_again(PLAIN, 0, job=STRANGER, number=999, pid=7)),
    ("I2", "ran with another's number", mark(PLAIN, 0, number=4_000)),
    ("I2", "stored as another type", job(PLAIN, type="report")),
    ("I3", "two successes, each with a version", both(more_events(PLAIN, SUCCESS_AGAIN), job(PLAIN, version=4))),
    ("I3", "two successes with one version", more_events(PLAIN, {**SUCCESS_AGAIN, "version": 3})),
    ("I3", "two starts of one claim", mark_again(PLAIN, 0, pid=7)),
    ("I3", "a success that was never done", no_mark(PLAIN, 1)),
    ("I3", "a success of the wrong attempt", mark(KILLED, 2, fence=1)),
    ("I3", "stored fence above the claims", job(PLAIN, fence=2)),
    ("I3", "stored fence below the claims", job(KILLED, fence=1)),
    ("I3", "an attempt too many", job(FLAKY, max_attempts=1)),
    ("I3", "a lost node costs an attempt", event(KILLED, 3, attempt=1)),
    ("I3", "a hand-back costs an attempt", event(STOPPED, 3, attempt=1)),
    ("I3", "an error costs none", event(FLAKY, 3, attempt=0)),
    ("I3", "the handler saw another attempt", mark(FLAKY, 2, attempt=1)),
    ("I3", "stored with another attempt", job(FLAKY, attempt=1)),
    ("I3", "crashes that nobody saw", job(PLAIN, crashes=1)),
    ("I3", "a log line after the end", late_note(KILLED)),
    ("I4", "started before its time", mark(DELAYED, 0, at=-10 * MS)),
    ("I4", "claimed before its time", event(DELAYED, 2, at=-10 * MS)),
    ("I4", "claimed and started", both(event(DELAYED, 2, at=-20 * MS), mark(DELAYED, 0, at=-15 * MS))),
    ("I4", "a retry before its time", both(event(FLAKY, 4, at=-20 * MS), mark(FLAKY, 2, at=-15 * MS))),
    ("I4", "before the time that was asked for", asked(PLAIN, run_at=history([]).ended + 60 * S)),
    ("I4", "claimed after it had expired", asked(PLAIN, expires_in=1)),
    ("I4", "ended as expired before its time", both(event(CANCELLED, 2, why="expired"),
                                                    asked(CANCELLED, expires_in=60 * S))),
    ("I5", "from ready to succeeded", event(PLAIN, 3, previous_state="ready")),
    ("I5", "started while scheduled", event(DELAYED, 2, previous_state="scheduled")),
    ("I5", "from retrying to ready", both(event(FLAKY, 3, what="released", state="ready", attempt=0, why="shutdown"),
                                          event(FLAKY, 4, attempt=1), mark(FLAKY, 2, attempt=1),
                                          job(FLAKY, attempt=1), event(FLAKY, 5, attempt=1))),
    ("I5", "a hand-back that has to wait", both(event(STOPPED, 3, state="scheduled"),
                                                event(STOPPED, 4, previous_state="scheduled"))),
    ("I5", "an event of another name", event(STOPPED, 3, what="redriven")),
    ("I5", "from where it was not", event(PLAIN, 2, previous_state="retrying")),
    ("I5", "two moves from one version", more_events(PLAIN, {"what": "failed", "state": "failed"})),
    ("I5", "cancelled after its end", both(job(PLAIN, state="cancelled", version=4), asked(PLAIN, ends=("cancelled",)),
        more_events(PLAIN, {"what": "cancelled", "previous_state": "succeeded", "state": "cancelled", "version": 4}))),
    ("I6", "the first event is missing", no_event(PLAIN, 1)),
    ("I6", "one in the middle is missing", no_event(FLAKY, 3)),
    ("I6", "the last one is missing", no_event(PLAIN, 3)),
    ("I6", "none was told", no_event(CANCELLED)),
    ("I6", "one told twice", told_twice(PLAIN)),
    ("I6", "a log line told twice", note_twice),
    ("I6", "not in order", swapped(PLAIN, 2, 3)),
    ("I6", "a row is missing", rows_from(3)),
    ("I6", "the first row is missing", rows_from(1)),
    ("I6", "stored with another version", job(PLAIN, version=7)),
    ("I6", "stored with another state", both(job(PLAIN, state="failed"), asked(PLAIN, ends=("failed",)))),
    ("I6", "events of what was never stored", no_job(UNKNOWN)),
    ("I7", "a fence that the store never gave", mark_again(PLAIN, 0, fence=2, pid=7)),
    ("I7", "started before its claim", mark(KILLED, 1, at=-3 * MS)),
    ("I7", "what the store has not", both(no_job(UNKNOWN), no_event(UNKNOWN))),
    ("I7", "a cancelled one runs", mark_again(PLAIN, 0, job=id_of(CANCELLED), number=CANCELLED + 1, pid=7)),
    ("I8", "two jobs of one number", both(job(UNKNOWN, number=1), asked(UNKNOWN, number=1), mark(UNKNOWN, 0, number=1),
                                          mark(UNKNOWN, 1, number=1))),
    ("I8", "under an id that nobody submitted", both(nobody_asked(UNKNOWN), job(UNKNOWN, number=1),
                                                     mark(UNKNOWN, 0, number=1), mark(UNKNOWN, 1, number=1))),
    ("I8", "two jobs of one tick", both(made_by_a_schedule(PLAIN, 7), made_by_a_schedule(UNKNOWN, 7))),
    ("I8", "two rows of one id", lambda h: replace(h, jobs=[*h.jobs, h.jobs[0]])),
    ("I9", "still ready", both(job(PLAIN, state="ready", version=1, fence=0, attempt=0), no_event(PLAIN, 2, 3),
                               no_mark(PLAIN, 0), no_mark(PLAIN, 0))),
    ("I9", "still running", both(job(PLAIN, state="running", version=2), no_event(PLAIN, 3))),
    ("I9", "still retrying", both(job(FLAKY, state="retrying", version=3, fence=1, attempt=1), no_event(FLAKY, 4, 5),
                                  no_mark(FLAKY, 2), no_mark(FLAKY, 2))),
    ("I9", "taken back too late", later_by(KILLED, 3, 2 * S)),
    ("I9", "started again too late", later_by(KILLED, 4, 2 * S)),
    ("I10", "three at once where two may", crowd(7, (PLAIN, FLAKY, UNKNOWN))),
    ("I10", "one that never ended counts", both(crowd(7, (PLAIN, FLAKY, STOPPED)), no_mark(FLAKY, 1),
                                                 later_by(FLAKY, 3, 5 * S))),
]  # fmt: skip


def test_the_history_that_is_doctored_is_good() -> None:
    verdict = check(good())
    assert not verdict.violations, verdict.told()
    table = verdict.table
    assert (table.submitted, table.acknowledged, table.unknown, table.refused) == (12, 10, 1, 1)
    assert (table.stored, table.succeeded, table.failed, table.cancelled, table.quarantined) == (11, 7, 3, 1, 2)
    assert (table.attempts, table.kills, table.backend_faults) == (20, 3, 0)
    assert 16 < table.longest_recovery_s < 17


@pytest.mark.parametrize(("invariant", "doctor"), [pytest.param(i, d, id=f"{i}-{name}") for i, name, d in BROKEN])
def test_what_breaks_an_invariant_is_found_and_named(invariant: str, doctor: Doctor) -> None:
    doctored = doctor(good())
    assert doctored != good()
    verdict = check(doctored)
    assert verdict.broken == {invariant}, verdict.told()


def test_every_invariant_is_broken_in_several_ways() -> None:
    ways = [invariant for invariant, _, _ in BROKEN]
    assert {f"I{number}" for number in range(1, 11) if ways.count(f"I{number}") < 2} == set()


@pytest.mark.parametrize(
    ("column", "count", "doctor"),
    [
        ("lost", 1, no_job(PLAIN)),
        ("duplicated_successes", 1, more_events(PLAIN, {**SUCCESS_AGAIN, "version": 3})),
        ("early", 1, mark(DELAYED, 0, at=-10 * MS)),
        ("stuck", 1, both(job(PLAIN, state="running", version=2), no_event(PLAIN, 3))),
        ("double_starts", 1, mark_again(PLAIN, 0, pid=7)),
    ],
)
def test_the_table_counts_them(column: str, count: int, doctor: Doctor) -> None:
    assert getattr(check(doctor(good())).table, column) == count


# -- what is no fault -----------------------------------------------------------------------------------------------


def test_recovery_counts_from_the_return_of_mysql() -> None:
    late = later_by(KILLED, 3, 10 * S)
    assert check(late(good())).broken == {"I9"}
    verdict = check(both(late, mysql_away(2, 12))(good()))
    assert not verdict.violations, verdict.told()
    assert verdict.table.backend_faults == 1
    # Back for longer than anybody may wait:
    assert check(both(later_by(KILLED, 3, 20 * S), mysql_away(2, 12))(good())).broken == {"I9"}
    # Or never away, only a connection cut:
    assert check(both(late, mysql_away(2, 12, kind="cut"))(good())).broken == {"I9"}
    # Or gone only when it was too late already:
    assert check(both(late, mysql_away(27, 29))(good())).broken == {"I9"}


def test_a_schedule_makes_jobs_that_nobody_submits_and_is_told_of_itself() -> None:
    made = both(made_by_a_schedule(PLAIN, 7), made_by_a_schedule(UNKNOWN, 8))(good())
    assert not check(made).violations
    asked_for = both(made_by_a_schedule(PLAIN, None), made_by_a_schedule(UNKNOWN, None))(good())
    assert not check(asked_for).violations
    last = made.events[-1]
    told = StoredEvent(last.seq + 1, "s", "schedule.paused", None, None, "", 0, last.at)
    assert not check(replace(made, events=[*made.events, told])).violations
    assert check(replace(made, events=[*made.events, replace(told, seq=last.seq + 2)])).broken == {"I6"}


def test_a_longer_lease_may_take_longer() -> None:
    late = later_by(KILLED, 3, 10 * S)(good())
    assert check(late).broken == {"I9"}
    assert not check(replace(late, lease_s=25.0)).violations
    assert not check(replace(late, stretch=2.0)).violations


def test_an_attempt_of_a_dead_node_keeps_no_slot() -> None:
    """Five attempts in one process, three of which its death cut: what has no end mark ends with its process."""
    crowded = history([Plan(("kill", "success")) for _ in range(3)] + [Plan(), Plan()], apart_us=40 * S)
    marks = [replace(one, pid=7) if one.fence == 1 else one for one in crowded.marks]
    struck = [replace(one, pid=7) for one in crowded.faults]
    verdict = check(replace(crowded, marks=marks, faults=struck))
    assert not verdict.violations, verdict.told()


def test_a_node_that_comes_back_may_mark_what_it_does_for_an_old_fence() -> None:
    """Frozen, then thawed: its attempt ended long ago for the store, and it does not know yet."""
    thawed = history([Plan(("freeze", "success"))])
    cut = next(one for one in thawed.marks if one.fence == 1)
    marks = [*thawed.marks, replace(cut, what="done", at=cut.at + 40 * S)]
    verdict = check(replace(thawed, marks=marks))
    assert not verdict.violations, verdict.told()


def test_a_handler_that_was_given_up_keeps_no_slot() -> None:
    """A thread that nothing stops: the node counts it no more though it runs on, and has that stored later."""
    crowded = history([Plan(("hand back", "success")), Plan(), Plan()], apart_us=5 * MS)
    rude = next(one for one in crowded.marks if one.what == "cancelled")
    marks = [replace(one, pid=7) for one in crowded.marks if one is not rude]
    assert not check(replace(crowded, marks=marks)).violations


def test_a_claim_that_came_to_no_start_is_known_by_its_node() -> None:
    lives = history([Plan(("kill", "success")), Plan(("kill unstarted", "success"))], apart_us=0)
    ours = [replace(one, node="node 1.1") if one.node == "node 2.1" else one for one in lives.events]
    lives = replace(lives, events=ours, faults=lives.faults[:1])
    verdict = check(lives)
    assert not verdict.violations, verdict.told()
    late = check(later_by(1, 3, 5 * S)(lives))
    assert [(one.invariant, one.job) for one in late.violations] == [("I9", id_of(1))], late.told()
