"""What is known of a run with faults: what clients heard, what jobs did, what the store says, what was broken.

Four logs, each written by somebody else, so that none has to be believed: the client's (``Submission``), the jobs' own
outside Tickr (``Mark``), the store's rows (``StoredJob``, ``StoredEvent``), and the tormentor's (``Fault``). All
instants are microseconds UTC of this machine's wall clock, which is also the clock of a private database server on it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Answer = Literal["ok", "refused", "unknown"]
"""201 or 200; an answer that says that nothing was stored; neither of them (Jepsen's *indeterminate*)."""


class Submission(msgspec.Struct, frozen=True):
    """One job that a client asked for, with an id of its own; asked again with the same id it stays one submission.

    Attributes:
      answer: of the last try; "unknown" if any try before it was and none was "ok".
      type, payload: as submitted; ``number`` in the payload is unique to this submission.
      run_at: not before this instant; None at once.
      ends: the only final states in which this job may end, by what its handler does.
      crashes_it: its handler kills its worker, so that 3 crashes are what it must end with.
      expires_in: microseconds after its creation from which on it may not be started; None: never.
    """

    id: str
    number: int
    type: str
    asked_at: int
    answered_at: int
    answer: Answer
    run_at: int | None = None
    max_attempts: int = 3
    ends: tuple[str, ...] = ("succeeded",)
    crashes_it: bool = False
    expires_in: int | None = None


class Mark(msgspec.Struct, frozen=True):
    """A line that a running attempt wrote into the ledger: a file outside Tickr.

    Attributes:
      what: "start" first; "done" as the handler's last act before it returns; "failed" before it raises; "cancelled"
        when it is unwound by a cancellation.
      fence, attempt: as the handler saw them.
      pid: of the node; for a handler in a process of its own, of the node that started it.
    """

    job: str
    number: int
    fence: int
    attempt: int
    what: Literal["start", "done", "failed", "cancelled"]
    at: int
    pid: int


class Tick(msgspec.Struct, frozen=True):
    """What a schedule made a job for; ``tick`` is None where somebody asked for the job."""

    schedule: str | None = None
    tick: int | None = None


class StoredJob(msgspec.Struct, frozen=True):
    """A row of ``jobs``, read without Tickr. ``made_for``: which tick of which schedule, if a schedule made it."""

    id: str
    number: int
    type: str
    state: str
    version: int
    fence: int
    attempt: int
    max_attempts: int
    crashes: int
    run_at: int
    created_at: int
    made_for: Tick | None = None


class StoredEvent(msgspec.Struct, frozen=True):
    """An event out of a row of ``events``, read without Tickr, in the order of the log.

    Attributes:
      seq: number of its row.
      what: "created", "started", …; with a dot in it ("schedule.paused") of what is no job, and ``job`` is its name.
      version: None for ``progress`` and ``log``.
      run_at: of the job after the change; None if not known.
      why: kind of the error that is told with a change for the worse, like "crashed" or "shutdown".
      node: id of the node that runs the job or ran it last.
      note: number within its attempt, of ``progress`` and ``log``; otherwise 0.
    """

    seq: int
    job: str
    what: str
    version: int | None
    previous_state: str | None
    state: str
    attempt: int
    at: int
    run_at: int | None = None
    why: str | None = None
    node: str | None = None
    note: int = 0


class Fault(msgspec.Struct, frozen=True):
    """Something that was done to a part.

    Attributes:
      kind: "kill", "freeze", "failpoint", "cut", "delay", "blackhole", "flush", "readonly", "full", "rollback", "stop".
      part: "node", "mysql" or "redis".
      pid: of the node, if it was one.
      began, ended: when; the same instant for what has no length.
    """

    kind: str
    part: Literal["node", "mysql", "redis"]
    began: int
    ended: int
    pid: int | None = None


class History(msgspec.Struct, frozen=True):
    """Everything about one run, taken when its faults had stopped and the backlog had its time to drain.

    Attributes:
      lease_s: of the nodes.
      workers: slots of each node.
      stretch: seconds that a second of a process takes, on a machine that others use as well.
      ended: when the store was read.
    """

    submissions: list[Submission]
    marks: list[Mark]
    jobs: list[StoredJob]
    events: list[StoredEvent]
    faults: list[Fault]
    lease_s: float
    workers: int
    ended: int
    stretch: float = 1.0
