"""Extras: the part of a job's record that few jobs have. Pure: no trio, no I/O, no clock.

It is stored as one text, in a column that is empty for a plain job. What features keep here they read when they have
the job in hand; whatever is looked for has a table of its own.
"""

from __future__ import annotations

import msgspec

from tickr.edits import Redrive
from tickr.keys import Unique
from tickr.links import Dependencies, Nursery, Sequence


class Signed(msgspec.Struct, frozen=True, array_like=True):
    """What a job was signed with (``signing.py``): of each part the id of the key, a colon and the signature.

    ``moved_by``: who gave it its queue, where that is not who made it; ``Extras.place`` says the same of the payload.
    """

    type: str
    queue: str
    payload: str
    moved_by: str | None = None


class Extras(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few jobs have: kept as one text that a plain job does not have at all. Nothing is looked for by it.

    Attributes:
      expires_at: instant from which on it is not started any more, microseconds UTC; None: never.
      cancel_reason: what was said by who asked for its cancellation; counts only with ``Job.cancel_requested``.
      traceparent, tracestate: the trace it was submitted in (W3C Trace Context).
      unique: the key that it was submitted with, whether or not it holds it still.
      keep_us: how long it is kept after it has ended, in microseconds; None: as long as the settings say.
      max_crashes: how many lost nodes it outlives; None is ``DEFAULT_MAX_CRASHES``. 0: it is not begun twice.
      schedule, tick: the schedule that made it, and for which of its ticks (microseconds UTC); no tick when somebody
        asked for a run at once.
      depends_on: the jobs that it was submitted to wait for, whether or not it waits for them still.
      sequence: where its jobs run one after the other.
      parent, name: the job whose handler has submitted it, and by which name among its siblings.
      generation: how many jobs are above it in its family.
      nursery: it has submitted jobs itself.
      redrives: the last times that it was started over, ``MAX_REDRIVES`` at most.
      sealed: the id of the key that its payload, and what comes of it, is encrypted with (``sealing.py``).
      submitted_to: the queue and the priority that it was submitted with, once an attempt has put it elsewhere.
      place: what its payload was encrypted or signed for, where that is not who made it, the job or its schedule: who
        changed it.
      signed: its signatures; None: it is not signed.
      mended: it is a child, and somebody has given it another payload than its parent's handler.
    """

    expires_at: int | None = None
    cancel_reason: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    unique: Unique | None = None
    keep_us: int | None = None
    max_crashes: int | None = None
    schedule: str | None = None
    tick: int | None = None
    depends_on: Dependencies | None = None
    sequence: Sequence | None = None
    parent: str | None = None
    name: str | None = None
    generation: int = 0
    nursery: Nursery | None = None
    redrives: tuple[Redrive, ...] = ()
    sealed: str | None = None
    submitted_to: tuple[str, int] | None = None
    place: str | None = None
    signed: Signed | None = None
    mended: bool = False


NO_EXTRAS = Extras()
