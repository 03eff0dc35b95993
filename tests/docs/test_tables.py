"""What the pages list is what the program has: no move, error, setting, field or log line is missing or invented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.docs import feed, source
from tests.docs.pages import ROOT, code, table
from tickr import config, edits, errors, intake, jobs, keys, lease, operations, otel, queues, retry
from tickr.api import (
    app,
    batch,
    broadcasts,
    connection,
    edit_request,
    job_frames,
    job_stream,
    listing,
    marks,
    messages,
    nodes,
    operation_document,
    operation_request,
    parts,
    problems,
    server,
    statistics,
    statistics_query,
    strict,
    submission,
    target,
    waits,
    wire,
)
from tickr.api import jobs as job_calls
from tickr.cli import COMMANDS
from tickr.jobs import FINAL, TRANSITIONS, State
from tickr.scopes import ROLES, Scope
from tickr.store import sums
from tickr.store.answers import MOST_DEAD, MOST_TALLIED
from tickr.worker import failures
from tickr.worker.builtin import http as http_jobs
from tickr.worker.builtin.email import Email
from tickr.worker.builtin.http import Http
from tickr.worker.builtin.report import report
from tickr.worker.view import Job


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def first(rows: list[list[str]]) -> set[str]:
    """Return what stands in back quotes in the first column."""
    return {word for row in rows for word in code(row[0])}


# -- state-machine.md -------------------------------------------------------------------------------------------------


def told(before: State, after: State) -> str:
    """Return the event that a move makes. ``scheduled`` is stored as READY, so the clock's move makes none."""
    return "–" if (before, after) == (State.SCHEDULED, State.READY) else feed.event_of(before, after)


def test_the_moves_and_their_events_are_those_of_the_program() -> None:
    shown = {
        (*code(before), *code(after), *(code(event) or ["–"]))
        for before, after, event, _ in table(page("state-machine.md"), "from", "to", "event")
    }
    assert shown == {
        (str(before), str(after), told(before, after)) for before, ends in TRANSITIONS.items() for after in ends
    }


def test_the_states_are_those_of_the_program() -> None:
    rows = table(page("state-machine.md"), "state")
    assert first(rows) == set(State)
    assert {word for row in rows if row[1].startswith("final") for word in code(row[0])} == set(FINAL)


def test_the_kinds_of_failure_are_those_of_the_program() -> None:
    assert first(table(page("state-machine.md"), "`error.kind`")) == source.failure_kinds()


def test_the_defaults_of_retries_are_those_of_the_program() -> None:
    text = page("state-machine.md")
    default = retry.DEFAULT
    assert f"({jobs.DEFAULT_MAX_ATTEMPTS} if nobody says otherwise)" in text
    said = f"{default.kind}: {default.base:g} s, factor {default.factor:g}, cap {default.cap / 3600:g} h"
    assert f"{said}, jitter {default.jitter:g}." in " ".join(text.split())
    assert jobs.MAX_CRASHES == 3, "the page says: the third time"


# -- guarantees.md ----------------------------------------------------------------------------------------------------

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_is_named_exists() -> None:
    text = page("guarantees.md")
    named = NAMED_TEST.findall(text)
    assert [f"{file}::{name}" for file, name in named if name not in source.test_names(ROOT / file)] == []
    for promise in text.split("\n## ")[1:]:
        assert NAMED_TEST.search(promise), f"no test is named for: {promise.splitlines()[0]}"


# -- http-api.md ------------------------------------------------------------------------------------------------------

NEVER_OVER_HTTP = (
    *(errors.AttemptOver, errors.SpecRejected, errors.ConfigError, errors.IndexUnavailable, errors.LifespanFailed),
)
"""Errors for programs that embed Tickr, for its start and for its log."""
FAMILIES = (
    *(errors.JobError, errors.NodeError, errors.ScheduleError, errors.OperationError, errors.LeaseError),
    *(errors.FeedError, errors.QueueError, errors.TokenError),
)


def known_problems() -> set[tuple[int, str]]:
    found = source.problem_codes()
    found |= {(status, name) for status, (name, _) in problems._FRAMEWORK.items()}
    samples: list[Exception] = [
        errors.JobNotFound("j"),
        errors.CannotOpen("It is not what it was.", key="main"),
        errors.IllegalTransition("j", "failed", "cancelled"),
        errors.NotEditable("j", "no"),
        errors.NotDeletable("j", "no"),
        errors.QueueNotFound("q"),
        errors.QueueNotEmpty("q"),
        errors.DuplicateJob("j"),
        errors.UniqueConflict("j", "runs", refused="k"),
        errors.KeyReused("j"),
        errors.VersionMismatch("j", 1),
        errors.NodeNotFound("n"),
        errors.TakesNoOrders("n", "no"),
        errors.ScheduleNotFound("s"),
        errors.ScheduleExists("s"),
        errors.ScheduleMismatch("s", 1),
        errors.TooManySchedules("s", 1),
        errors.LeaseLost("l"),
        errors.LeaseMismatch("l"),
        errors.OperationNotFound("o"),
        errors.OperationExists("o"),
        errors.TooManyOperations("o", 1),
        errors.TokenNotFound("t"),
        errors.TokenExists("t"),
        errors.TokenOver("t"),
        errors.TooManyTokens("t", 1),
        errors.CursorInvalid(),
        errors.CursorExpired(),
        errors.TooSlow("c"),
        errors.BatchTooLarge(2, 1),
        errors.Overloaded("full"),
        errors.StoreUnavailable("away"),
        errors.SchemaMismatch("old"),
        errors.StoreError("odd"),
        errors.DependencyMissing("j", ["k"]),
        errors.DependencyCycle("j", ["k"]),
        RuntimeError("nobody foresaw it"),
    ]
    made = {type(sample) for sample in samples}
    for kind in [kind for kind in every_kind(errors.TickrError) if kind.__module__ == errors.__name__]:
        assert kind in made or kind in (*NEVER_OVER_HTTP, *FAMILIES), f"{kind} is new here"
    return found | {(problem.status, problem.code) for problem in map(problems.problem_of, samples)}


def every_kind(kind: type[Exception]) -> list[type[Exception]]:
    return [found for child in kind.__subclasses__() for found in (child, *every_kind(child))]


def test_the_errors_are_those_of_the_program() -> None:
    rows = table(page("http-api.md"), "status", "code")
    shown = {(int(status), name) for status, names, *_ in rows for name in code(names)}
    assert shown | feed_problems() == known_problems()


def feed_problems() -> set[tuple[int, str]]:
    """Return what the page on the feed lists: some of it is told by websockets alone."""
    rows = table(page("event-feed.md"), "close code", "status", "`code`")
    return {(int(status), name) for _, status, names, *_ in rows for name in code(names)}


def test_the_fields_of_a_submission_are_those_of_the_program() -> None:
    rows = {code(row[0])[0]: row for row in table(page("http-api.md"), "field", "default", "rule")}
    assert list(rows) == [field.name for field in msgspec.structs.fields(submission.Submission)]
    for name, rule in submission.RULES.items():
        assert rule in rows[name][2], name


@pytest.mark.parametrize(
    ("column", "record"),
    [
        ("field of a job", wire.JobDocument),
        ("field of an attempt", wire.AttemptDocument),
        ("field of a queue", wire.QueueDocument),
        ("field of a node", nodes.NodeDocument),
    ],
)
def test_the_fields_of_a_document_are_those_of_the_program(column: str, record: type[msgspec.Struct]) -> None:
    where = "nodes.md" if record is nodes.NodeDocument else "http-api.md"
    shown = [name for row in table(page(where), column) for name in code(row[0])]
    assert shown == [field.name for field in msgspec.structs.fields(record)]


def size(number: float) -> str:
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if number % factor == 0:
            return f"{number // factor:.0f} {unit}"
    raise ValueError(number)


WAITING = f"{intake.MAX_WAITING:,}"
LIMITS: dict[str, str] = {
    "request that submits a job": size(config.Config().max_body),
    "jobs in a batch, or in a frame of a stream": f"{parts.MAX_JOBS:,}",
    "body of a batch, frame of a stream": size(batch.MAX_BODY_BYTES),
    "jobs of an atomic batch together, and those of a broadcast": size(intake.MAX_BATCH_BYTES),
    "nodes of a broadcast": f"{broadcasts.MAX_NODES:,}",
    "pause of a queue that has an end": f"{queues.MAX_PAUSE_S / 86_400:g} days",
    "jobs of a stream unanswered": f"{job_stream.MAX_UNANSWERED:,}, or {size(job_stream.MAX_UNANSWERED_BYTES)}",
    "`ref` of a job in a stream": f"{job_frames.MAX_REF_LENGTH} characters",
    "nesting of a body": f"{strict.MAX_DEPTH} levels",
    "delay, `expires_in`, and distance of `run_at` and `expires_at`": f"{retry.MAX_DELAY_S / 86_400 / 365:g} years",
    "`max_attempts`": f"{jobs.MAX_ATTEMPTS}",
    "`max_crashes`": f"{jobs.DEFAULT_MAX_CRASHES}",
    "`timeout`": f"{jobs.MAX_TIMEOUT_S / 86_400:g} days",
    "`labels`": f"{submission.MAX_LABELS}, values of {submission.LABEL_VALUE_LENGTH} characters",
    "`Idempotency-Key`, `unique.key`": f"{keys.MAX_KEY_LENGTH} characters",
    "`unique.until`": f"{keys.MAX_UNIQUE_S / 86_400:g} days",
    "`reason` of a cancellation": f"{job_calls.MAX_REASON_LENGTH} characters",
    "`wait`": f"{waits.MAX_WAIT_S} s",
    "steps of [statistics](statistics.md) in an answer": f"{statistics_query.MAX_POINTS:,}",
    "series of statistics, beside that of all the others": f"{statistics.MAX_SERIES}",
    "marks": f"{sums.MAX_MARKS:,}, the last ones, of {marks.MAX_TEXT} characters",
    "jobs on a page of a list": f"{listing.MAX_LIMIT}",
    "result of a handler": size(config.Config().max_result),
    "`error.message`": size(failures.MAX_MESSAGE_BYTES),
    "`error.traceback`": size(failures.MAX_TRACEBACK_BYTES),
    "path and query": size(target.MAX_TARGET_BYTES),
    "headers": size(target.MAX_HEADER_BYTES),
    "time for a body to arrive": f"{app.BODY_TIMEOUT_S} s",
    "idle connection": f"{server.KEEP_ALIVE_S:g} s",
    "connections at once": f"{server.MAX_CONNECTIONS:,}",
    "requests worked on at once": f"{connection.MAX_IN_FLIGHT:,}",
    "bodies of these together": size(connection.MAX_BODY_BYTES),
    "submissions waiting for their transaction": f"{WAITING} without keys, and {WAITING} with",
}


def test_the_limits_are_those_of_the_program() -> None:
    assert messages.MAX_MESSAGE_BYTES == batch.MAX_BODY_BYTES
    assert {row[0]: row[1] for row in table(page("http-api.md"), "what", "at most")} == LIMITS


# -- dead-letters.md --------------------------------------------------------------------------------------------------


def test_the_fields_of_an_operation_are_those_of_the_program() -> None:
    text = page("dead-letters.md")
    rows = {code(row[0])[0]: row for row in table(text, "field", "default", "rule")}
    assert list(rows) == [field.name for field in msgspec.structs.fields(operation_request.Wish)]
    for name, rule in operation_request.WISH_RULES.items():
        assert rows[name][2].replace("`", "").startswith(rule), name
    which = [name for row in table(text, "field of `filter`") for name in code(row[0])]
    assert which == [field.encode_name for field in msgspec.structs.fields(operation_request.Which)]
    shown = {name for row in table(text, "field of an operation") for name in code(row[0])}
    assert shown == {field.name for field in msgspec.structs.fields(operation_document.OperationDocument)}
    for field in msgspec.structs.fields(edit_request.Changes):
        assert f"`{field.name}`" in text.partition("The fields that a retry may change")[2].partition(".")[0], field


KEPT_DAYS = operations.KEPT_US // (86_400 * 1_000_000)
LIMITS_OF_OPERATIONS = {
    "operations that run": f"{operations.MAX_RUNNING}",
    "operations that have ended and are kept": f"{operations.MAX_KEPT:,}, for {KEPT_DAYS} days",
    "jobs of a step": f"{operations.MOST_AT_ONCE}",
    "jobs a second": f"{operations.MAX_RATE:,.0f}",
    "`ids` of a filter": f"{operations.MAX_IDS:,}",
    "values of another field of a filter": f"{operation_request.MAX_VALUES}",
    "groups that are shown": f"{operation_document.MOST_GROUPS}",
    "jobs of each state that are counted": f"{MOST_TALLIED:,}; failed ones by type, queue, kind of error and end: "
    f"{MOST_DEAD:,}",
    "retries that a job tells of": f"{edits.MAX_REDRIVES}, the last ones",
}


def test_the_limits_of_operations_are_those_of_the_program() -> None:
    assert {row[0]: row[1] for row in table(page("dead-letters.md"), "what", "at most")} == LIMITS_OF_OPERATIONS


# -- handlers.md ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "handler"),
    [("key of `http`", Http.__call__), ("key of `email`", Email.__call__), ("key of `report`", report)],
)
def test_the_keys_of_the_built_in_types_are_those_of_the_program(column: str, handler: Callable[..., Any]) -> None:
    shown = {code(row[0])[0]: row[1] for row in table(page("handlers.md"), column)}
    parameters = inspect.signature(handler).parameters.values()
    assert shown == {
        one.name.removesuffix("_"): "required" if one.default is one.empty else default(one.default)
        for one in parameters
        if one.name not in ("self", "job")
    }


def test_what_a_handler_sees_is_what_the_job_has() -> None:
    names = {name for row in table(page("handlers.md"), "attribute", "what it is") for name in code(row[0])}
    elsewhere = {"progress", "log", "emit", "checkpoint", "resume", "result", "set_trace", "returned"}
    assert {name.removesuffix("()") for name in names} == {n for n in vars(Job) if n[0] != "_"} - elsewhere


def test_the_attributes_of_a_span_are_those_of_the_program() -> None:
    told = first(table(page("tracing.md"), "attribute", "value")) - {"process", "tickr"}
    made = otel._attributes(Job(jobs.Job(id="j", type="t", run_at=0, created_at=0)))
    assert told == {*made, otel.OUTCOME, "error.type"}


def default(value: object) -> str:
    plain = {None: "none", True: "`true`", False: "`false`", "": "empty"}
    return plain[value] if value in plain else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_what_http_jobs_may_do_is_what_the_program_lets_them() -> None:
    text = " ".join(page("handlers.md").split())
    assert ", ".join(f"`{method}`" for method in sorted(http_jobs.METHODS)) in text
    assert ", ".join(f"`{name}`" for name in sorted(http_jobs.NOT_FOR_JOBS)) in text
    assert ", ".join(f"`{name}`" for name in http_jobs.KEPT) in text
    assert f"the first {size(http_jobs.MAX_BODY_BYTES)} of" in text


# -- configuration.md, operations.md ----------------------------------------------------------------------------------


def test_the_settings_are_those_of_the_program() -> None:
    assert config.describe() in page("configuration.md")


def test_the_commands_are_those_of_the_program() -> None:
    assert [name for row in table(page("operations.md"), "command") for name in code(row[0])] == [
        f"tickr {name}" for name in COMMANDS
    ]


ROLES_OF_A_LINK = ("index", "bell")
DUTIES = source.named_by("Outage")


def logged() -> set[tuple[str, str]]:
    found = {
        (name.replace("{…}", role), level)
        for name, level in source.log_events()
        for role in (DUTIES if name == "{…}.interrupted" else ROLES_OF_A_LINK if "{" in name else ("",))
    }
    # How an attempt ended is told by ``tell`` in run.py, by a table; lines lost on the way by the log itself.
    ends = re.findall(r'\("(job\.\w+)", logging\.(\w+)\)', (ROOT / "tickr/worker/run.py").read_text())
    assert len(ends) == 6
    return found | {(name, level.lower()) for name, level in ends} | {("log.dropped", "warning")}


def test_every_log_event_is_explained() -> None:
    rows = table(page("operations.md"), "event", "level")
    shown = {(name, level) for row in rows for name in code(row[0]) for level in row[1].split(", ")}
    assert shown == logged()


def test_the_roles_of_the_redis_links_are_known() -> None:
    opened = {
        role
        for call in source.calls()
        if source.name_of_call(call) == "open_link"
        for one in call.keywords
        if one.arg == "role" and (role := source.text(one.value))
    }
    assert opened == set(ROLES_OF_A_LINK)


def test_the_lease_is_what_the_pages_say() -> None:
    assert (lease.HEARTBEATS_PER_LEASE, config.Config().lease, config.Config().grace) == (3, 15.0, 30.0)


# -- access.md --------------------------------------------------------------------------------------------------------


def test_the_scopes_and_roles_are_those_of_the_program() -> None:
    text = page("access.md")
    assert [code(row[0]) for row in table(text, "scope", "allows")] == [[scope] for scope in Scope]
    roles = {code(name)[0]: tuple(code(scopes)) for name, scopes in table(text, "role", "scopes")}
    assert roles == ROLES
