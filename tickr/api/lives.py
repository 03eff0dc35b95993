"""The history of a job as the outside sees it: its attempts, and in between the times that it was started over. Pure.

A redrive begins a new *life*: attempts are numbered from 1 again. Which life an attempt is of is told by its fence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tickr.api import wire
from tickr.edits import Redrive
from tickr.jobs import Attempt


class RedriveDocument(msgspec.Struct, frozen=True):
    """One time that a job was started over. ``life``: the one that began with it."""

    life: int
    at: wire.Instant | None
    changed: tuple[str, ...]
    operation: str | None


class History(msgspec.Struct, frozen=True):
    """``redrives``: the last ones, the first first."""

    items: list[wire.AttemptDocument]
    redrives: list[RedriveDocument]


def history(attempts: Sequence[Attempt], redrives: Sequence[Redrive]) -> History:
    """Return what happened to a job, the first first; ``redrives`` are in order."""
    items = [wire.attempt_document(attempt, _life(attempt, redrives)) for attempt in attempts]
    return History(
        items, [RedriveDocument(one.life, wire.instant(one.at), one.changed, one.operation) for one in redrives]
    )


def _life(attempt: Attempt, redrives: Sequence[Redrive]) -> int:
    """Return the life of an attempt; of those before all that are known, the last."""
    first = redrives[0].life - 1 if redrives else 1
    return max((one.life for one in redrives if attempt.fence > one.fence), default=first)
