"""What a store answers about jobs that wait for others, beside the jobs themselves. Pure.

``store/contract`` says which method takes and returns these records, and gives out their names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Self

from tickr.errors import SpecRejected
from tickr.jobs import FINAL, Job, State
from tickr.links import Link


class Refused(tuple[Job, bool]):
    """What ``Store.insert`` answers to a job that cannot be stored for what it depends on: ``(job, False)``, and why.

    Attributes:
      error: ``DependencyMissing`` or ``DependencyCycle``; ``job`` is as it would have been.
    """

    error: SpecRejected

    def __new__(cls, job: Job, error: SpecRejected) -> Self:
        made = super().__new__(cls, (job, False))
        made.error = error
        return made


class Settled(NamedTuple):
    """What ``Store.settle_links`` did.

    Attributes:
      jobs: those that it moved, as they are now.
      after: where to go on; None when it has been through.
      now: when that was, microseconds UTC.
      orphans: children that are to be cancelled, each linked to its parent, which ends without success.
    """

    jobs: list[Job]
    after: str | None
    now: int
    orphans: list[Link]


LinkPlace = tuple[str, str]
"""The ids ``(on, waiter)`` of a link: where it stands among all of them."""


class LinkPage(NamedTuple):
    """Some of the waits that are not over; see ``Store.open_links``.

    Attributes:
      looked_at: how many.
      ended: the ids of jobs, at either end of these, that have ended or are not there, and of parents that wait: it is
        time to settle them.
      after: where to go on; None at the end.
    """

    looked_at: int
    ended: list[str]
    after: LinkPlace | None


def to_settle(places: Collection[LinkPlace], states: Mapping[str, State]) -> list[str]:
    """Return ``LinkPage.ended`` of the links at ``places``. ``states``: of their jobs that are stored."""
    ids = {id_ for place in places for id_ in place}
    ended = {id_ for id_ in ids if states.get(id_, State.CANCELLED) in FINAL}
    return sorted(ended | {on for on, waiter in places if on == waiter and states.get(on) is State.BLOCKED})
