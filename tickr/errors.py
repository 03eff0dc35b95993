"""What can go wrong, as types. Whose fault it is can be read from the branch:

    TickrError
    ├── ConfigError(faults)            the operator's: all faults of flags, variables and file at once
    ├── SpecRejected(pointer, problem) the submitter's: the job as described cannot be taken
    ├── BatchTooLarge(size_bytes)      the submitter's: more than one transaction carries
    ├── Overloaded(retry_after_s)      nobody's: intake is full, come back
    ├── JobError(job_id)               the caller's
    │   ├── JobNotFound
    │   ├── IllegalTransition          the job is not in a state from which this can be done
    │   ├── DuplicateJob               the id is taken by a different job
    │   └── VersionMismatch            the job has moved on since the caller looked
    ├── FeedError                      the subscriber's
    │   ├── CursorInvalid              this is no cursor
    │   ├── CursorExpired              what follows it is no longer kept, or it is of another history
    │   └── TooSlow(cursor)            it does not keep up; come back with the cursor
    ├── StoreError                     the world's
    │   ├── StoreUnavailable(outcome_unknown)
    │   └── SchemaMismatch
    └── IndexUnavailable               the world's; logged and worked round, never shown to a client

Every error has a stable ``code``; HTTP statuses are given to them in ``tickr/api/problems.py`` and nowhere else.
What a *handler* may raise (``RetryLater``, ``GiveUp``) is another family, in ``tickr/worker/handlers.py``.
"""

from __future__ import annotations

from collections.abc import Sequence


class TickrError(Exception):
    """Base of everything Tickr raises on purpose."""

    code = "internal"


class ConfigError(TickrError):
    """The configuration cannot be used. ``faults`` holds one sentence for each fault found."""

    code = "config"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


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


class BatchTooLarge(TickrError):
    """Jobs that shall be stored whole or not at all are together more than one transaction carries. None was stored.

    Args:
      size_bytes, most_bytes: about how much they are, and may be, in bytes.
    """

    code = "batch_too_large"

    def __init__(self, size_bytes: int, most_bytes: int) -> None:
        super().__init__(
            f"These jobs are about {size_bytes} bytes together; one transaction carries {most_bytes}. "
            "Send fewer at once, or not as one whole."
        )
        self.size_bytes = size_bytes
        self.most_bytes = most_bytes


class Overloaded(TickrError):
    """A bounded queue is full. Nothing was stored; the caller may come back after ``retry_after_s`` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobError(TickrError):
    """Something about one job, named by ``job_id``."""

    code = "job"

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


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


class DuplicateJob(JobError):
    """The id already belongs to a job with another content. Nothing was changed."""

    code = "duplicate_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, f"The id {job_id} already belongs to a job with another content.")


class VersionMismatch(JobError):
    """The caller wanted to change version ``wanted``, but the job is at ``version``. Nothing was changed."""

    code = "version_mismatch"

    def __init__(self, job_id: str, version: int) -> None:
        super().__init__(job_id, f"Job {job_id} is at version {version} now; read it again.")
        self.version = version


class FeedError(TickrError):
    """A subscription to the feed cannot begin, or cannot go on. Nothing was skipped in silence."""

    code = "feed"


class CursorInvalid(FeedError):
    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__("This is not a cursor of the feed; pass one on as it came, or say after=earliest.")


class CursorExpired(FeedError):
    """Events that followed the cursor may be gone: they are no longer kept, or it belongs to another history."""

    code = "cursor_expired"

    def __init__(self) -> None:
        super().__init__(
            "The events after this cursor are no longer kept. "
            "List the jobs again (GET /jobs) and subscribe after the list's feed_cursor."
        )


class TooSlow(FeedError):
    """The subscriber did not keep up with the feed; it has everything up to ``cursor`` and may come back with it."""

    code = "too_slow"

    def __init__(self, cursor: str) -> None:
        super().__init__("Too many events were waiting for this subscriber. Come back with the last cursor.")
        self.cursor = cursor


class StoreError(TickrError):
    """The store did not do what was asked."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store cannot be reached or did not answer in time.

    Args:
      message: for the operator; names files, users and hosts, but no password.
      outcome_unknown: True when the connection broke during COMMIT, so that the change may stand or not; the caller
        finds out by reading back. False: nothing was changed.
      reason: what is wrong, if more is known than that nobody answers, in words that any client may read; or "".
    """

    code = "store_unavailable"

    def __init__(self, message: str, *, outcome_unknown: bool = False, reason: str = "") -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        self.reason = reason


class SchemaMismatch(StoreError):
    """The database's schema is not the one this program works with. The message says what to run."""

    code = "schema_mismatch"


class IndexUnavailable(TickrError):
    """The index cannot be reached. Never a reason to refuse work: the store has everything."""

    code = "index_unavailable"


def told(error: BaseException) -> str:
    """Return what ``error`` says; if it says that no attempt to connect succeeded, then also why each failed."""
    text = str(error) or type(error).__name__
    if not text.startswith("all attempts to connect"):
        return text
    inner: BaseException = error
    # Who wraps an error keeps it as the cause, or as the argument.
    while deeper := inner.__cause__ or next((one for one in inner.args if isinstance(one, BaseException)), None):
        inner = deeper
    causes = inner.exceptions if isinstance(inner, BaseExceptionGroup) else (inner,)
    # Each begins with the address it was tried at.
    reasons = dict.fromkeys(str(cause).rpartition(": ")[2] for cause in causes)
    return f"{text}: {', '.join(reasons)}"
