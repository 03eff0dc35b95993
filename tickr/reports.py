"""What a worker reports of an attempt: notes, lines and checkpoints while it runs, one outcome when it has ended. Pure.

Each is a wish that names its attempt by the job's id and fence; the store applies it while that fence still holds.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from tickr import jobs
from tickr.job_log import LogPart
from tickr.jobs import Job, Progress
from tickr.names import node_of_queue
from tickr.reasons import CANCELLED_ON_REQUEST, Failure, on_request


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt says while it runs. Counts only while the fence holds.

    Attributes:
      job: the record as it was claimed; its ``id``, ``fence`` and ``version`` name the attempt.
      kind: how far it is; a line for its log; an event of the application's own.
      number: 1, 2, 3 … within the attempt; what was left out has none.
      at: instant at which it was said, microseconds UTC by the store's clock as its worker knows it.
      fraction: from 0 to 1, with ``progress``; otherwise None.
      message: one line or more; may be None with ``progress``, and is the name of what is ``emitted``.
      data: JSON text, with ``progress`` or None, and always with ``emitted``.
      dropped: how many lines of the log were left out before this one, because they came too fast.
    """

    job: Job
    kind: Literal["progress", "log", "emitted"]
    number: int
    at: int
    fraction: float | None = None
    message: str | None = None
    data: str | None = None
    dropped: int = 0

    @property
    def progress(self) -> Progress | None:
        """What the job shows from now on; None for a line of the log, which changes nothing there."""
        return None if self.fraction is None else Progress(self.fraction, self.message, self.data)

    def size_bytes(self) -> int:
        """Return about how much this note adds to a batch."""
        return 512 + len(self.message or "") + len(self.data or "") + len(self.job.labels or "")


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far an attempt has got, kept for the attempts after it. Counts only while the fence holds.

    Attributes:
      job: the record as it was claimed; its ``id`` and ``fence`` name the attempt.
      value: JSON text.
    """

    job: Job
    value: str

    def size_bytes(self) -> int:
        """Return about how much this checkpoint adds to a batch."""
        return 512 + len(self.value)


class Statement(NamedTuple):
    """By what a handler itself writes that its attempt has ended: ``cursor.execute(*statement)``."""

    sql: str
    parameters: tuple[bytes | int | str | None, ...]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt has logged, to be kept with its job. Counts only while the fence holds.

    Attributes:
      job: the record as it was claimed; its ``id`` and ``fence`` name the attempt.
      trim: whether it is time to look for lines of the job that are too many by now.
    """

    job: Job
    part: LogPart
    trim: bool = False

    def trimming(self) -> Lines:
        return msgspec.structs.replace(self, trim=True)

    def size_bytes(self) -> int:
        """Return about how much these lines add to a batch."""
        return 512 + len(self.part.marks) + len(self.part.messages)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to say about one attempt. It is a wish: the store applies it if the fence still holds.

    Attributes:
      job: the record as it was claimed; its ``id`` and ``fence`` name the attempt. It has a ``nursery`` if it may have
        one, with what the handler knows of its children.
      kind: which move is wished.
      result: JSON text, with ``succeeded``.
      failure: why, with every other kind.
      delay_us: microseconds from the store's now until the next start, with ``retried`` and ``released``.
      cut_off: with ``released``: the node has ended an attempt that had begun.
      queue, priority: with ``retried`` and ``released``: where it waits from now on; None: where it did.
      signature: of a ``queue`` that is not None, where the node signs.
      hold_us: for so many microseconds from the store's now no job of its queue is started; 0: they are.
      may_have_ended: its handler may have written its end (``store/ended.py``), which counts then, whatever this says.
    """

    job: Job
    kind: Literal["succeeded", "retried", "failed", "cancelled", "released", "awaiting"]
    result: str | None = None
    failure: Failure | None = None
    delay_us: int = 0
    cut_off: bool = False
    queue: str | None = None
    priority: int | None = None
    signature: str = ""
    hold_us: int = 0
    may_have_ended: bool = False

    @property
    def of_parent(self) -> bool:
        """Whether its job may have children: then what its worker believes of the job may not be all."""
        return self.job.extras.nursery is not None

    def apply(self, job: Job, now: int) -> Job:
        """Return what ``job`` (this attempt, as it is stored now) becomes.

        A cancellation that was requested meanwhile wins over running again, and so does an ``expires_at`` that came.
        """
        if self.of_parent:
            job = self._with_nursery(job)
        if self.kind == "succeeded":
            return jobs.succeeded(job, self.result, now)
        assert self.failure is not None, "an attempt that did not succeed has a reason"
        again = self.kind in ("retried", "released", "awaiting")
        if self.kind == "cancelled" or (job.cancel_requested and again):
            how = CANCELLED_ON_REQUEST if again else self.failure
            return jobs.cancelled(job, on_request(job.extras.cancel_reason, how), now)
        if again and job.expired_at(now):
            return jobs.expired(job, now, self.failure)
        if self.kind == "retried":
            return self._put(jobs.retried(job, self.failure, now + self.delay_us))
        if self.cut_off:
            return _cut_off(job, self.failure, now)
        if self.kind == "released":
            return self._put(jobs.released(job, now, self.delay_us))
        if self.kind == "awaiting":
            return jobs.awaiting(job)
        return jobs.failed(job, self.failure, now)

    def _put(self, job: Job) -> Job:
        """Return ``job``, which waits again, where it is to wait."""
        if node_of_queue(job.queue) is not None:  # which nobody else may run
            return job
        where, before = (self.queue or job.queue, job.priority if self.priority is None else self.priority), job.extras
        if where == (job.queue, job.priority):
            return job
        extras = msgspec.structs.replace(before, submitted_to=before.submitted_to or (job.queue, job.priority))
        if before.signed is not None and where[0] != job.queue:
            signed = msgspec.structs.replace(before.signed, queue=self.signature, moved_by=job.id)
            extras = msgspec.structs.replace(extras, signed=signed)
        return msgspec.structs.replace(job, queue=where[0], priority=where[1], extras=extras)

    def _with_nursery(self, job: Job) -> Job:
        """Return ``job`` with what its handler knows of its children, if there are any; each attempt learns anew."""
        if job.extras.nursery is None or self.kind not in ("succeeded", "awaiting"):
            return job
        return msgspec.structs.replace(job, extras=msgspec.structs.replace(job.extras, nursery=self.job.extras.nursery))

    def size_bytes(self) -> int:
        """Return about how much this outcome adds to a batch."""
        failure = self.failure
        return 512 + len(self.result or "") + (len(failure.message) + len(failure.traceback or "") if failure else 0)


def _cut_off(job: Job, why: Failure, now: int) -> Job:
    """Its node ended an attempt that had begun: handed back, or failed if it may not be begun twice."""
    if job.max_crashes:
        return jobs.released(job, now)
    counted = msgspec.structs.replace(job, crashes=job.crashes + 1, attempt=job.attempt - 1)
    cut_off = msgspec.structs.replace(why, kind="crashed", message=f"It had begun and was cut off: {why.message}")
    return jobs.failed(counted, cut_off, now)
