"""Attempts: what is kept of each start of a job. Pure."""

from __future__ import annotations

import msgspec

from tickr.reasons import Failure

MAX_KEPT = 1_000
"""So many starts of a job are kept, the newest: a job may be put off, or tried again, without end."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job and how it ended. ``fence`` makes it unique within its job.

    ``number`` is the job's ``attempt`` at the time, so a start that did not count (handed back, node lost) has the same
    number as the one after it. ``outcome`` is ``running`` or the name of the event that ended it.
    """

    fence: int
    number: int
    node: str | None
    started_at: int | None
    finished_at: int | None
    outcome: str
    error: Failure | None = None


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a running attempt says it is.

    Attributes:
      fraction: from 0 to 1.
      message: a few words for a person, or None.
      data: JSON text of whatever shape, for a program, or None.
    """

    fraction: float
    message: str | None = None
    data: str | None = None
