"""The event feed as the program has it, for the tests that compare the page and the AsyncAPI document with it."""

from __future__ import annotations

from typing import NamedTuple

from tests.docs import source
from tickr import errors, events, jobs
from tickr.api import event_socket, incoming, problems
from tickr.api.callers import Caller
from tickr.api.problems import Problem
from tickr.jobs import FINAL, TRANSITIONS, State
from tickr.scopes import Scope


class Edge(NamedTuple):
    """One change as it can be told: ``previous`` is None for a new job."""

    event: str
    previous: str | None
    state: str


def edges() -> set[Edge]:
    """Return every change that there can be, as the feed tells it."""
    new = {Edge("created", None, state) for state in (_new(0), _new(1), State.BLOCKED)}
    moves = {
        Edge(event_of(before, after), before, after)
        for before, ends in TRANSITIONS.items()
        for after in ends
        # The clock's move is not told; and who is started is due, so that nobody sees it start from scheduled.
        if (before, after) not in ((State.SCHEDULED, State.READY), (State.SCHEDULED, State.RUNNING))
    }
    return new | moves | _changes()


def _changes() -> set[Edge]:
    """Return those that leave a job in its state, but for what its ``run_at`` makes of it."""
    waits = (State.SCHEDULED, State.READY)
    same = {Edge("changed", state, state) for state in (State.BLOCKED, State.RETRYING, State.RUNNING)}
    same |= {Edge("deleted", state, state) for state in FINAL}
    return same | {Edge("changed", before, after) for before in waits for after in waits}


def _new(delay_us: int) -> str:
    return jobs.created(jobs.NewJob(id="j", type="t", delay_us=delay_us), 0).state_at(0)


def event_of(before: State, after: State) -> str:
    """Return the name of the event that a move makes. ``scheduled`` is stored as READY."""
    stored = [State.READY if state is State.SCHEDULED else state for state in (before, after)]
    was, becomes = (jobs.Job(id="j", type="t", run_at=0, created_at=0, state=state) for state in stored)
    return events.Change(was, becomes).what


def names() -> set[str]:
    """Return the name of every event."""
    return set(events.NAMES)


def name_of(type_: str) -> str:
    """Return the name of the event that has this type."""
    return type_.removeprefix("tickr.job.").removeprefix("tickr.")


def schema_of(name: str) -> str:
    """Return the name of the schema of the event ``name``."""
    return "".join(part.capitalize() for part in name.split("."))


BEFORE_IT_OPENS = {"not_found"}
"""Problems of a handshake that are answered by HTTP: no websocket is opened."""


def endings() -> list[Problem]:
    """Return a problem of each kind that ends a subscription, or keeps it from beginning."""
    raised = (
        errors.CursorInvalid(),
        errors.CursorExpired(),
        errors.TooSlow("5f0c2e9ab714.1"),
        errors.StoreUnavailable("away"),
        errors.SchemaMismatch("old"),
        errors.StoreError("odd"),
        RuntimeError("nobody foresaw it"),
    )
    assert {type(error) for error in raised} >= set(errors.FeedError.__subclasses__()), "an error of the feed is new"
    written = source.problem_codes("api/listener.py", "api/event_socket.py", "api/event_query.py")
    return [
        *map(problems.problem_of, raised),
        *(Problem(status, code, "as it is") for status, code in written if code not in BEFORE_IT_OPENS),
        Problem(401, "unauthenticated", "no token"),
        _forbidden(),
        incoming.bad_query([problems.Fault("/jobs", "is not a parameter of this call")]),
    ]


def _forbidden() -> Problem:
    try:
        Caller("t", frozenset({Scope.JOBS_READ})).require(Scope.EVENTS_READ)
    except Problem as refusal:
        return refusal
    raise AssertionError("that is allowed")


def close_codes() -> dict[int, set[str]]:
    """Return the codes that a websocket is closed with, each with the errors that are told before."""
    numbers = (*event_socket.CLOSE_CODES.values(), *event_socket._CLOSE_CODES_OF_STATUS.values())
    found: dict[int, set[str]] = {number: set() for number in (*numbers, event_socket.INTERNAL_ERROR)}
    for problem in endings():
        found[event_socket.close_code(problem)].add(problem.code)
    return found
