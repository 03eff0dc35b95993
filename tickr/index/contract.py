"""What every index promises; ``tests/index`` holds each adapter (heap, Redis) to it.

The index orders what the store has. It may forget anything at any time, hold ids twice or hold ids that are stale:
whoever takes an id out claims it in the store by compare-and-set, and the audit puts back what is missing. So every
write here is idempotent, and no method needs to be exact about what another process does meanwhile.

Scores: waiting entries by ``run_at``; ready entries by ``(priority, run_at)`` within their queue, lowest first, or with
the latest ``run_at`` first where that is its order (``order``). What is ready may be a moment early (``EARLY_US``).

The ready entries of one limit key in one queue are a *lane*: it stands in the queue's line once, by its first entry;
whoever comes to it takes some, and it goes to the end of what is as urgent. So keys have fair turns, however many
entries each has. Where the newest is first, an entry that comes brings its lane to its own place. A lane can be held,
and is not come to then.

Errors common to all methods: ``IndexUnavailable``, at once while the index is known to be away, otherwise within a
bounded time. Cancellation: either done or not done; ``pop`` never takes an id out and drops it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from tickr.jobs import Entry

MAX_POP = 500
"""``pop`` returns no more ids than this at once."""


EARLY_US = 5_000
"""So long before its instant an entry is promoted, microseconds: about what the way from there to a claim takes.

Whoever pops it waits for the rest.
"""


LATE_US = 60_000_000
"""Longer than anything is parked beyond its instant, microseconds."""


NO_BOUNDS: Mapping[str, int] = {}


class Hint(NamedTuple):
    """What ``pop`` gives: a job that may wait to be run, from when on (microseconds UTC), and out of which queue."""

    id: str
    run_at: int
    queue: str


def is_late(entry: Entry, until: float, now: int | None) -> bool:
    """Whether an entry that waits until then waits too long at ``now``; None: that is not asked."""
    return now is not None and until > max(entry.run_at, now) + LATE_US


class Lane(NamedTuple):
    """The entries of one limit key in one queue."""

    queue: str
    limit_key: str


class Promotion(NamedTuple):
    """What one ``promote`` did: how many entries became ready, and when the next one is due (microseconds UTC)."""

    moved: int
    next_due_at: int | None


class Sizes(NamedTuple):
    """How many entries the index holds."""

    ready: int
    waiting: int


class Index(Protocol):
    """The order of jobs. An open index; adapters are opened by their own async context managers (``open_index``)."""

    name: str
    """``heap`` or ``redis``."""

    shared: bool
    """Whether other processes see the same entries."""

    @property
    def available(self) -> bool:
        """Whether the index answered when last asked. No I/O."""
        ...

    async def wait_available(self) -> None:
        """Return once the index answers (at once when it does). It is tried again about once a second until then."""
        ...

    async def wait_unavailable(self) -> None:
        """Return once the index is known to be away."""
        ...

    async def push(self, entries: Sequence[Entry], *, now: int) -> None:
        """Add entries: ready if ``run_at <= now``, otherwise waiting. Adding what is there changes nothing.

        Args:
          now: microseconds UTC by the store's clock.
        """
        ...

    async def park(self, entries: Sequence[Entry], *, until: int) -> None:
        """Add entries as waiting until ``until`` (microseconds UTC), whatever their own ``run_at`` says.

        For what was popped and cannot be claimed just now. Where an entry is waiting already, the later instant counts.
        """
        ...

    async def pop(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        most: Mapping[str, int] = NO_BOUNDS,
        per_key: Mapping[str, int] = NO_BOUNDS,
    ) -> list[Hint]:
        """Take up to ``limit`` ready entries of one queue, best first, waiting until there is at least one.

        An instant may come out up to 16 µs later than it went in, and is that of ``park`` after one.

        Args:
          queues: the queues to look in, 1 or more; the first in the list that has anything is taken from.
          limit: 1..MAX_POP.
          most, per_key: fewer than that, by queue: how many in all, and of each lane; >= 1.
        Cancellation: nothing was taken, or what was taken has been put back.
        """
        ...

    async def has_ready(self, queues: Sequence[str]) -> bool:
        """Return whether ``pop`` would find something in one of ``queues`` (0 or more) now. It may turn out stale."""
        ...

    async def hold(self, lanes: Sequence[Lane], *, until: int) -> None:
        """Keep lanes back until then (microseconds UTC), or until they are freed. One without ready entries is not."""
        ...

    async def free(self, lanes: Sequence[Lane]) -> None:
        """Let lanes that are held have their turns again; for others this does nothing."""
        ...

    async def remove(self, entries: Sequence[Entry]) -> None:
        """Forget entries, wherever they are."""
        ...

    async def missing(self, entries: Sequence[Entry], *, now: int | None = None) -> list[Entry]:
        """Return those of ``entries`` that are neither ready nor waiting, or in a lane that would never be come to.

        Args:
          now: microseconds UTC by the store's clock. If given, also those that wait for an instant ``LATE_US`` later
            than they should: they were to run earlier than the index was told.
        """
        ...

    async def order(self, newest: Collection[str]) -> None:
        """Have these queues go newest first from now on, and all others oldest first.

        What is ready there and stands otherwise is moved, some at a time, while others go on; also what somebody has
        pushed since who had not heard of it. So it is called again and again with what the store says, and may be
        called by several at once: of several orders the last counts. While it is under way a queue may be in between.

        Cancellation: some of it may be done; the next call does the rest.
        """
        ...

    async def promote(self, now: int, limit: int) -> Promotion:
        """Move up to ``limit`` waiting entries whose instant is ``<= now`` to ready. Several may do so at once."""
        ...

    async def epoch(self) -> str | None:
        """Return the identity this index was given, or None.

        None also when it has been emptied, or restarted from a snapshot, since: it must be rebuilt.
        """
        ...

    async def set_epoch(self, epoch: str, *, instead_of: str | None = None) -> bool:
        """Give the index its identity; done last in a rebuild.

        Args:
          instead_of: if given, only if this is its identity just now: compare-and-set.
        Returns: whether it has it.
        """
        ...

    async def sizes(self) -> Sizes: ...
