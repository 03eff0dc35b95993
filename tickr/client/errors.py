"""What can go wrong for a program that asks a Tickr, as types. Whose turn it is can be read from the branch:

    ClientError(job_id, may_be_stored)
    ├── Refused(status, code, detail, faults)   the server said no
    │   ├── Invalid                             the job or the question is wrong: 400, 413, 415, 422 …
    │   ├── Denied                              no token, a wrong one, or not allowed: 401, 403, 421
    │   ├── NotFound                            404
    │   ├── Conflict                            409, 412
    │   └── CursorExpired                       410: list the jobs again, then listen after the list's feed_cursor
    ├── Unavailable(refusal)                    nobody answered in the whole time, or only "later"
    ├── Unexpected                              what answers there is not Tickr
    ├── NotFinal(job)                           the time for waiting is over, and the job is not
    └── Closed                                  the client was closed

Every error of a submission has the job's id, and says whether that job may be stored all the same; submitting it
again under that id is always safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tickr.errors import TickrError

if TYPE_CHECKING:
    from tickr.client.operation_records import Operation
    from tickr.client.records import Job


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: a JSON pointer to it ("" is the whole body) and what would be right."""

    pointer: str = ""
    detail: str = ""


class Problem(msgspec.Struct, frozen=True):
    """The parts of an ``application/problem+json`` that the client uses."""

    code: str
    detail: str
    errors: list[Fault] = []
    outcome_unknown: bool = False


class ClientError(TickrError):
    """Base of everything the client raises.

    Attributes:
      job_id: of the job that was to be submitted; None if this is about something else.
      may_be_stored: of a submission, True if the job may be stored all the same; False if it is not. Of a change that
        was asked for (cancel, retry), whether it may have been made, by any of its tries.
    """

    code = "client"

    def __init__(self, message: str, *, job_id: str | None = None, may_be_stored: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.job_id = job_id
        self.may_be_stored = may_be_stored

    def __str__(self) -> str:
        if self.job_id is None:
            return self.message
        if self.may_be_stored:
            again = "submit it again with this id, or look for it"
            return f"{self.message}\nWhether job {self.job_id} is stored is not known: {again}."
        return f"{self.message}\nJob {self.job_id} was not stored."


class Refusal(NamedTuple):
    """An answer that is no: its HTTP status, None if it was never sent, and its problem document."""

    status: int | None
    problem: Problem

    def error(self, *, job_id: str | None = None, may_be_stored: bool = False) -> Refused:
        kind = _KINDS.get(self.status or INVALID, Refused)
        return kind(self, job_id=job_id, may_be_stored=may_be_stored)


class Refused(ClientError):
    """The server said no.

    Attributes:
      status: of HTTP; None if the fault was found here and nothing was sent.
      code: stable name of the problem, as docs/http-api.md lists them.
      detail: a sentence or two for a person.
      faults: what exactly is wrong, each with a JSON pointer, if fields are.
    """

    def __init__(self, refusal: Refusal, *, job_id: str | None = None, may_be_stored: bool = False) -> None:
        status, problem = refusal
        faults = "".join(f"\n  {fault.pointer or 'the body'} {fault.detail}" for fault in problem.errors)
        super().__init__(f"{problem.detail} ({problem.code}){faults}", job_id=job_id, may_be_stored=may_be_stored)
        self.status = status
        self.code = problem.code
        self.detail = problem.detail
        self.faults: Sequence[Fault] = tuple(problem.errors)


class Invalid(Refused):
    """The job as described, or the question as asked, cannot be taken; nothing was changed."""


class Denied(Refused):
    """The token is missing, wrong, or does not allow this."""


class NotFound(Refused):
    """There is no such job, schedule or operation."""


class Conflict(Refused):
    """The job's state, its version, or what has this id, name or unique key already does not allow it."""


class CursorExpired(Refused):
    """Events after the cursor may be gone; nothing was skipped in silence.

    List the jobs again, and listen after the list's ``feed_cursor``; or listen after ``earliest``, knowing of the gap.
    """


INVALID = 422
GONE = 410
_KINDS: dict[int, type[Refused]] = {
    **dict.fromkeys((400, 408, 413, 414, 415, INVALID, 431), Invalid),
    **dict.fromkeys((401, 403, 421), Denied),
    **dict.fromkeys((409, 412), Conflict),
    404: NotFound,
    GONE: CursorExpired,
}


class Unavailable(ClientError):
    """In the whole time that was given, nobody answered, or only that it is not possible now.

    Attributes:
      refusal: the last answer that said so (429, 503), or None if none came.
    """

    code = "unavailable"

    def __init__(
        self,
        message: str,
        refusal: Refusal | None = None,
        *,
        job_id: str | None = None,
        may_be_stored: bool = False,
    ) -> None:
        super().__init__(message, job_id=job_id, may_be_stored=may_be_stored)
        self.refusal = refusal


class Unexpected(ClientError):
    """What answers at the URL is not Tickr, or of too different a version."""

    code = "unexpected"


class NotFinal(ClientError):
    """The time for waiting is over before the job has ended; ``job`` is how it was last seen."""

    code = "not_final"

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} is still {job.state}.")
        self.job = job


class NotEnded(ClientError):
    """The time for waiting is over before the operation has ended; ``operation`` is how it was last seen."""

    code = "not_ended"

    def __init__(self, operation: Operation) -> None:
        super().__init__(f"Operation {operation.id} is still {operation.state}.")
        self.operation = operation


class Closed(ClientError):
    """The client has been closed, by whoever has it."""

    code = "closed"


def found_here(detail: str, faults: Sequence[Fault] = ()) -> Refused:
    """Return the error for what is wrong already here; nothing was sent."""
    return Refusal(None, Problem("invalid_request", detail, list(faults))).error()
