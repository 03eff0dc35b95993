"""Direct starts: a job that comes in while this node waits for work begins in the transaction that stores it.

Submissions on their way into the store come in; those that may begin here are told (``Start``), and after COMMIT they
go to the slots, past index and claim, which saves a transaction and a round trip through Redis. Nobody is overtaken:
it is done only while the claim loop has found nothing for a while. And a node takes only a part of its slots in this
way, so that a burst is shared with the other nodes. See docs/decisions/0022-direct-starts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tickr.jobs import Job, NewJob
from tickr.store.contract import Start
from tickr.worker.claim import Claimer
from tickr.worker.early import Reservable


class Slots(Reservable, Protocol):
    """Where jobs run; ``Pool`` in ``worker/pool.py``."""

    @property
    def part(self) -> int:
        """How many jobs may start now past the claim loop."""
        ...

    def start(self, jobs: Sequence[Job]) -> None: ...


class Direct:
    """Lends a node's idle slots to its intake.

    Args:
      types: the job types that have a handler here.
      holds_lease: whether this node may still begin something; it may have been frozen for longer than its lease.
    """

    def __init__(
        self, claimer: Claimer, slots: Slots, *, types: frozenset[str], holds_lease: Callable[[], bool]
    ) -> None:
        self._claimer = claimer
        self._slots = slots
        self._types = types
        self._holds_lease = holds_lease

    @contextmanager
    def offer(self, new: Sequence[NewJob]) -> Iterator[Start | None]:
        """Return which of ``new`` may start with the transaction that stores them; None: none of them.

        The block is that transaction, and ``begin`` is called in it once they are stored.
        """
        if (waiting := self._claimer.waiting) is None or not (part := self._slots.part) or not self._holds_lease():
            yield None
            return
        able = [one for one in new if one.type in self._types and one.queue in waiting.queues and not one.delay_us]
        able = [one for one in able if one.extras.depends_on is None]
        able.sort(key=lambda one: one.priority)
        ids = frozenset([one.id for one in able[:part]])
        if not ids:
            yield None
            return
        self._slots.reserve(len(ids))
        try:
            yield Start(waiting.node, ids)
        finally:
            self._slots.release(len(ids))

    def begin(self, start: Start, jobs: Sequence[Job]) -> None:
        """Run ``jobs``, which the store has as running for the node of ``start``.

        They are left to whoever finds them if that is no longer this node: its lease was lost meanwhile. A node that
        has begun to stop since the offer runs them all the same: what was taken before is finished here.
        """
        if jobs and start.node == self._claimer.node:
            self._slots.start(jobs)
