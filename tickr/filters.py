"""Which jobs a list holds, or something is to be done to: the filter, and what it says about one job. Pure.

The SQL stores have conditions of their own for the same (``mysql_lists.py``, ``sqlite_lists.py``); the contract suite
holds them to ``matcher``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tickr.jobs import Job, State
from tickr.payload_search import searcher


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which jobs: all conditions together; within one, any of its values. Empty means no condition.

    Attributes:
      states: as the outside sees them.
      labels: ``(name, value)`` pairs, all of which must match; a value of None asks only that the label is there.
      errors: kinds of the error that is on the job (``Failure.kind``).
      schedules: names; of jobs that one of these made.
      parent: of jobs that the handler of this one has submitted, as long as it is stored itself.
      payload, payload_parts: ``(path, value)`` pairs, and texts, that payloads are searched for (``payload_search``).
      created_after, finished_after: instants, microseconds UTC; at it or later.
      created_before, finished_before: earlier than it. What has not finished has no such instant, and passes neither.
    """

    states: tuple[State, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()
    errors: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    parent: str | None = None
    payload: tuple[tuple[str, str], ...] = ()
    payload_parts: tuple[str, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    finished_after: int | None = None
    finished_before: int | None = None

    @property
    def empty(self) -> bool:
        return self == EVERYTHING

    @property
    def searches(self) -> bool:
        """Whether it asks for something in payloads."""
        return bool(self.payload or self.payload_parts)

    @property
    def beside_payloads(self) -> Filter:
        return msgspec.structs.replace(self, payload=(), payload_parts=())

    @property
    def of_dead_letters(self) -> bool:
        """Whether the stores' indexes of dead letters tell all that it asks of failed jobs."""
        known = {"states": (), "types": (), "queues": (), "errors": (), "finished_after": None, "finished_before": None}
        return msgspec.structs.replace(self, **known).empty


EVERYTHING = Filter()


def matcher(which: Filter) -> Callable[[Job, int], bool]:
    """Return what says whether a job passes ``which`` at an instant, microseconds UTC."""

    searched = searcher(which.payload, which.payload_parts) if which.searches else None

    def matches(job: Job, now: int) -> bool:
        return (
            (not which.states or job.state_at(now) in which.states)
            and (not which.types or job.type in which.types)
            and (not which.queues or job.queue in which.queues)
            and (not which.labels or _has_labels(job, which.labels))
            and (not which.errors or (job.error is not None and job.error.kind in which.errors))
            and (not which.schedules or job.extras.schedule in which.schedules)
            and which.parent in (None, job.extras.parent)
            and _within(job.created_at, which.created_after, which.created_before)
            and _within(job.finished_at, which.finished_after, which.finished_before)
            and (searched is None or searched(job.payload))
        )

    return matches


def _has_labels(job: Job, wanted: tuple[tuple[str, str | None], ...]) -> bool:
    labels = msgspec.json.decode(job.labels or "{}", type=dict[str, str])
    return all(name in labels and value in (None, labels[name]) for name, value in wanted)


def _within(at: int | None, after: int | None, before: int | None) -> bool:
    if after is None and before is None:
        return True
    return at is not None and (after is None or at >= after) and (before is None or at < before)
