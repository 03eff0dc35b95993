"""What a store is asked for and what it answers, beside the jobs themselves: filters, pages, places, depths. Pure.

``store/contract.py`` says which method takes and returns these records, and gives out their names. The functions at the
end are what the adapters have in common in making them: how far to look, and how far to count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tickr.jobs import Job, State

FIRST_WINDOW = 100
"""A filtered list first looks at so many of the newest jobs, or at four times what is asked for if that is more."""
MOST_COUNTED = 100_000
"""How many jobs ``Store.queues`` counts at a time: some 25 ms. With many deep ranges each is counted less far."""

Place = tuple[int, str]
"""The ``(created_at, id)`` of a job: where it stands in lists."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a list holds: all conditions together; within one, any of its values. Empty means no condition.

    ``states`` are states as the outside sees them. ``labels`` are ``(name, value)`` pairs, all of which must match;
    a value of None asks only that the label is there.
    """

    states: tuple[State, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.states or self.types or self.queues or self.labels)


class Page(NamedTuple):
    """Part of a list. ``after``: where the next page begins; None when nothing can follow.

    A page with an ``after`` may hold fewer jobs than were asked for, or none: a filter that fits few jobs is not
    looked through to its end at once.
    """

    jobs: list[Job]
    after: Place | None


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at a glance.

    Attributes:
      ready, scheduled, retrying, running: how many jobs are in the state; counting ends at ``counted_to``.
      oldest_due_at: the earliest ``run_at`` among its due jobs, or None.
      counted_to: a number that has reached it means "so many or more".
    """

    name: str
    ready: int
    scheduled: int
    retrying: int
    running: int
    oldest_due_at: int | None
    counted_to: int


class FeedState(NamedTuple):
    """Where the log of events stands.

    Attributes:
      history: which log this is; another one after it was restored or reset, and then no old number means anything.
      oldest: number of the first row that is kept; ``head + 1`` when none is.
      head: number of the last row that has one; 0 before the first.
    """

    history: str
    oldest: int
    head: int


class ScanPosition(NamedTuple):
    """A place between two pages of ``Store.waiting_after`` or of ``Store.prune_jobs``.

    Opaque to everybody but the store that made it.
    """

    state: State
    queue: str
    priority: int
    run_at: int
    id: str


class Pruned(NamedTuple):
    """What ``Store.prune_jobs`` did: how many jobs it deleted, and where to go on; None when it has been through."""

    deleted: int
    position: ScanPosition | None


class Check(NamedTuple):
    """One finding of ``Store.diagnose``: ``level`` is ``ok``, ``warn`` or ``fail``; ``advice`` says what to do."""

    name: str
    level: str
    finding: str
    advice: str = ""


def place_of(job: Job) -> Place:
    return job.created_at, job.id


def page_of(found: list[Job], limit: int) -> Page:
    """Return the page of the first ``limit`` of ``found``, which holds one more if there is more."""
    return Page(found, None) if len(found) <= limit else Page(found[:limit], place_of(found[limit - 1]))


def window_sizes(limit: int, look_at: int) -> Iterator[int]:
    """Yield how many jobs to look at next while a page of ``limit`` is not full: few at first, ``look_at`` in all."""
    size, left = max(4 * limit, FIRST_WINDOW), look_at
    while left > 0:
        yield min(size, left)
        size, left = size * 4, left - size


def counted_to(count_to: int, ranges: int) -> int:
    """Return how far to count each of so many ranges, so that all of it is counted in bounded time."""
    return max(1, min(count_to, MOST_COUNTED // max(1, ranges)))
