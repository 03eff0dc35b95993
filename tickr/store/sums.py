"""Sums of tallies by minute, hour and day, and what a store answers when it is asked for them. Pure.

Every tally is added to its minute, its hour and its day at once, so nothing is ever moved from one to another: what is
too old goes, and the longer steps have it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tickr import tallies
from tickr.tallies import Part, Step

STEP_CODES = {Step.MINUTE: 1, Step.HOUR: 2, Step.DAY: 3}
"""How the SQL stores write a step."""
MAX_PAIRS = 250
"""So many pairs of queue and type have sums of their own in one step; what more there are goes into ``OTHERS``."""
OTHERS = "", ""
"""Queue and type of the sum of all pairs that have none of their own: names of none."""
MAX_MARKS = 1_000
"""How many marks are kept, the last ones."""


class LogRow(NamedTuple):
    """A row of ``events``: its number, its instant, and its tally as it is stored, if it has one."""

    seq: int
    created_at: int
    tally: str | None


class Untallied(NamedTuple):
    """The first rows of the log that have not been added up: those after the number ``after``."""

    after: int
    rows: list[LogRow]


class Tallied(NamedTuple):
    """How far the log has been added up: to the row ``seq``, and so everything committed before the instant ``at``."""

    seq: int
    at: int


class SumPlace(NamedTuple):
    """Which sum: ``at`` is when its step began, microseconds UTC."""

    step: Step
    at: int
    queue: str
    type: str


Sums = dict[SumPlace, Part]


class Span(NamedTuple):
    """Which sums are asked for: those of the steps that begin from ``since`` on and before ``until``.

    ``queues`` and ``types``: of these alone; of all if there are none.
    """

    step: Step
    since: int
    until: int
    queues: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def takes(self, place: SumPlace) -> bool:
        return (
            place.step is self.step
            and self.since <= place.at < self.until
            and (not self.queues or place.queue in self.queues)
            and (not self.types or place.type in self.types)
        )


class Mark(NamedTuple):
    """Something to see in the charts: ``text`` at the instant ``at``, microseconds UTC."""

    id: str
    at: int
    text: str


def add_up(rows: Iterable[LogRow]) -> Sums:
    """Return the sums of the tallies in ``rows``."""
    found: Sums = {}
    for row in rows:
        add_row(found, row)
    return found


def add_row(sums: Sums, row: LogRow) -> None:
    """Add the tally of ``row`` to ``sums``."""
    if row.tally is None:
        return
    tally = tallies.decode(row.tally)
    for step in Step:
        at = step.begin(tally.at)
        for part in tally.parts:
            place = SumPlace(step, at, part.queue, part.type)
            if place not in sums:
                sums[place] = Part(part.queue, part.type)
            sums[place].merge(part)


def added(more: Sums, stored: Mapping[SumPlace, Part]) -> Sums:
    """Return what is to be stored once ``more`` comes to ``stored``, which has all sums of the same steps."""
    pairs = Counter((place.step, place.at) for place in stored if (place.queue, place.type) != OTHERS)
    written: Sums = {}
    for place, part in sorted(more.items(), key=lambda one: one[0]):
        if place not in stored and (place.queue, place.type) != OTHERS:
            if pairs[place.step, place.at] >= MAX_PAIRS:
                place = SumPlace(place.step, place.at, *OTHERS)
            else:
                pairs[place.step, place.at] += 1
        if place not in written:
            written[place] = Part(place.queue, place.type)
            if place in stored:
                written[place].merge(stored[place])
        written[place].merge(part)
    return written
