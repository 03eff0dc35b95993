"""What is wrong with a job, as it was submitted or as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from tickr.errors.base import TickrError


class SpecRejected(TickrError):
    """A submitted job is not acceptable.

    Args:
      pointer: JSON pointer (RFC 6901) to the fault in the request's body; "" is the whole document.
      problem: one sentence that says what is wrong and what would be right.
      code: stable, machine-readable kind of fault.
    """

    code = "invalid_job"

    def __init__(self, pointer: str, problem: str, *, code: str | None = None) -> None:
        super().__init__(f"{pointer or '/'}: {problem}")
        self.pointer = pointer
        self.problem = problem
        if code is not None:
            self.code = code


class DependencyMissing(SpecRejected):
    """The job ``job_id`` was to depend on ``missing``, ids of jobs that are not stored. It was not stored itself."""

    code = "dependency_missing"

    def __init__(self, job_id: str, missing: Sequence[str]) -> None:
        problem = f"There is no job {_some(missing)}; a job can only wait for jobs that are stored."
        super().__init__("/depends_on", problem)
        self.job_id, self.missing = job_id, tuple(missing)


class DependencyCycle(SpecRejected):
    """The job ``job_id`` would wait for itself, by way of the jobs ``cycle``. None of these was stored."""

    code = "dependency_cycle"

    def __init__(self, job_id: str, cycle: Sequence[str]) -> None:
        super().__init__("/depends_on", f"These jobs would wait for each other for ever: {_some(cycle)}.")
        self.job_id, self.cycle = job_id, tuple(cycle)


def _some(ids: Sequence[str], most: int = 10) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


class JobError(TickrError):
    """Something about one job, named by ``job_id``."""

    code = "job"

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class AttemptOver(JobError):
    """A handler submits a job although its attempt is over: its lease was lost, or it has been written off."""

    code = "attempt_over"


class JobNotFound(JobError):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, f"There is no job {job_id}.")


class IllegalTransition(JobError):
    """The job is in ``state``, from which the wished move does not exist. Nothing was changed."""

    code = "illegal_transition"

    def __init__(self, job_id: str, state: str, wish: str) -> None:
        super().__init__(job_id, f"Job {job_id} is {state} and cannot be {wish}.")
        self.state = state


class NotEditable(JobError):
    """What was to be changed about the job cannot be: it has ended, runs, or is for one node. Nothing was changed."""

    code = "not_editable"


class NotDeletable(JobError):
    """The job cannot be deleted, as it has not ended, or as others need it still. Nothing was changed."""

    code = "not_deletable"


class DuplicateJob(JobError):
    """The id already belongs to a job with another content. Nothing was changed."""

    code = "duplicate_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, f"The id {job_id} already belongs to a job with another content.")


class UniqueConflict(JobError):
    """Another job, ``job_id``, holds the unique key, and the wish was to be refused then. Nothing was changed.

    Args:
      does: what that job does: ``waits``, ``runs`` …
      refused: the id of the job that was to be stored, or to run again.
    """

    code = "unique_conflict"

    def __init__(self, job_id: str, does: str, *, refused: str) -> None:
        super().__init__(job_id, f"Job {job_id} holds this unique key; it {does}.")
        self.refused = refused


class KeyReused(JobError):
    """The idempotency key was used for another request, of which ``job_id`` came. Nothing was changed."""

    code = "idempotency_key_reused"

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, "This Idempotency-Key was used for another request; take a new one for each.")


class VersionMismatch(JobError):
    """The caller wanted to change version ``wanted``, but the job is at ``version``. Nothing was changed."""

    code = "version_mismatch"

    def __init__(self, job_id: str, version: int) -> None:
        super().__init__(job_id, f"Job {job_id} is at version {version} now; read it again.")
        self.version = version
