"""The original Tickr's two calls, so that its clients keep working: ``POST /api/v2/jobs`` and ``GET /api/v2/health``.

Its body (``jobtype`` or ``jobType``, ``payload``, ``delay`` in whole seconds) becomes a submission like any other; its
envelope goes round every answer. Errors get theirs in ``problems.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from quart import Response, request

from tickr.api import incoming, keys, wire
from tickr.api.call import Answer, Call
from tickr.api.context import Context
from tickr.api.health import readiness
from tickr.api.jobs import submit
from tickr.api.problems import Fault, invalid
from tickr.api.submission import RULES, JobType, Submission, new_job, read_record
from tickr.jobs import NewJob
from tickr.retry import MAX_DELAY_S
from tickr.scopes import Scope
from tickr.traces import Trace

if TYPE_CHECKING:
    from tickr.api.app import Edge


class OriginalJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobtype: JobType | UnsetType = UNSET
    jobType: JobType | UnsetType = UNSET  # the original reads its fields in any case
    payload: Raw = Raw(b"{}")
    delay: Annotated[int, Meta(ge=0, le=int(MAX_DELAY_S))] = 0


_RULES = {
    "jobtype": RULES["type"],
    "jobType": RULES["type"],
    "delay": "must be a whole number of seconds from 0 to 100 years",
}


def add_routes(app: Edge, context: Context) -> None:
    async def submit_original(call: Call) -> Answer:
        request_ = keys.request_of(call, context.config.idempotency_keep)
        new = _new_job(incoming.json_body(call), context, incoming.trace(call.headers))
        answer = await submit(context, new if request_ is None else keys.under(request_, new))
        job, created = answer
        data = {
            "jobID": job.id,
            "status": job.state_at(keys.shown_at(answer) or context.store.now_us()),
            "scheduledAt": wire.instant(job.run_at),
        }
        headers = {} if created else keys.outcome(answer).headers()
        return wire.answer(wire.envelope(201, "Job created", data), 201, {"location": f"/jobs/{job.id}", **headers})

    async def health() -> Response:
        incoming.known_query(request)
        found = await readiness(context)
        status = 200 if found.able else 503
        return wire.json_response(wire.envelope(status, f"Tickr is {found.status}", msgspec.to_builtins(found)), status)

    app.add_direct_call("/api/v2/jobs", "submit_original", submit_original, Scope.JOBS_WRITE)
    app.add_call("GET", "/api/v2/health", "health", health, None)


def _new_job(body: bytes, context: Context, trace: Trace | None) -> NewJob:
    said = read_record(body, OriginalJob, _RULES)
    if said.jobtype is not UNSET and said.jobType is not UNSET:
        raise invalid([Fault("/jobType", "cannot be given together with jobtype")])
    job_type = said.jobType if said.jobtype is UNSET else said.jobtype
    if job_type is UNSET:
        raise invalid([Fault("/jobtype", "is required")])
    submitted = Submission(type=job_type, payload=said.payload, delay=said.delay)
    return new_job(submitted, context.defaults(job_type), trace)
