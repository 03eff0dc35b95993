"""What became of jobs that were submitted together: errors → problem documents inside an answer.

An answer to many jobs has no headers for each, so what a client is to wait is a member, ``retry_after``. The same error
often comes for hundreds of jobs: it is logged once, and written once where it does not name its job.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from tickr import errors
from tickr.api.problems import Fault, Problem, problem_of, store_unavailable
from tickr.jobs import NewJob


class Refusals:
    """Writes the problem documents of one answer."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Exception, Problem, Raw]] = {}  # by identity; the error is kept alive with it

    def of(self, error: Exception, new: NewJob) -> tuple[int, Raw]:
        """Return status and document of ``error``, with which ``new`` was not stored."""
        seen = self._seen.get(id(error))
        if isinstance(error, errors.StoreUnavailable):
            problem = store_unavailable(error, submitted=new, quiet=seen is not None)
            document = self.document(problem)
        elif seen is not None:
            _, problem, document = seen
        else:
            problem = problem_of(error)
            document = self.document(problem)
        self._seen[id(error)] = (error, problem, document)
        return problem.status, document

    @staticmethod
    def document(problem: Problem) -> Raw:
        """Return ``problem`` as it is told inside of an answer."""
        wait = problem.headers.get("Retry-After")
        if wait is not None:
            problem.members = {**problem.members, "retry_after": int(wait)}
        return Raw(problem.body())

    @staticmethod
    def of_whole(error: Exception, new: Sequence[NewJob]) -> Problem:
        """Return the problem of jobs none of which was stored, or of all of which that is not known."""
        if isinstance(error, errors.StoreUnavailable):
            return _whole_unavailable(error, new[0])
        problem, ids = problem_of(error), [one.id for one in new]
        if isinstance(error, errors.DuplicateJob):
            problem.faults = [Fault(f"/jobs/{ids.index(error.job_id)}/id", "belongs to a job with another content")]
        if isinstance(error, errors.UniqueConflict):
            problem.faults = [Fault(f"/jobs/{ids.index(error.refused)}/unique/key", "is held by another job")]
        if isinstance(error, errors.DependencyMissing | errors.DependencyCycle):
            problem.faults = [Fault(f"/jobs/{ids.index(error.job_id)}{error.pointer}", error.problem)]
        return problem


def _whole_unavailable(error: errors.StoreUnavailable, first: NewJob) -> Problem:
    problem = store_unavailable(error, submitted=first if error.outcome_unknown else None)
    if error.outcome_unknown:
        problem.detail += " The others are stored if, and only if, this one is."
    return problem


def too_large(most: int) -> Problem:
    return Problem(413, "body_too_large", f"A job may be {most} bytes long (--max-body).")
