"""What is said of the fields of records: of those that come in, what they must be; of the answers, what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from tickr.api import (
    backlog_series,
    compat,
    edit_request,
    jobs,
    lease_request,
    leases,
    marks,
    nodes,
    operation_document,
    operation_request,
    parts,
    queues,
    schedule_document,
    schedule_request,
    statistics,
    submission,
    wire,
)
from tickr.api.openapi.jobs import BatchBody, BroadcastBody
from tickr.api.openapi.problem_codes import ProblemDocument
from tickr.api.openapi.schedules import Template
from tickr.feed import cloudevents
from tickr.retry import BOUNDS, Backoff

COMES_IN: dict[type, Mapping[str, str]] = {
    submission.Submission: submission.RULES,
    BroadcastBody: submission.RULES,
    Template: submission.RULES,
    edit_request.Changes: submission.RULES,
    BatchBody: parts.RULES,
    jobs.Cancellation: jobs.CANCELLATION_RULES,
    operation_request.Wish: operation_request.WISH_RULES,
    operation_request.Which: operation_request.WHICH_RULES,
    queues.LimitsBody: queues.LIMIT_RULES,
    queues.PauseBody: queues.PAUSE_RULES,
    queues.OrderBody: queues.ORDER_RULES,
    queues.Emptying: queues.EMPTYING_RULES,
    schedule_request.Description: schedule_request.RULES,
    nodes.SlotsBody: nodes.RULES,
    lease_request.PollBody: lease_request.POLL_RULES,
    lease_request.HeartbeatBody: lease_request.HEARTBEAT_RULES,
    lease_request.CompleteBody: lease_request.COMPLETE_RULES,
    lease_request.FailBody: lease_request.FAIL_RULES,
    lease_request.FailedBody: {
        name.removeprefix("jobs."): rule for name, rule in lease_request.FAIL_RULES.items() if "." in name
    },
    marks.MarkBody: marks.MARK_RULES,
    compat.OriginalJob: compat.RULES,
}
GOES_OUT: dict[type, Mapping[str, str]] = {
    wire.JobDocument: {
        "state": "As of now: a scheduled job whose time has come is `ready`.",
        "payload": "To the letter as it was submitted; null where it is encrypted.",
        "result": "What the handler returned.",
        "error": "Why the last attempt did not succeed.",
        "attempt": "The number of the last attempt; 0: none yet.",
        "crashes": "Attempts whose node was lost.",
        "run_at": "When it is due.",
        "expires_at": "From then on it is not started any more.",
        "keep": "How long it is kept after its end, in seconds; null: as set for all.",
        "node": "Where it runs, or ran last.",
        "version": "Raised by each change; the `ETag`.",
        "progress": "What its handler says, from 0 to 1.",
        "schedule": "The schedule that made it, and for which tick.",
        "parent": "The job whose handler submitted it.",
        "notice": "What keeps it from running that its owner may not know.",
    },
    leases.LeasedDocument: {"fence": "Goes out with each word about this attempt.", "timeout": "In seconds."},
    wire.QueueDocument: {
        "oldest_due_at": "The earliest `run_at` among the jobs that are due and wait.",
        "paused": "None of its jobs is started.",
        "counted_to": "How far was counted: a number that has reached it means so many or more.",
    },
    nodes.NodeDocument: {
        "kind": "`node`, or `remote` for the lease of a remote worker.",
        "queues": "From which it takes jobs; none: from all.",
        "slots": "How many jobs it runs at once.",
        "obeyed": "Whether it is as it was ordered to be.",
        "lease": "For how long it is taken for alive after a sign of life, in seconds.",
        "lease_age": "Seconds since that.",
    },
    operation_document.OperationDocument: {
        "exact": "Whether `total` is exact, or at least so many.",
        "skipped": "Jobs that were not in order for it when their turn came.",
        "rate": "Jobs a second.",
    },
    schedule_document.ScheduleDocument: {
        "job": "What its jobs are like, as it was put.",
        "next": "Its next ticks; not in lists.",
        "ended": "Why it makes no more jobs.",
        "fault": "Why its function gives it no more ticks.",
        "declared": "Whether the code of a node declares it.",
    },
    statistics.StatisticsDocument: {"as_of": "Up to when everything is counted."},
    backlog_series.BacklogDocument: {"age": "In seconds; null: nobody looked in the whole time."},
    ProblemDocument: {
        "code": "Stable, for programs; each call lists those it may answer with.",
        "detail": "For people.",
        "errors": "What exactly is wrong.",
        "outcome_unknown": "Whether the change may stand all the same.",
    },
}
WORDS = {**COMES_IN, **GOES_OUT}

Value = str | int | float | bool | None
RAW: dict[tuple[type, str], Any] = {
    **{(Backoff, name): Annotated[float, Meta(ge=low, le=high)] for name, (low, high) in BOUNDS.items()},
    (wire.JobDocument, "labels"): dict[str, str],
    (leases.LeasedDocument, "labels"): dict[str, str],
    (operation_document.ChangesDocument, "labels"): dict[str, str],
    (operation_request.Wish, "filter"): operation_request.Which,
    (operation_request.Wish, "changes"): edit_request.Changes,
    (operation_request.Which, "payload"): dict[str, Value | list[Value]],
    (schedule_request.Description, "job"): Template,
    (schedule_document.ScheduleDocument, "job"): dict[str, Any],
    (wire.EventsPage, "events"): list[cloudevents.CloudEvent],
    (cloudevents.CloudEvent, "data"): dict[str, Any],
}
"""What a field holds whose type says less: JSON that is passed on as it came, or is looked at later."""
