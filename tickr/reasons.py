"""Why an attempt, or a job, did not succeed: the record of it, and the reasons that come from no handler. Pure.

``worker/failures.py`` makes such records of what handlers raise; here are those that a store gives when it moves a job.
"""

from __future__ import annotations

import msgspec

from tickr.instants import rfc3339

LAST_WORDS = 500
"""So many characters of why its last attempt failed are told of a job that expires."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not succeed; ``error`` in the job's document.

    Attributes:
      kind: stable name of the cause: ``exception``, ``timeout``, ``give_up``, ``bad_payload``, ``bad_result``,
        ``crashed``, ``cancelled``, ``shutdown``, ``lease_lost``, ``lost_claim``, ``not_started``, ``unresponsive``,
        ``blocked``, ``retry_later``, ``snoozed``, ``dropped``, ``replaced``, ``expired``, ``dependency_failed``,
        ``child_failed``, ``children``, ``cannot_decrypt``, ``bad_signature``, ``node_gone``, ``batch_stopped``.
      message: one line for a person, at most 4 KiB.
      traceback: of the handler's exception, at most 16 KiB; never holds Tickr's own secrets.
      sealed: of an encrypted job, what the user's code has said: an envelope (``sealing.py``) of message and traceback.
        ``SEALED`` stands for that message then.
    """

    kind: str
    message: str
    traceback: str | None = None
    sealed: str | None = None


SEALED = "(encrypted)"
_OWN = frozenset(
    {"timeout", "crashed", "cancelled", "shutdown", "lease_lost", "lost_claim", "not_started", "unresponsive"}
    | {"replaced", "expired", "cannot_decrypt", "bad_signature", "dependency_failed", "children", "node_gone"}
    | {"batch_stopped"}
)


def is_own(kind: str) -> bool:
    """Whether the message of a failure of this kind is Tickr's own sentence, and holds nothing of a job's."""
    return kind in _OWN


CANCELLED_ON_REQUEST = Failure("cancelled", "Cancelled on request.")
LEASE_LOST = Failure("lease_lost", "The node that ran it was lost.")
CHILDREN = Failure("children", "It waits for the jobs that it has submitted, and is run again when they have ended.")


def on_request(reason: str | None, how: Failure = CANCELLED_ON_REQUEST) -> Failure:
    """Return why a job was cancelled that somebody wanted cancelled.

    Args:
      reason: what was said by who asked for it, if anything.
      how: how its attempt came to its end, if one was running.
    """
    if reason is None:
        return how
    if how == CANCELLED_ON_REQUEST:
        return Failure(how.kind, f"Cancelled on request: {reason}")
    return msgspec.structs.replace(how, message=f"{how.message} Cancelled on request: {reason}")


def replaced_by(job_id: str) -> Failure:
    """Return why a job is cancelled whose unique key another one was to have."""
    return Failure("replaced", f"Replaced by job {job_id}, which was submitted with the same unique key.")


def dependency_failed(job_id: str, state: str) -> Failure:
    """Return why a job is ended that depends on ``job_id``, which is in the final ``state``."""
    how = "was cancelled" if state == "cancelled" else "has failed"
    return Failure("dependency_failed", f"Job {job_id}, which it depends on, {how}.")


def child_failed(job_id: str, others: int = 0) -> Failure:
    """Return why a job has failed whose child ``job_id`` ended without success, and so did ``others`` more."""
    more = f" and {others} more have" if others else ", which it has submitted, has"
    return Failure("child_failed", f"Job {job_id}{more} not succeeded.")


def expired(at: int, last: Failure | None = None, *, again: bool) -> Failure:
    """Return why a job was cancelled that was not started in time.

    Args:
      at: its ``expires_at``, microseconds UTC.
      last: why the attempt ended that was running when it came; None if none was.
      again: whether it was started before.
    """
    message = f"Expired at {rfc3339(at)}, before it was started{' again' if again else ''}."
    if last is None:
        return Failure("expired", message)
    message = f"{message} Its last attempt: {last.kind}: {last.message[:LAST_WORDS]}"
    return Failure("expired", message, last.traceback, last.sealed)


def node_gone(node_id: str | None) -> Failure:
    """Return why a job is cancelled that ``node_id`` alone was to run."""
    return Failure("node_gone", f"Node {node_id}, which alone was to run it, is gone.")


def crashed(times: int) -> Failure:
    """The error of a job whose node was lost so often that it is not started again."""
    return Failure("crashed", f"The node running it was lost{'' if times == 1 else f' {times} times'}.")
