"""The age of the backlog over time, in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from itertools import islice

import trio

from tickr.jobs import WAITING, Job, State
from tickr.store import backlog as kept
from tickr.store.contract import AgePlace, Clock, Span
from tickr.tallies import Step


class MemoryBacklog:
    """``Backlog`` of the contract. ``_ages``: all there are; ``_looked_at``: when somebody looked last."""

    _clock: Clock
    _by_state: dict[State, dict[str, Job]]

    def __init__(self) -> None:
        super().__init__()
        self._ages: kept.Ages = {}
        self._looked_at = 0

    async def look_at_backlog(self, every_us: int) -> bool:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        if now - every_us < self._looked_at <= now:
            return False
        self._looked_at = now
        self._ages.update(kept.raised(self._oldest(now), now, self._ages_of(now)))
        return True

    async def backlog(self, which: Span, limit: int, after: AgePlace | None = None) -> list[tuple[AgePlace, int]]:
        await trio.lowlevel.checkpoint()
        behind = (place for place in sorted(self._ages) if _takes(which, place) and (after is None or place > after))
        return [(place, self._ages[place]) for place in islice(behind, limit)]

    async def prune_backlog(self, step: Step, before: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        old = sorted(place for place in self._ages if place.step is step and place.at < before)[:limit]
        for place in old:
            del self._ages[place]
        return len(old)

    def _oldest(self, now: int) -> dict[str, int]:
        """Return since when the oldest due job of each queue that has one has been due."""
        oldest: dict[str, int] = {}
        for state in WAITING:
            for job in self._by_state[state].values():
                if job.run_at <= oldest.get(job.queue, now):
                    oldest[job.queue] = job.run_at
        return oldest

    def _ages_of(self, now: int) -> kept.Ages:
        steps = set(kept.steps_of(now))
        return {place: age for place, age in self._ages.items() if (place.step, place.at) in steps}


def _takes(which: Span, place: AgePlace) -> bool:
    return (
        place.step is which.step
        and which.since <= place.at < which.until
        and (not which.queues or place.queue in (*which.queues, kept.REST))
    )
