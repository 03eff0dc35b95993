"""What a store is asked for and what it answers, beside the jobs themselves: filters, pages, depths. Pure.

``store/contract`` says which method takes and returns these records, and gives out their names. The functions at the
end are what the adapters have in common in making them: how far to look, and how far to count.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, Self

import msgspec

from tickr.filters import Filter as Filter
from tickr.jobs import Job, State
from tickr.operations import Operation
from tickr.schedules import Schedule

FIRST_WINDOW = 100
"""A filtered list first looks at so many of the newest jobs, or at four times what is asked for if that is more."""
LOOK_AT = 5_000
"""How many jobs ``Store.list_jobs`` looks at for one page, in jobs: some 20 ms."""
COUNT_TO = 100_000
"""How far ``Store.queues`` counts, in jobs of one queue and state."""
MOST_COUNTED = 100_000
"""How many jobs ``Store.queues`` counts at a time: some 25 ms. With many deep ranges each is counted less far."""

MOST_TALLIED = 5_000
"""How many jobs of one state ``Store.tally`` looks at: 10 to 20 ms, more with long errors."""
MOST_DEAD = 100_000
"""How many failed ones it counts where the index of dead letters has all that is asked: about as long."""

Place = tuple[int, str]
"""The ``(created_at, id)`` of a job: where it stands in lists."""


class Page(NamedTuple):
    """Part of a list. ``after``: where the next page begins; None when nothing can follow.

    A page with an ``after`` may hold fewer jobs than were asked for, or none: a filter that fits few jobs is not
    looked through to its end at once.
    """

    jobs: list[Job]
    after: Place | None


class InboxRow(NamedTuple):
    """A row of the inbox as it was found; nothing in it has been checked.

    Attributes:
      seq: its number.
      id: what its column of that name holds, "" where the text was not read.
      job: the text, as UTF-8 if the database held it to that; None: it is longer than was asked for.
      size: of the text, in bytes.
    """

    seq: int
    id: str
    job: bytes | None
    size: int


class RefusedRow(NamedTuple):
    """A row of the inbox that was refused. ``job``: how its text begins; ``refused_at`` in microseconds UTC."""

    seq: int
    id: str
    job: str
    refused_at: int
    reason: str


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


class Start(NamedTuple):
    """New jobs that a node starts in the transaction that stores them; see ``Store.insert``."""

    node: str
    ids: frozenset[str]


class Fate(enum.Enum):
    """What a submission with keys has come to, the first time it was made."""

    CREATED = "created"
    SAME = "same"
    """A job with its id was stored already."""
    HELD = "held"
    """Another job holds its unique key, and nothing was stored."""
    REUSED = "reused"
    """Its idempotency key is that of another request, and nothing was stored."""


class Keyed(tuple[Job, bool]):
    """What ``Store.insert`` answers to a job with a ``Wish``: ``(job, created)`` as to any other, and why.

    Attributes:
      fate: CREATED: ``job`` is new, or was when the request was made first. SAME: it was stored before. HELD: it is the
        one that holds the key. REUSED: it is the one that came of the other request.
      replayed: the request was made before, and this is what was answered; ``created`` is False then, and a job that
        was CREATED is as it was at that time.
      replaced: the job that was cancelled for this one, as it is since then.
    """

    fate: Fate
    replayed: bool
    replaced: Job | None

    def __new__(cls, job: Job, fate: Fate, *, replayed: bool = False, replaced: Job | None = None) -> Self:
        made = super().__new__(cls, (job, fate is Fate.CREATED and not replayed))
        made.fate, made.replayed, made.replaced = fate, replayed, replaced
        return made

    def with_job(self, job: Job) -> Keyed:
        """Return the same with another view of the job."""
        return Keyed(job, self.fate, replayed=self.replayed, replaced=self.replaced)


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


class Expired(NamedTuple):
    """What ``Store.end_expired`` did.

    Attributes:
      jobs: those that it ended, as they are now.
      next_at: when there is more to end, microseconds UTC; an instant that has passed if there is already. None: never.
    """

    jobs: list[Job]
    next_at: int | None


class Check(NamedTuple):
    """One finding of ``Store.diagnose``: ``level`` is ``ok``, ``warn`` or ``fail``; ``advice`` says what to do."""

    name: str
    level: str
    finding: str
    advice: str = ""


class DuePlace(NamedTuple):
    """Where a schedule stands among those that have a next tick."""

    next_at: int
    name: str


class DueSchedules(NamedTuple):
    """What ``Store.due_schedules`` finds.

    Attributes:
      now: the store's clock, by which they are due; microseconds UTC.
      found: the schedules, each with a ``next_at`` up to ``now``.
      next_at: the first tick of any schedule after ``now``, or None.
    """

    now: int
    found: list[Schedule]
    next_at: int | None


class MovedSchedule(NamedTuple):
    """What a move has done, once it is committed; see ``Store.move_schedules``. None: there is no such schedule."""

    before: Schedule | None
    after: Schedule | None
    jobs: list[Job]


class Group(msgspec.Struct, frozen=True):
    """Jobs that are alike.

    Attributes:
      state: as the outside sees it. error: the kind of the error that is on them, or None.
      oldest_at, newest_at: when the first of them ended, and the last, or was created if it has not; microseconds UTC.
      example: the id of one of them.
    """

    state: State
    type: str
    error: str | None
    count: int
    oldest_at: int
    newest_at: int
    example: str


class Tally(NamedTuple):
    """How many jobs pass a filter, in groups, the largest first. ``exact``: False: there may be more."""

    groups: list[Group]
    exact: bool

    @property
    def total(self) -> int:
        return sum(group.count for group in self.groups)


class DueOperations(NamedTuple):
    """What ``Store.due_operations`` finds. ``now``: the store's clock; ``next_at``: when the next after it is due."""

    now: int
    found: list[Operation]
    next_at: int | None


def place_of(job: Job) -> Place:
    return job.created_at, job.id


def start_of(which: Filter, before: Place | None) -> Place | None:
    """Return where a list of ``which`` begins, or goes on, newest first: nothing before it can pass."""
    if which.created_before is None:
        return before
    return min((which.created_before, ""), before or (which.created_before, ""))


def page_of(found: list[Job], limit: int) -> Page:
    """Return the page of the first ``limit`` of ``found``, which holds one more if there is more."""
    return Page(found, None) if len(found) <= limit else Page(found[:limit], place_of(found[limit - 1]))


def most_of(state: State, which: Filter) -> int:
    """Return how many jobs of a state are looked at to count those that pass a filter."""
    return MOST_DEAD if state is State.FAILED and which.of_dead_letters else MOST_TALLIED


def window_sizes(limit: int, look_at: int) -> Iterator[int]:
    """Yield how many jobs to look at next while a page of ``limit`` is not full: few at first, ``look_at`` in all."""
    size, left = max(4 * limit, FIRST_WINDOW), look_at
    while left > 0:
        yield min(size, left)
        size, left = size * 4, left - size


def counted_to(count_to: int, ranges: int) -> int:
    """Return how far to count each of so many ranges, so that all of it is counted in bounded time."""
    return max(1, min(count_to, MOST_COUNTED // max(1, ranges)))


def counted_farther(count_to: int, far: int, deep: int) -> int:
    """Return how far to count again the ``deep`` ranges, which do not end before ``far``; ``far``: not worth it."""
    farther = counted_to(count_to, deep)
    return farther if farther >= 2 * far else far


def groups_of(jobs: Iterable[Job], now: int) -> list[Group]:
    """Return ``jobs`` in groups, the largest first."""
    alike = defaultdict[tuple[State, str, str | None], list[Job]](list)
    for job in jobs:
        alike[job.state_at(now), job.type, job.error.kind if job.error else None].append(job)
    return sorted((_group(*what, some) for what, some in alike.items()), key=largest_first)


def _group(state: State, type_: str, error: str | None, some: Collection[Job]) -> Group:
    at = [job.finished_at or job.created_at for job in some]
    return Group(state, type_, error, len(some), min(at), max(at), max(job.id for job in some))


def largest_first(group: Group) -> tuple[int, str, str, str]:
    """What groups are sorted by."""
    return -group.count, group.state, group.type, group.error or ""
