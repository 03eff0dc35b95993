"""Errors → RFC 9457 ``application/problem+json``: the only place that knows which error has which HTTP status.

Whatever a route raises comes in; a response goes out that has a stable ``code``, a sentence for a person and, where a
field is at fault, ``errors`` with a JSON pointer to it. An error nobody foresaw becomes a 500 that shows nothing but an
``incident``, under which the log has the rest. Under ``/api/v2`` the same is said in the original's envelope.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

import structlog
from quart import Response
from werkzeug.exceptions import HTTPException

from tickr import errors
from tickr.api import wire
from tickr.api.call import Answer
from tickr.jobs import NewJob

log = structlog.get_logger("tickr.api")

STORE_RETRY_S = 2
"""What a client is told to wait while the store is away, in seconds."""


PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
"""What RFC 9110 calls these, and Python before 3.13 does not."""


class Fault(NamedTuple):
    """One thing wrong with a request: a JSON pointer to it ("" is the whole body) and what would be right."""

    pointer: str
    detail: str


class Problem(Exception):
    """A request that is answered with an error.

    Args:
      status: HTTP status, 4xx or 5xx.
      code: stable, machine-readable kind of problem.
      detail: a sentence or two for a person.
      faults: what exactly is wrong, if fields are.
      headers: more response headers.
      members: more members of the problem document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = faults
        self.headers = dict(headers or {})
        self.members = members or {}

    def body(self) -> bytes:
        """Return the problem document. Without a page of its own its ``type`` is ``about:blank`` (RFC 9457, 4.2.1)."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": PHRASES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.faults:
            document["errors"] = self.errors()
        return wire.encode(document | dict(self.members))

    def errors(self) -> list[dict[str, str]]:
        """Return the faults as the member ``errors`` has them."""
        return [fault._asdict() for fault in self.faults]

    def envelope(self) -> bytes:
        """Return the same for clients of the original's API."""
        faults = "".join(f" {pointer}: {detail}." for pointer, detail in self.faults)
        return wire.envelope(self.status, self.detail + faults, None)


def invalid(faults: Sequence[Fault]) -> Problem:
    """Return the 422 for a body that is JSON but not what is asked for."""
    return Problem(422, "invalid_request", "The request was understood but cannot be taken as it is.", faults=faults)


def body_too_large(most: int) -> Problem:
    detail = f"The body is larger than {most} bytes, the most this Tickr takes (--max-body)."
    return Problem(413, "body_too_large", detail)


def body_timeout() -> Problem:
    return Problem(408, "body_timeout", "The body did not arrive in time.")


def answer(problem: Problem, path: str) -> Answer:
    """Return ``problem`` as the answer to a request for ``path``."""
    if path == "/api/v2" or path.startswith("/api/v2/"):
        return wire.answer(problem.envelope(), problem.status, problem.headers)
    return wire.answer(problem.body(), problem.status, problem.headers, "application/problem+json")


def response(problem: Problem, path: str) -> Response:
    """Return the same for Quart."""
    return wire.response(answer(problem, path))


def problem_of(error: Exception) -> Problem:
    """Return the problem that ``error`` is to a client; logs the error if nobody foresaw it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.SpecRejected):
        return Problem(422, error.code, error.problem, faults=[Fault(error.pointer, error.problem)])
    if isinstance(error, errors.JobError) and (status := _JOB_STATUS.get(type(error))):
        return Problem(status, error.code, str(error), members={"job_id": error.job_id})
    if isinstance(error, errors.CannotOpen):
        return Problem(409, error.code, str(error), members={"key": error.key})
    if isinstance(error, errors.ScheduleError) and (status := _SCHEDULE_STATUS.get(type(error))):
        return Problem(status, error.code, str(error), members={"schedule": error.schedule})
    if isinstance(error, errors.QueueError):
        status = 404 if isinstance(error, errors.QueueNotFound) else 409
        return Problem(status, error.code, str(error), members={"queue": error.queue})
    if isinstance(error, errors.NodeError):
        status = 404 if isinstance(error, errors.NodeNotFound) else 409
        return Problem(status, error.code, str(error), members={"node": error.node_id})
    if isinstance(error, errors.LeaseError) and (status := _LEASE_STATUS.get(type(error))):
        return Problem(status, error.code, str(error), members={"lease": error.lease})
    if isinstance(error, errors.OperationError) and (status := _OPERATION_STATUS.get(type(error))):
        return Problem(status, error.code, str(error), members={"operation": error.operation})
    if isinstance(error, errors.TokenError):
        status = 404 if isinstance(error, errors.TokenNotFound) else 409
        return Problem(status, error.code, str(error), members={"token": error.token})
    if isinstance(error, errors.FeedError) and (status := _FEED_STATUS.get(type(error))):
        place = {"cursor": error.cursor} if isinstance(error, errors.TooSlow) else {}
        return Problem(status, error.code, str(error), members=place)
    if isinstance(error, errors.BatchTooLarge):
        return Problem(413, error.code, str(error))
    if isinstance(error, errors.Overloaded):
        return Problem(429, error.code, str(error), headers={"Retry-After": str(math.ceil(error.retry_after_s))})
    if isinstance(error, errors.StoreUnavailable):
        return store_unavailable(error)
    if isinstance(error, errors.StoreError):
        log.error("http.store_error", code=error.code, error=str(error))
        return Problem(503, error.code, "The store cannot be used just now.", headers={"Retry-After": "30"})
    if isinstance(error, HTTPException):
        return _of_framework(error)
    return _unforeseen(error)


_JOB_STATUS: dict[type[errors.JobError], int] = {
    errors.JobNotFound: 404,
    errors.IllegalTransition: 409,
    errors.NotEditable: 409,
    errors.NotDeletable: 409,
    errors.DuplicateJob: 409,
    errors.UniqueConflict: 409,
    errors.KeyReused: 422,
    errors.VersionMismatch: 412,
}

_SCHEDULE_STATUS: dict[type[errors.ScheduleError], int] = {
    errors.ScheduleNotFound: 404,
    errors.ScheduleExists: 412,
    errors.ScheduleMismatch: 412,
    errors.TooManySchedules: 409,
}

_LEASE_STATUS: dict[type[errors.LeaseError], int] = {
    errors.LeaseLost: 410,
    errors.LeaseMismatch: 409,
}

_OPERATION_STATUS: dict[type[errors.OperationError], int] = {
    errors.OperationNotFound: 404,
    errors.OperationExists: 409,
    errors.TooManyOperations: 409,
}

_FEED_STATUS: dict[type[errors.FeedError], int] = {
    errors.CursorInvalid: 400,
    errors.CursorExpired: 410,
    errors.TooSlow: 503,
}

_FRAMEWORK: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be understood."),
    404: ("not_found", "There is nothing here; GET / lists what there is."),
    405: ("method_not_allowed", "This method does not exist here; the Allow header lists those that do."),
    408: ("body_timeout", "The body did not arrive in time."),
    413: ("body_too_large", "The body is larger than this call takes."),
}


def _of_framework(error: HTTPException) -> Problem:
    status = error.code or 500
    code, detail = _FRAMEWORK.get(status, (f"http_{status}", HTTPStatus(status).description or "Refused."))
    allowed = getattr(error, "valid_methods", None)
    return Problem(status, code, detail, headers={"Allow": ", ".join(sorted(allowed))} if allowed else None)


def store_unavailable(
    error: errors.StoreUnavailable, *, submitted: NewJob | None = None, quiet: bool = False
) -> Problem:
    """Return the 503 for ``error``, and log it unless ``quiet``.

    Args:
      submitted: the job that was to be stored, if any.
    """
    job_id = None if submitted is None else submitted.id
    if not quiet:
        log.warning("http.store_unavailable", error=str(error), outcome_unknown=error.outcome_unknown, job=job_id)
    # Under a key that was used before, it is another job that counts.
    by_key = submitted is not None and submitted.wish is not None and submitted.wish.idempotency is not None
    detail = f"The store cannot be used just now{f' ({error.reason})' if error.reason else ''}: "
    if not error.outcome_unknown:
        detail += "nothing was changed." if submitted is None else "the job was not stored."
    elif submitted is None:
        detail += "whether the change stands is not known. Look, or ask again."
    elif by_key:
        detail += "whether the job is stored is not known. Submit it again with the same Idempotency-Key and body."
    else:
        detail += f"whether the job is stored is not known. Ask for /jobs/{job_id}, "
        detail += f'or submit again with "id": "{job_id}".'
    named = {} if job_id is None or by_key else {"job_id": job_id}
    return Problem(
        503,
        error.code,
        detail,
        headers={"Retry-After": str(STORE_RETRY_S)},
        members={**named, "outcome_unknown": error.outcome_unknown},
    )


def _unforeseen(error: Exception) -> Problem:
    incident = uuid.uuid4().hex[:12]
    log.error("http.failed", incident=incident, exc_info=error)
    detail = f"Something went wrong here that nobody foresaw. The log has it as incident {incident}."
    return Problem(500, "internal", detail, members={"incident": incident})
