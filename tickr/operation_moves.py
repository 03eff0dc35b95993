"""What may be done to an operation: begin it, go a step on with it, stop it. Pure: no trio, no I/O, no clock.

A *move* is a wish that names its operation. The store locks the row, hands what it has to ``apply``, and writes what
comes back. What a step does to jobs is computed beside it, in ``store/operation_changes.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tickr.errors import OperationExists, OperationNotFound, TooManyOperations
from tickr.events import ThingEvent
from tickr.operations import MAX_RUNNING, MOST_BEHIND_US, PROGRESS_US, Operation, Place, told


class Moved(NamedTuple):
    """What a move does: the operation before it and after it, the same where there is nothing to do, and its event."""

    before: Operation | None
    after: Operation
    told: tuple[ThingEvent, ...] = ()


class Begin(msgspec.Struct, frozen=True):
    """Begin ``operation``, whose instants the store gives. The same once more is the one that is there."""

    operation: Operation

    @property
    def id(self) -> str:
        return self.operation.id

    def apply(self, found: Operation | None, now: int, *, full: bool) -> Moved:
        """Raises: OperationExists, TooManyOperations.

        Args:
          full: ``MAX_RUNNING`` are running.
        """
        if found is not None:
            if not found.same_wish(self.operation):
                raise OperationExists(self.id)
            return Moved(found, found)
        if full:
            raise TooManyOperations(self.id, MAX_RUNNING)
        begun = msgspec.structs.replace(self.operation, created_at=now, due_at=now)
        after, event = told(begun, "started", now)
        return Moved(None, after, (event,))


class Stop(msgspec.Struct, frozen=True):
    """Have an operation go no further. One that has ended stays as it is."""

    id: str

    def apply(self, found: Operation | None, now: int) -> Moved:
        """Raises: OperationNotFound."""
        if found is None:
            raise OperationNotFound(self.id)
        if found.state != "running":
            return Moved(found, found)
        return _ended(found, found, "stopped", now)


class Step(msgspec.Struct, frozen=True):
    """Do the next part.

    Attributes:
      version: the operation's as it was when this was planned; if it is another now, somebody was first.
      ids: of the jobs, in order; none where only the place moves on.
      cursor: the place after it. last: nothing can follow.
    """

    id: str
    version: int
    ids: tuple[str, ...]
    cursor: Place | str | None
    last: bool

    def may(self, found: Operation | None, now: int) -> bool:
        """Whether it is its turn."""
        return found is not None and found.version == self.version and found.due_at is not None and found.due_at <= now

    def apply(self, found: Operation, now: int, done: int, skipped: int) -> Moved:
        """Move the place on, once ``done`` jobs are changed and ``skipped`` are not."""
        since = max(found.due_at or now, now - MOST_BEHIND_US)
        after = msgspec.structs.replace(
            found,
            version=found.version + 1,
            cursor=self.cursor,
            done=found.done + done,
            skipped=found.skipped + skipped,
            due_at=since + round(done * 1_000_000 / found.rate),
        )
        if self.last:
            return _ended(found, after, "done", now)
        if now - found.told_at < PROGRESS_US:
            return Moved(found, after)
        after, event = told(after, "progress", now)
        return Moved(found, after, (event,))


Move = Begin | Stop | Step


def _ended(before: Operation, after: Operation, how: str, now: int) -> Moved:
    after = msgspec.structs.replace(after, state=how, version=before.version + 1, finished_at=now, due_at=None)
    after, event = told(after, how, now)
    return Moved(before, after, (event,))
