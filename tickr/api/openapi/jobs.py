"""What is said of the calls about single jobs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tickr.api import batch, broadcasts, edit_request, explain, inbox, job_log, jobs, listing, lives, parts, tree, wire
from tickr.api.openapi.about import About, Answer, Body, Group, without
from tickr.api.parameters import DECRYPT
from tickr.api.submission import Submission

BroadcastBody = without(
    Submission,
    broadcasts.NOT_OF_BROADCASTS,
    "BroadcastBody",
    "A job as a client describes it, for every node that handles its type. Durations in seconds.",
)


class BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs that are submitted together; ``atomic``: all are stored, or none."""

    jobs: Annotated[list[Submission], Meta(min_length=1, max_length=parts.MAX_JOBS)]
    atomic: bool = False


REPORT = {"type": "report", "payload": {"title": "Hello"}}
FULL = {
    "type": "report",
    "payload": {"title": "All"},
    "queue": "nightly",
    "priority": 2,
    "run_at": "2100-01-31T12:00:00+01:00",
    "expires_at": "2100-01-31T18:00:00+01:00",
    "max_attempts": 5,
    "timeout": 90.5,
    "backoff": {"kind": "linear", "base": 30, "cap": 600, "jitter": 0},
    "labels": {"customer": "42"},
}
REFUSED_TOGETHER = ("dependency_missing", "dependency_cycle", "idempotency_key_reused")
NO_JOB = ("job_not_found",)
THE_JOB = Answer(200, "The job.", wire.JobDocument, ("ETag",))
OUTPACED = {412: ("version_mismatch",), 404: NO_JOB}

JOBS = Group(
    "Jobs",
    "Submit jobs, look at them, change them.",
    "http-api.md",
    {
        "submit": About(
            "Submit a job",
            (
                Answer(
                    201,
                    "The job is stored, and shown as it was created; given again to the same request with its key.",
                    wire.JobDocument,
                    ("Location", "ETag", "Idempotent-Replayed"),
                ),
                Answer(
                    200,
                    "The job was there: it has this `id` and this content, or holds the unique key.",
                    wire.JobDocument,
                    ("Location", "ETag", "Idempotent-Replayed", "Tickr-Unique"),
                ),
            ),
            "Answered once the job is durable. With an `id` of your own, or an `Idempotency-Key`, a submission may be "
            "repeated: there is one job.",
            headers=("Idempotency-Key", "traceparent", "tracestate"),
            body=Body(
                Submission,
                {
                    "a job": REPORT,
                    "in five seconds": {**REPORT, "delay": 5},
                    "with more": FULL,
                    "one for each order": {"type": "report", "unique": {"key": "order-1207", "on_conflict": "return"}},
                },
            ),
            problems={
                400: ("invalid_idempotency_key",),
                409: ("duplicate_job", "unique_conflict"),
                422: REFUSED_TOGETHER,
            },
        ),
        "submit_batch": About(
            "Submit many jobs",
            (Answer(200, "What became of each job, in their order.", batch.Results, ("Idempotent-Replayed",)),),
            "Each job is stored, or refused, by itself; with `atomic` all are stored, or none is.",
            headers=("Idempotency-Key", "traceparent", "tracestate"),
            body=Body(BatchBody, {"two jobs": {"jobs": [REPORT, {**REPORT, "delay": 60}], "atomic": True}}),
            problems={
                400: ("invalid_idempotency_key",),
                409: ("duplicate_job", "unique_conflict"),
                413: ("batch_too_large",),
                422: REFUSED_TOGETHER,
            },
        ),
        "broadcast": About(
            "Submit a job for every node",
            (
                Answer(
                    201, "A job for each live node that handles the type, run by that very node.", broadcasts.Broadcast
                ),
            ),
            headers=("traceparent", "tracestate"),
            body=Body(BroadcastBody, {"everywhere": {"type": "report", "payload": {"title": "Reload"}}}),
            problems={409: ("too_many_nodes", "duplicate_job"), 413: ("batch_too_large",)},
        ),
        "list": About(
            "List jobs",
            (Answer(200, "A page of jobs, the newest first.", wire.JobPage),),
            "Filters of different names must all match; of the values of one name, any.",
            query=listing.PARAMETERS,
            problems={400: ("invalid_cursor",)},
        ),
        "show": About(
            "Look at a job",
            (
                Answer(200, "The job as it is now.", wire.JobDocument, ("ETag",)),
                Answer(304, "The job is as `If-None-Match` says.", headers=("ETag",)),
            ),
            "With `wait`, the answer comes when the job has ended.",
            query=jobs.SHOW_QUERY,
            headers=("If-None-Match",),
            problems={404: NO_JOB, 409: ("cannot_decrypt",)},
        ),
        "edit": About(
            "Change a job",
            (THE_JOB,),
            "What waits can be changed in all of it; of what runs, the time-out.",
            headers=("If-Match",),
            body=Body(edit_request.Changes, {"run it now": {"delay": 0}, "more important": {"priority": 0}}),
            problems={**OUTPACED, 409: ("not_editable", "cannot_decrypt")},
        ),
        "delete": About(
            "Delete a job",
            (Answer(204, "The job is gone, with all that was stored of it."),),
            "One that has ended; or, with `cancel`, one that waits.",
            query=(jobs.CANCEL,),
            headers=("If-Match",),
            problems={**OUTPACED, 409: ("not_deletable",)},
        ),
        "cancel": About(
            "Cancel a job",
            (
                Answer(200, "The job is cancelled: it waited.", wire.JobDocument, ("ETag",)),
                Answer(202, "The job runs, and is being stopped.", wire.JobDocument, ("ETag",)),
            ),
            headers=("If-Match",),
            body=Body(jobs.Cancellation, {"with a reason": {"reason": "the order was withdrawn"}}, required=False),
            problems={**OUTPACED, 409: ("illegal_transition",)},
        ),
        "retry": About(
            "Run a job again",
            (THE_JOB,),
            "One that has ended is started over, with all its attempts before it, changed if need be.",
            headers=("If-Match",),
            body=Body(edit_request.Changes, {"with more time": {"timeout": 600}}, required=False),
            problems={**OUTPACED, 409: ("illegal_transition", "unique_conflict", "cannot_decrypt")},
        ),
        "attempts": About(
            "What happened each time",
            (Answer(200, "Every attempt of the job, the first first.", lives.History),),
            query=(DECRYPT,),
            problems={404: NO_JOB, 409: ("cannot_decrypt",)},
        ),
        "job_log": About(
            "Read the log of a job",
            (Answer(200, "A page of lines, the oldest first.", job_log.LogDocument),),
            query=job_log.QUERY,
            problems={404: NO_JOB, 409: ("cannot_decrypt",)},
        ),
        "tree": About(
            "A job with all that it has submitted",
            (Answer(200, "The tree of jobs below it.", tree.Tree),),
            problems={404: NO_JOB},
        ),
        "explain": About(
            "Why is a job not running?",
            (Answer(200, "The reasons, the one to look at first.", explain.Explanation),),
            problems={404: NO_JOB},
        ),
        "stream": About(
            "Submit by websocket",
            (Answer(101, "A websocket: frames go in as jobs with a `ref`, and come out as an answer for each."),),
            "The frames are described in docs/asyncapi.yaml.",
            headers=("traceparent", "tracestate"),
            problems={426: ("upgrade_required",)},
        ),
        "take_inbox": About(
            "Take what was inserted by SQL",
            (Answer(200, "What became of the rows.", inbox.TakenDocument),),
            "The rows of the inbox that are committed by now become jobs at once.",
            problems={404: ("inbox_off",)},
        ),
    },
)
