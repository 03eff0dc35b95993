"""Lifecycle events: what is written with every change of a job, in the same transaction, and what running jobs say.

A commit that changes jobs inserts one row into ``events`` whose body is a JSON array of these records, in their compact
array form; the feed expands them to CloudEvents when somebody reads. What happens to other things than jobs, a schedule
say, is told in the same rows by another record, ``ThingEvent``. Pure: no trio, no I/O, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from tickr.envelopes import is_sealed, key_of
from tickr.jobs import FINAL, Attempt, Failure, Job, State
from tickr.packing import full_size, is_packed
from tickr.reports import Note

CHANGES = (
    "created",
    "started",
    "succeeded",
    "retrying",
    "failed",
    "cancelled",
    "released",
    "redriven",
    "unblocked",
    "changed",
    "deleted",
)
"""The events that tell a change of state, or of what a job is like: ``Event.what``."""
NOTES = ("progress", "log", "emitted")
"""Those that tell what a running job says; ``emitted`` is an event of the application's own."""
THINGS = {
    "schedule": ("created", "changed", "paused", "resumed", "deleted", "skipped", "ended"),
    "operation": ("started", "progress", "done", "stopped"),
    "queue": ("paused", "resumed", "changed", "deleted"),
    "node": ("quieted", "resumed", "changed", "stopping"),
}
"""What else there are events of, and what happens to it: ``ThingEvent.what`` is ``schedule.paused``, say."""
NAMES = (*CHANGES, *NOTES, *(f"{kind}.{what}" for kind, whats in THINGS.items() for what in whats))
"""The names of all events."""

MAX_RESULT_BYTES = 256 * 1024
"""A longer result (as UTF-8) is on the job but not in its event: a feed is read by many, and kept."""


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One state change of one job, or one thing that a running one said.

    Attributes:
      what: one of ``CHANGES`` or ``NOTES``.
      time: instant of the change, microseconds UTC by the store's clock.
      state, previous_state: as the outside sees them (``scheduled`` is told from ``ready`` at ``time``). Text, as
        a newer Tickr on the same store may know more states.
      version: the job's version after the change; with ``job`` and ``note`` it is the event's identity.
      labels, result: JSON text or None, as on the job. Of a note, ``result`` is its ``data``. Of a note of an encrypted
        job without data it is what it says: the envelope (``sealing.py``), which is no JSON; ``message`` is None then.
        One with data has both in their places, each an envelope, and "" where there is no message.
      result_bytes: how long the result is, where it is too long to be told (``MAX_RESULT_BYTES``); otherwise 0.
      message: with ``emitted``, the name of the event, which is never sealed.
      note: number of the note within its attempt; 0 for a change.
      fraction, message, dropped: as in ``reports.Note``; but ``message`` of a change, or a redrive, is what was changed
        with it, the names with commas between, so that no other event is any longer for it (``changed``).
    """

    what: str
    time: int
    job: str
    version: int
    type: str
    queue: str
    priority: int
    state: str
    previous_state: str | None
    attempt: int
    max_attempts: int
    run_at: int
    labels: str | None = None
    node: str | None = None
    result: str | None = None
    error: Failure | None = None
    result_bytes: int = 0
    note: int = 0
    fraction: float | None = None
    message: str | None = None
    dropped: int = 0

    @property
    def id(self) -> str:
        return f"{self.job}.{self.version}.{self.note}" if self.note else f"{self.job}.{self.version}"

    @property
    def changed(self) -> list[str]:
        """The names of the fields that were changed, with a redrive or without."""
        return self.message.split(",") if self.message and self.what in ("changed", "redriven") else []

    @property
    def sealed(self) -> str | None:
        """The id of the key that what it tells is encrypted with; None: all of it is plain."""
        envelope = self.error.sealed if self.error is not None else self.result
        return key_of(envelope) if envelope is not None and is_sealed(envelope) else None

    @property
    def name(self) -> str | None:
        """The name of an event of the application's own; None for all others."""
        return self.message if self.what == "emitted" else None


class ThingEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened to a thing that is no job. Shorter than any ``Event``, by which the two are told apart.

    Attributes:
      what: the kind of the thing, a dot, and one of its ``THINGS``.
      name: which thing of its kind; the event's subject.
      mark: tells the events of a thing apart, also of one that was deleted and made again under the same name.
      data: what there is to tell, as it goes out.
    """

    what: str
    time: int
    name: str
    mark: str
    data: msgspec.Raw

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}/{self.mark}"

    @property
    def kind(self) -> str:
        return self.what.partition(".")[0]

    # What a subscriber may choose by: "" is the name of no job, no type and no queue.

    @property
    def job(self) -> str:
        return ""

    @property
    def type(self) -> str:
        return ""

    @property
    def queue(self) -> str:
        return self.name if self.kind == "queue" else ""


AnyEvent = Event | ThingEvent

_ENDS_BADLY = frozenset({"retrying", "failed", "cancelled", "released"})
"""Events that tell why an attempt, or the job, did not succeed. A later start still has the old error on the job."""


def _move(before: State, after: State) -> str:
    if before in FINAL:
        return "redriven"
    if after is State.READY and before is State.BLOCKED:
        return "unblocked"
    if after in (State.READY, State.BLOCKED):
        return "released"
    return "started" if after is State.RUNNING else after.value


_MOVES = {(before, after): _move(before, after) for before in State for after in State}
"""What a move between two states is called; the store asks for each."""


class Change(msgspec.Struct, frozen=True):
    """One move of one job: what the stores write.

    Attributes:
      before: the job as it was, or None for a new one.
      after: the job as it is from this commit on.
      why: the reason, where the job itself does not keep it (a hand-back, a lost node).
      changed: the names of the fields that are others, where it is no move (``editing.py``).
      deleted: the job is gone after it; it was final.
    """

    before: Job | None
    after: Job
    why: Failure | None = None
    changed: tuple[str, ...] = ()
    deleted: bool = False

    @property
    def what(self) -> str:
        """The event's name for this move."""
        if self.before is None:
            return "created"
        if self.changed or self.deleted:
            return "changed" if self.changed else "deleted"
        return _MOVES[self.before.state, self.after.state]

    @property
    def edited(self) -> tuple[str, ...]:
        """The names of the fields that are others for somebody's wish, and not for the move alone."""
        return self.after.extras.redrives[-1].changed if self.what == "redriven" else self.changed

    def event(self, now: int) -> Event:
        before, after, what = self.before, self.after, self.what
        result = after.result if what == "succeeded" else None
        untold = 0 if result is None else untold_bytes(result)
        return Event(
            what,
            now,
            after.id,
            after.version,
            after.type,
            after.queue,
            after.priority,
            after.state_at(now),
            None if before is None else before.state_at(now),
            after.attempt,
            after.max_attempts,
            after.run_at,
            after.labels,
            after.node,
            None if untold else result,
            (self.why or after.error) if what in _ENDS_BADLY else None,
            untold,
            message=",".join(self.edited) or None if what in ("changed", "redriven") else None,
        )

    def attempt(self, now: int) -> Attempt | None:
        """Return the row to keep of the attempt that this move ended, or None.

        A success is on the job itself, so it becomes a row only when a redrive is about to wipe it. That of a job with
        children is a row from the beginning: the job itself succeeds later.
        """
        before, after = self.before, self.after
        if before is None or self.changed or self.deleted:
            return None
        if before.state is State.RUNNING and after.state is not State.SUCCEEDED:
            return _attempt(before, now, after.closing or self.what, self.why or after.error)
        if before.state is State.SUCCEEDED and before.extras.nursery is None:
            return _attempt(before, before.finished_at, State.SUCCEEDED.value, None)
        return None


def untold_bytes(result: str) -> int:
    """Return how long ``result`` is, in bytes, if that is too long to be told; otherwise 0."""
    if 4 * len(result) <= MAX_RESULT_BYTES and result[:1] != "t":  # four bytes at most, and surely not packed
        return 0
    length = full_size(result) if is_packed(result) else len(result.encode())
    return length if length > MAX_RESULT_BYTES else 0


def of_note(note: Note) -> Event:
    """Return what a note is on the feed: an event beside the versions of its job, which still runs."""
    job = note.job
    told, message = note.data, note.message
    if job.extras.sealed is not None:
        told, message = (note.message, None) if note.data is None else (note.data, note.message or "")
    return Event(
        note.kind,
        note.at,
        job.id,
        job.version,
        job.type,
        job.queue,
        job.priority,
        State.RUNNING,
        State.RUNNING,
        job.attempt,
        job.max_attempts,
        job.run_at,
        job.labels,
        job.node,
        result=told,
        note=note.number,
        fraction=note.fraction,
        message=message,
        dropped=note.dropped,
    )


def current_attempt(job: Job) -> Attempt | None:
    """Return the attempt that is on the job itself: the one that runs or the one that succeeded; else None."""
    if job.state is not State.RUNNING and (job.state is not State.SUCCEEDED or job.extras.nursery is not None):
        return None
    return _attempt(job, job.finished_at, job.state.value, None)


def _attempt(job: Job, finished_at: int | None, outcome: str, error: Failure | None) -> Attempt:
    return Attempt(
        fence=job.fence,
        number=job.attempt,
        node=job.node,
        started_at=job.started_at,
        finished_at=finished_at,
        outcome=outcome,
        error=error,
    )


_encoder = msgspec.json.Encoder()
_decode_jobs = msgspec.json.Decoder(list[Event]).decode
_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_job = msgspec.json.Decoder(Event).decode
_decode_thing = msgspec.json.Decoder(ThingEvent).decode
_is_of_thing = re.compile(rb'\["[a-z]+\.').match


def encode(events: Iterable[AnyEvent]) -> str:
    """Return the body of one ``events`` row."""
    return _encoder.encode(list(events)).decode()


def decode(body: str) -> Sequence[AnyEvent]:
    """Return the events of a row. Raises: msgspec.DecodeError: they are not what this program knows."""
    try:
        return _decode_jobs(body)
    except msgspec.ValidationError:  # not of jobs alone
        return [_decode_thing(part) if _is_of_thing(part) else _decode_job(part) for part in _parts(body)]
