"""What is asked of a store about many jobs at once: how many match, and operations, which go through them step by step.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from typing import Protocol

from tickr.filters import Filter
from tickr.operation_moves import Move
from tickr.operations import Operation
from tickr.store.answers import DueOperations, Tally
from tickr.store.change_answers import MovedOperation


class Operations(Protocol):
    """Operations by id, and by what is due next."""

    async def tally(self, which: Filter, *, most: int | None = None) -> Tally:
        """Count the jobs that pass ``which``, by state, type and kind of error; the largest groups first.

        Args:
          which: has states. The fewer jobs are in these (and in its queues), the less there is to look at.
          most: of each state, or state and queue, so many jobs are looked at, >= 1; where there are more, the answer is
            not exact. None: ``MOST_TALLIED``, but ``MOST_DEAD`` of those that failed where the index of dead letters
            tells all: ``Filter.of_dead_letters``. Where payloads are searched, fewer, in all (``search.py``).
        """
        ...

    async def operation(self, operation_id: str) -> Operation | None: ...

    async def operations(self, limit: int, before: str | None = None) -> list[Operation]:
        """Return up to ``limit`` (1..MAX_BATCH) operations, the largest id first; those below ``before`` if given."""
        ...

    async def due_operations(self, limit: int) -> DueOperations:
        """Return up to ``limit`` (1..MAX_BATCH) operations whose next step may be made, the most overdue first."""
        ...

    async def move_operation(self, move: Move) -> MovedOperation:
        """Do to an operation, and to the jobs of a step, what ``move`` makes of them, in one transaction.

        Nobody who claims waits for it. A ``Step`` that is not the next, or too early, changes nothing.
        Returns: the operation before and after, and the jobs that were changed, as they are now.
        Raises: OperationExists, TooManyOperations (``Begin``), OperationNotFound (``Stop``). A ``Step`` raises nothing.
        Cancellation: see the module. Asked again, each finds that it was done.
        """
        ...

    async def prune_operations(self, before: int, keep: int, limit: int) -> int:
        """Delete operations that ended before the instant ``before``, or earlier than the last ``keep`` that ended.

        Returns: how many, ``limit`` (1..MAX_BATCH) at most.
        """
        ...
