"""How long the oldest due job had waited, of each queue, whenever somebody looked: by minute, hour and day. Pure.

Of each step the greatest age seen in it is kept. A look raises its minute, its hour and its day at once; looking twice
changes nothing. A step in which nobody looked has no age at all, not 0: what was then is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from tickr.tallies import Step

MAX_QUEUES = 250
"""So many queues have ages of their own in one step; all others share that of ``REST``."""
REST = ""
"""The name, of no queue, under which each step has the greatest age of all that have none of their own there; 0 if
nothing waited in them. So each step in which somebody looked has it."""


class AgePlace(NamedTuple):
    """Which age: ``at`` is when its step began, microseconds UTC."""

    step: Step
    at: int
    queue: str


Ages = dict[AgePlace, int]
"""Microseconds."""


def steps_of(now: int) -> list[tuple[Step, int]]:
    """Return the steps that ``now`` is in, and when each of them began."""
    return [(step, step.begin(now)) for step in Step]


def raised(oldest: Mapping[str, int], now: int, stored: Mapping[AgePlace, int]) -> Ages:
    """Return what is to be stored after a look at ``now``: what is greater than ``stored``, or not there.

    Args:
      oldest: since when the oldest due job of each queue that has one has been due, microseconds UTC.
      stored: all ages of the steps that ``now`` is in.
    """
    queues = Counter((place.step, place.at) for place in stored if place.queue != REST)
    seen: Ages = {}
    for step, at in steps_of(now):
        rest = AgePlace(step, at, REST)
        seen[rest] = 0
        for queue, since in sorted(oldest.items(), key=lambda one: one[1]):
            place = AgePlace(step, at, queue)
            if place not in stored:
                if queues[step, at] < MAX_QUEUES:
                    queues[step, at] += 1
                else:
                    place = rest
            seen[place] = max(seen.get(place, 0), now - since)
    return {place: age for place, age in seen.items() if age > stored.get(place, -1)}
