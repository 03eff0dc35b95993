"""Sums of what was done, and marks, in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from itertools import islice
from typing import Literal

import trio

from tickr.store import sums
from tickr.store.contract import Clock, Mark, Span, SumPlace, Sums, Tallied, Untallied
from tickr.store.memory_feed import EventLog
from tickr.tallies import Part, Step


class MemoryStatistics:
    """``Statistics`` of the contract. ``_sums`` and ``_marks``: all there are, by place and by id."""

    _clock: Clock
    _log: EventLog

    def __init__(self) -> None:
        super().__init__()
        self._sums: Sums = {}
        self._tallied = Tallied(0, 0)
        self._marks: dict[str, Mark] = {}

    async def untallied(self, limit: int) -> Untallied:
        await trio.lowlevel.checkpoint()
        return Untallied(self._tallied.seq, self._log.tallies(self._tallied.seq, limit))

    async def add_tallies(self, more: Sums, *, after: int, upto: Tallied) -> bool:
        await trio.lowlevel.checkpoint()
        if self._tallied.seq != after:
            return False
        steps = {(place.step, place.at) for place in more}
        stored = {place: part for place, part in self._sums.items() if (place.step, place.at) in steps}
        self._sums.update(sums.added(more, stored))
        self._tallied = upto
        return True

    async def tallied(self) -> Tallied:
        await trio.lowlevel.checkpoint()
        done = self._tallied
        return done._replace(at=self._clock()) if done.seq == self._log.state().head else done

    async def sums(self, which: Span, limit: int, after: SumPlace | None = None) -> list[tuple[SumPlace, Part]]:
        await trio.lowlevel.checkpoint()
        behind = (place for place in sorted(self._sums) if which.takes(place) and (after is None or place > after))
        return [(place, deepcopy(self._sums[place])) for place in islice(behind, limit)]

    async def weights(self, which: Span) -> list[tuple[int, int]]:
        await trio.lowlevel.checkpoint()
        weights = Counter[int]()
        for place, part in self._sums.items():
            if which.takes(place):
                weights[place.at] += part.weight
        return sorted(weights.items())

    async def busiest(self, which: Span, by: Literal["queue", "type"], limit: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        weights = Counter[str]()
        for place, part in self._sums.items():
            if which.takes(place) and getattr(place, by):
                weights[getattr(place, by)] += part.weight
        return sorted(weights, key=lambda name: (-weights[name], name))[:limit]

    async def prune_sums(self, step: Step, before: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        old = sorted(place for place in self._sums if place.step is step and place.at < before)[:limit]
        for place in old:
            del self._sums[place]
        return len(old)

    async def make_mark(self, mark: Mark) -> tuple[Mark, bool]:
        await trio.lowlevel.checkpoint()
        if mark.id in self._marks:
            return self._marks[mark.id], False
        self._marks[mark.id] = mark
        for old in self._in_order()[: -sums.MAX_MARKS]:
            del self._marks[old.id]
        return mark, True

    async def marks(self, since: int, until: int, limit: int) -> list[Mark]:
        await trio.lowlevel.checkpoint()
        return [mark for mark in self._in_order() if since <= mark.at < until][-limit:]

    async def drop_mark(self, mark_id: str) -> bool:
        await trio.lowlevel.checkpoint()
        return self._marks.pop(mark_id, None) is not None

    def _in_order(self) -> list[Mark]:
        return sorted(self._marks.values(), key=lambda mark: (mark.at, mark.id))
