"""The bodies of the calls of remote workers → polls, what they hold, and reports.

Comes in: strict JSON. Goes out: records of ``tickr/remote``, each field of which is good. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import trio
from msgspec import UNSET, Meta, Raw, UnsetType

from tickr import jobs
from tickr.api.problems import Fault, invalid
from tickr.api.submission import RULES as JOB_RULES
from tickr.api.submission import UUID, JobType, read_record
from tickr.queues import MAX_PAUSE_S
from tickr.reasons import Failure
from tickr.remote.beats import Held
from tickr.remote.leases import Poll
from tickr.remote.settle import NOT_THE_WORKERS, Report
from tickr.retry import MAX_DELAY_S
from tickr.worker import failures
from tickr.worker.emitter import NAME_PATTERN
from tickr.worker.endings import Snooze
from tickr.worker.notes import MAX_LOG_MESSAGE, MAX_PROGRESS_MESSAGE, cut
from tickr.worker.speech import MAX_DATA_BYTES

MAX_JOBS = 100
"""Jobs that one poll takes, or one call reports, at most."""
MAX_HELD = 1_000
MAX_NAMES = 500
"""Types, or queues, that a lease is for at most."""
MAX_WAIT_S = 60
DEFAULT_WAIT_S = 20
MAX_NAME = 128
MAX_LINES = MAX_EVENTS = 20
KIND_PATTERN = r"\A[a-z][a-z0-9_]{0,63}\Z"

JobId = Annotated[str, Meta(pattern=rf"\A(?:{UUID})\Z")]
Fence = Annotated[int, Meta(ge=0, le=2**53)]
Queue = Annotated[str, Meta(pattern=rf"\A(?:{jobs.QUEUE_PATTERN})\Z")]


class EventBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event of the application's own."""

    name: Annotated[str, Meta(pattern=rf"\A(?:{NAME_PATTERN})\Z")]
    data: Raw = Raw(b"null")


class HeldBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt that the worker has, and what it says."""

    id: JobId
    fence: Fence
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    message: str | None = None
    data: Raw = Raw(b"null")
    log: Annotated[list[str], Meta(max_length=MAX_LINES)] | UnsetType = UNSET
    events: Annotated[list[EventBody], Meta(max_length=MAX_EVENTS)] | UnsetType = UNSET


HeldList = Annotated[list[HeldBody], Meta(max_length=MAX_HELD)]


class PollBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /leases``. ``wait`` in seconds."""

    types: Annotated[list[JobType], Meta(min_length=1, max_length=MAX_NAMES)] | UnsetType = UNSET
    queues: Annotated[list[Queue], Meta(max_length=MAX_NAMES)] | UnsetType = UNSET
    max: Annotated[int, Meta(ge=0, le=MAX_JOBS)] = 1
    slots: Annotated[int, Meta(ge=1, le=MAX_HELD)] | UnsetType = UNSET
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_S)] = DEFAULT_WAIT_S
    name: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    lease: JobId | UnsetType = UNSET
    jobs: HeldList | UnsetType = UNSET


class HeartbeatBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: HeldList


class CompletedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: JobId
    fence: Fence
    result: Raw = Raw(b"null")


class CompleteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: Annotated[list[CompletedBody], Meta(min_length=1, max_length=MAX_JOBS)]


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: str
    kind: Annotated[str, Meta(pattern=KIND_PATTERN)] = "exception"
    traceback: str | None = None


class FailedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``then`` says what is to become of the job; ``retry_in`` in seconds; ``queue``, ``priority``: where it waits.

    ``hold_queue``: none of the jobs of the queue that it ran in is started before.
    """

    id: JobId
    fence: Fence
    error: ErrorBody | None = None
    then: Literal["retry", "give_up", "drop", "snooze", "hand_back", "cancelled"] = "retry"
    retry_in: Annotated[float, Meta(ge=0, le=MAX_DELAY_S)] | None = None
    queue: Queue | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None
    hold_queue: bool = False


class FailBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: Annotated[list[FailedBody], Meta(min_length=1, max_length=MAX_JOBS)]


_KINDS = {"give_up": "give_up", "drop": "dropped", "snooze": "snoozed", "hand_back": "shutdown"}
"""What an error is called whose ``kind`` is not said, by what is to become of the job; otherwise ``exception``."""

_HELD = (
    "must be an array of {id, fence}, each perhaps with progress (0 to 1), message and data, log (an array of at "
    f"most {MAX_LINES} lines) and events (an array of at most {MAX_EVENTS} {{name, data}}); at most {MAX_HELD}"
)
POLL_RULES = {
    "types": f"must be an array of 1 to {MAX_NAMES} types; a type {JOB_RULES['type']}",
    "queues": f"must be an array of at most {MAX_NAMES} queues; a queue {JOB_RULES['queue']}",
    "max": f"must be a whole number from 0 to {MAX_JOBS}",
    "slots": f"must be a whole number from 1 to {MAX_HELD}",
    "wait": f"must be a number of seconds from 0 to {MAX_WAIT_S}",
    "name": f"must be a text of at most {MAX_NAME} characters",
    "lease": JOB_RULES["id"],
    "jobs": _HELD,
}
HEARTBEAT_RULES = {"jobs": _HELD}
COMPLETE_RULES = {"jobs": f"must be an array of 1 to {MAX_JOBS} {{id, fence, result}}"}
FAIL_RULES = {
    "jobs": f"must be an array of 1 to {MAX_JOBS} {{id, fence, error, then, retry_in, queue, priority, hold_queue}}",
    "jobs.error": "must be an object of message, and perhaps kind and traceback",
    "jobs.kind": "must be a small letter and then at most 63 small letters, digits and _",
    "jobs.then": 'must be "retry", "give_up", "drop", "snooze", "hand_back" or "cancelled"',
    "jobs.retry_in": f"must be a number of seconds from 0 to {MAX_DELAY_S:.0f}",
    "jobs.queue": JOB_RULES["queue"],
    "jobs.priority": JOB_RULES["priority"],
    "jobs.hold_queue": "must be true or false",
}


def poll(body: bytes) -> Poll:
    """Return the poll that ``body`` asks for. Raises: Problem (422)."""
    said = read_record(body, PollBody, POLL_RULES)
    faults = []
    if said.lease is UNSET:
        if said.types is UNSET:
            faults.append(Fault("/types", "is required for a new lease: which types the worker can run"))
        if said.jobs is not UNSET and said.jobs:
            faults.append(Fault("/jobs", "cannot be held under a lease that is new"))
    elif said.jobs is UNSET:
        faults.append(Fault("/jobs", "is required with a lease: what the worker holds, [] for nothing"))
    if faults:
        raise invalid(faults)
    return Poll(
        lease=None if said.lease is UNSET else said.lease.lower(),
        types=None if said.types is UNSET else frozenset(said.types),
        queues=None if said.queues is UNSET else frozenset(said.queues),
        most=said.max,
        until=trio.current_time() + said.wait,
        held=[] if said.jobs is UNSET else _held(said.jobs),
        name=said.name,
        slots=max(1, said.max) if said.slots is UNSET else said.slots,
    )


def heartbeat(body: bytes) -> list[Held]:
    """Return what the worker holds. Raises: Problem (422)."""
    return _held(read_record(body, HeartbeatBody, HEARTBEAT_RULES).jobs)


def completed(body: bytes) -> list[Report]:
    """Return the successes that ``body`` reports. Raises: Problem (422)."""
    said = read_record(body, CompleteBody, COMPLETE_RULES).jobs
    results = [bytes(one.result).decode() for one in said]
    return [
        Report(one.id.lower(), one.fence, "succeeded", None if result == "null" else result)
        for one, result in zip(said, results, strict=True)
    ]


def failed(body: bytes) -> list[Report]:
    """Return the other ends that ``body`` reports. Raises: Problem (422)."""
    said = read_record(body, FailBody, FAIL_RULES).jobs
    if faults := [fault for at, one in enumerate(said) for fault in _faults(f"/jobs/{at}", one)]:
        raise invalid(faults)
    return [
        Report(
            one.id.lower(),
            one.fence,
            one.then,
            failure=_failure(one),
            delay_s=one.retry_in,
            hold_queue=one.hold_queue,
            queue=one.queue,
            priority=one.priority,
        )
        for one in said
    ]


def _faults(at: str, one: FailedBody) -> Iterator[Fault]:
    if one.error is None and one.then in ("retry", "give_up"):
        yield Fault(f"{at}/error", "is required: why the attempt did not succeed")
    if one.error is not None and one.error.kind in NOT_THE_WORKERS:
        yield Fault(f"{at}/error/kind", "is what Tickr says of workers that are gone")
    if one.retry_in is not None and one.then not in ("retry", "snooze"):
        yield Fault(f"{at}/retry_in", f'makes no sense with then: "{one.then}"')
    if one.then == "snooze" and (one.retry_in is None or one.retry_in < Snooze.least_s):
        yield Fault(f"{at}/retry_in", f"is required with a snooze: at least {Snooze.least_s} seconds")
    for name in ("queue", "priority"):
        if getattr(one, name) is not None and one.then not in ("retry", "snooze"):
            yield Fault(f"{at}/{name}", f'makes no sense with then: "{one.then}"')
    if one.hold_queue and (one.retry_in is None or one.retry_in > MAX_PAUSE_S):
        yield Fault(f"{at}/hold_queue", f"needs a retry_in, of at most {MAX_PAUSE_S:.0f} seconds")


def _held(said: list[HeldBody]) -> list[Held]:
    """Return what is held. Raises: Problem (422): data is too long, which cannot be cut."""
    told = [(f"/jobs/{at}/data", one.data) for at, one in enumerate(said)]
    for at, one in enumerate(said):
        told += [(f"/jobs/{at}/events/{place}/data", event.data) for place, event in enumerate(one.events or ())]
    too_long = f"may have at most {MAX_DATA_BYTES} bytes"
    if faults := [Fault(pointer, too_long) for pointer, data in told if len(data) > MAX_DATA_BYTES]:
        raise invalid(faults)
    return [
        Held(
            one.id.lower(),
            one.fence,
            one.progress,
            None if one.message is None else cut(one.message, MAX_PROGRESS_MESSAGE),
            () if one.log is UNSET else tuple(cut(line, MAX_LOG_MESSAGE) for line in one.log),
            None if (data := bytes(one.data)) == b"null" else data.decode(),
            () if one.events is UNSET else tuple((event.name, bytes(event.data).decode()) for event in one.events),
        )
        for one in said
    ]


def _failure(said: FailedBody) -> Failure | None:
    if said.error is None:
        return None
    kind = _KINDS.get(said.then, said.error.kind) if said.error.kind == "exception" else said.error.kind
    traceback = said.error.traceback
    return failures.failure(kind, said.error.message, None if traceback is None else failures.shorten(traceback))
