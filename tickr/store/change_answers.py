"""What a store answers to who changes jobs that are there: one, or those of a step of an operation. Pure."""

from __future__ import annotations

from typing import NamedTuple

from tickr.events import Change
from tickr.jobs import Job
from tickr.operations import Operation


class MovedOperation(NamedTuple):
    """What a move has done, once it is committed; see ``Store.move_operation``.

    Attributes:
      changes: of jobs, in the order in which they were made.
    """

    before: Operation | None
    after: Operation | None
    changes: list[Change]

    @property
    def jobs(self) -> list[Job]:
        """The jobs that were changed, as they are now."""
        return [change.after for change in self.changes]


class Edited(NamedTuple):
    """A job after somebody's change, and that change: None where nothing is different. ``at``: the store's now."""

    job: Job
    change: Change | None
    at: int
