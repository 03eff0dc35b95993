"""The table of moves, and what each of them tells: no job gets anywhere but by a legal edge, one version at a time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr import events, jobs
from tickr.errors import IllegalTransition
from tickr.events import Change
from tickr.jobs import (
    CANCELLED_ON_REQUEST,
    FINAL,
    MAX_CRASHES,
    TRANSITIONS,
    WAITING,
    Attempt,
    Failure,
    Job,
    NewJob,
    State,
)
from tickr.reports import Outcome

NOW = 1_000_000_000
OOPS = Failure("exception", "no", "Traceback …")
STORED = [state for state in State if state is not State.SCHEDULED]

Move = Callable[[Job, int], Job]
MOVES: dict[str, tuple[Move, State]] = {
    "started": (lambda job, now: jobs.started(job, "n1", now), State.RUNNING),
    "succeeded": (lambda job, now: jobs.succeeded(job, "1", now), State.SUCCEEDED),
    "retrying": (lambda job, now: jobs.retried(job, OOPS, now + 7), State.RETRYING),
    "failed": (lambda job, now: jobs.failed(job, OOPS, now), State.FAILED),
    "cancelled": (lambda job, now: jobs.cancelled(job, OOPS, now), State.CANCELLED),
    "released": (jobs.released, State.READY),
    "crashed": (jobs.crashed, State.READY),
    "redriven": (jobs.redriven, State.READY),
}
ENDING = ("released", "crashed")
"""Moves to READY that only a running job makes; the table alone cannot tell them from a redrive."""
FIXED = ("id", "type", "queue", "priority", "payload", "created_at", "max_attempts", "timeout_us", "backoff", "labels")


def a_job(state: State = State.READY, **fields: object) -> Job:
    return msgspec.structs.replace(Job(id="j", type="mail", run_at=NOW, created_at=NOW), state=state, **fields)


# -- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_complete_and_final_states_lead_back_only() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(TRANSITIONS[state] == {State.READY, State.SCHEDULED, State.BLOCKED} for state in FINAL)
    assert {state for state in STORED if State.RUNNING in TRANSITIONS[state]} == WAITING
    reached = {state for targets in TRANSITIONS.values() for state in targets}
    assert reached == set(State)


@pytest.mark.parametrize("state", STORED)
@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_made_only_along_an_edge(name: str, state: State) -> None:
    move, target = MOVES[name]
    job = a_job(state, attempt=1, fence=1)
    legal = target in TRANSITIONS[state] and (name != "redriven" or state in FINAL)
    if legal:
        after = move(job, NOW + 1)
        assert (after.state, after.version) == (target, job.version + 1)
    else:
        with pytest.raises(IllegalTransition) as caught:
            move(job, NOW + 1)
        assert caught.value.state == state


def test_the_clock_alone_makes_scheduled_ready() -> None:
    job = a_job(run_at=NOW + 5)
    assert [job.state_at(NOW + at) for at in (4, 5, 6)] == [State.SCHEDULED, State.READY, State.READY]
    retrying = a_job(State.RETRYING, run_at=NOW + 5)
    assert retrying.state_at(NOW) is State.RETRYING


@pytest.mark.parametrize(
    ("new", "run_at"), [({}, NOW), ({"delay_us": 9}, NOW + 9), ({"run_at": 3}, 3), ({"run_at": 0, "delay_us": 9}, 0)]
)
def test_a_new_jobs_instant(new: dict[str, int], run_at: int) -> None:
    job = jobs.created(NewJob(id="j", type="mail", **new), NOW)  # type: ignore[arg-type]
    assert (job.run_at, job.created_at, job.version, job.fence, job.attempt) == (run_at, NOW, 1, 0, 0)


# -- whole lives ----------------------------------------------------------------------------------------------------

walks = st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 20), st.booleans()), max_size=40)


@given(walk=walks, delay=st.integers(0, 15))
def test_any_life_keeps_the_rules(walk: list[tuple[str, int, bool]], delay: int) -> None:
    now = NOW
    job = jobs.created(NewJob(id="j", type="mail", delay_us=delay, labels='{"a":"b"}'), now)
    changes = [(Change(None, job), now)]
    for name, passed, asked in walk:
        now += passed
        before = msgspec.structs.replace(job, cancel_requested=True) if asked and job.state is State.RUNNING else job
        if name == "started" and job.run_at > now:
            continue  # the store's condition, not the table's
        if name in ENDING and job.state is not State.RUNNING:
            continue
        try:
            job = MOVES[name][0](before, now)
        except IllegalTransition:
            continue
        changes.append((Change(before, job), now))
        _check_move(name, before, job)
    _check_told([(change.event(now), change) for change, now in changes])


def _check_move(name: str, before: Job, after: Job) -> None:
    assert [getattr(after, field) for field in FIXED] == [getattr(before, field) for field in FIXED]
    assert after.version == before.version + 1
    assert after.fence == before.fence + (name == "started")
    assert after.attempt >= 0
    assert after.crashes <= MAX_CRASHES
    assert not after.cancel_requested or after.state in (State.RUNNING, State.RETRYING, State.READY)
    assert (after.state in FINAL) == (after.finished_at is not None) or after.state is State.RETRYING
    if name == "redriven":
        assert (after.attempt, after.crashes, after.result, after.error) == (0, 0, None, None)
    if name in ENDING:
        assert after.attempt == before.attempt - 1
        assert after.run_at <= before.run_at


def _check_told(told: list[tuple[events.Event, Change]]) -> None:
    assert [event.version for event, _ in told] == list(range(1, len(told) + 1))
    for event, change in told:
        assert event.id == f"j.{event.version}"
        if change.before is None:
            assert (event.what, event.previous_state) == ("created", None)
        else:
            assert event.previous_state is not None
            assert event.state in TRANSITIONS[event.previous_state]
    assert events.decode(events.encode(event for event, _ in told)) == [event for event, _ in told]


# -- what a change tells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (State.READY, State.RUNNING, "started"),
        (State.RETRYING, State.RUNNING, "started"),
        (State.RUNNING, State.SUCCEEDED, "succeeded"),
        (State.RUNNING, State.RETRYING, "retrying"),
        (State.RUNNING, State.FAILED, "failed"),
        (State.RUNNING, State.CANCELLED, "cancelled"),
        (State.READY, State.CANCELLED, "cancelled"),
        (State.RUNNING, State.READY, "released"),
        (State.BLOCKED, State.READY, "unblocked"),
        *((state, State.READY, "redriven") for state in sorted(FINAL)),
    ],
)
def test_every_edge_has_its_name(before: State, after: State, what: str) -> None:
    assert Change(a_job(before), a_job(after)).what == what


def test_a_delayed_job_is_told_as_scheduled() -> None:
    job = a_job(run_at=NOW + 5)
    assert Change(None, job).event(NOW).state is State.SCHEDULED
    gone = Change(job, jobs.cancelled(job, OOPS, NOW + 1)).event(NOW + 1)
    assert (gone.previous_state, gone.state) == (State.SCHEDULED, State.CANCELLED)


def test_the_reason_of_a_hand_back_is_told_though_the_job_does_not_keep_it() -> None:
    running = a_job(State.RUNNING, attempt=1, fence=1)
    change = Change(running, jobs.released(running, NOW), Failure("shutdown", "stopped"))
    attempt = change.attempt(NOW)
    assert attempt is not None
    assert attempt.error == change.event(NOW).error == Failure("shutdown", "stopped")
    assert change.after.error is None


def test_an_attempt_becomes_a_row_when_it_ends_without_success() -> None:
    running = a_job(State.RUNNING, attempt=2, fence=5, node="n1", started_at=NOW - 9)
    for name, outcome in (("retrying", "retrying"), ("failed", "failed"), ("cancelled", "cancelled")):
        assert Change(running, MOVES[name][0](running, NOW)).attempt(NOW) == Attempt(
            fence=5, number=2, node="n1", started_at=NOW - 9, finished_at=NOW, outcome=outcome, error=OOPS
        )
    assert Change(running, jobs.succeeded(running, "1", NOW)).attempt(NOW) is None
    assert Change(a_job(), jobs.cancelled(a_job(), OOPS, NOW)).attempt(NOW) is None


def test_a_success_becomes_a_row_when_a_redrive_would_wipe_it() -> None:
    done = jobs.succeeded(a_job(State.RUNNING, attempt=1, fence=1, node="n1", started_at=NOW), "1", NOW + 3)
    current = events.current_attempt(done)
    assert current is not None
    assert (current.outcome, current.finished_at) == ("succeeded", NOW + 3)
    again = jobs.redriven(done, NOW + 9)
    assert Change(done, again).attempt(NOW + 9) == current
    assert events.current_attempt(again) is None


# -- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("kind", "state", "state_when_asked"),
    [
        ("succeeded", State.SUCCEEDED, State.SUCCEEDED),
        ("failed", State.FAILED, State.FAILED),
        ("cancelled", State.CANCELLED, State.CANCELLED),
        ("retried", State.RETRYING, State.CANCELLED),
        ("released", State.READY, State.CANCELLED),
    ],
)
def test_what_an_outcome_becomes(kind: str, state: State, state_when_asked: State, asked: bool) -> None:
    claimed = a_job(State.RUNNING, attempt=1, fence=1)
    stored = msgspec.structs.replace(claimed, cancel_requested=asked)
    failure = None if kind == "succeeded" else OOPS
    after = Outcome(job=claimed, kind=kind, failure=failure, result="1", delay_us=5).apply(stored, NOW + 1)  # type: ignore[arg-type]
    assert after.state is (state_when_asked if asked else state)
    assert after.version == stored.version + 1
    if after.state is State.RETRYING:
        assert after.run_at == NOW + 6
    if asked and kind in ("retried", "released"):
        assert after.error == CANCELLED_ON_REQUEST


def test_the_last_crash_fails_the_job() -> None:
    job = a_job(State.RUNNING, attempt=1, fence=1, crashes=MAX_CRASHES - 1)
    after = jobs.crashed(job, NOW)
    assert (after.state, after.crashes, after.attempt) == (State.FAILED, MAX_CRASHES, 0)
    assert after.error is not None
    assert after.error.kind == "crashed"
    asked = jobs.crashed(msgspec.structs.replace(job, cancel_requested=True), NOW)
    assert (asked.state, asked.error) == (State.CANCELLED, CANCELLED_ON_REQUEST)
