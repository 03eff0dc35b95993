"""Scaling: whether there should be one process more or one fewer, by what all of them tell. Pure: no I/O, no clock.

One more, when due work has waited for every process for ``GROW_AFTER_S``. One fewer, when for ``SHRINK_AFTER_S``, at
every look, the others could have done all there was to do with half of what they can. That is so far apart that the
load for which a process is added is never one at which it is taken away; and after each change all has to be seen anew.
While a process is being started or replaced, or has not lasted yet, nothing is decided: what waits then is not for want
of processes.

State: since when it has looked like a change, and how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tickr.values import Range
from tickr.worker.load import Load

GROW_AFTER_S = 3.0
"""How long due work must have waited for all processes, in seconds."""
SHRINK_AFTER_S = 30.0
"""How long they must have had little to do, in seconds."""
ROOM = 0.5
"""So much of what they can do, those that stay would have to do at most."""


class Place(NamedTuple):
    """One process as the supervisor sees it.

    Attributes:
      steady: it serves, and what is known of it so far does not look as if it fell again and again.
      load: what it told last; None if it says nothing lately, as when it is quiet, stuck, or without its store.
    """

    steady: bool
    load: Load | None


class Scaling:
    """Decides for one fleet. ``bounds``: how many processes there may be."""

    def __init__(self, bounds: Range) -> None:
        self._bounds = bounds
        self._numbers: tuple[int, int] | None = None
        self._behind_since: float | None = None
        self._slack_since: float | None = None

    def look(self, now: float, places: Sequence[Place], *, leaving: int = 0) -> int:
        """Return by how many processes there should be more: 1, -1, or mostly 0.

        Args:
          now: seconds by any clock that goes on.
          places: of those that stay. leaving: how many more there are that have been told to end.
        """
        numbers = (len(places), leaving)
        settled = all(place.steady for place in places) and numbers == self._numbers
        self._numbers = numbers
        loads = [place.load for place in places if place.load is not None]
        behind = settled and are_behind(loads)
        slack = settled and len(loads) == len(places) and have_slack(loads)
        self._behind_since = _since(self._behind_since, now, behind)
        self._slack_since = _since(self._slack_since, now, slack)
        if _lasted(self._behind_since, now, GROW_AFTER_S) and len(places) + leaving < self._bounds.most:
            return self._change(1)
        if _lasted(self._slack_since, now, SHRINK_AFTER_S) and len(places) > self._bounds.least:
            return self._change(-1)
        return 0

    def _change(self, by: int) -> int:
        self._numbers = self._behind_since = self._slack_since = None
        return by


def are_behind(loads: Sequence[Load]) -> bool:
    """Whether due work waits for all of those that tell something."""
    return bool(loads) and all(load.behind for load in loads)


def have_slack(loads: Sequence[Load]) -> bool:
    """Whether one fewer would do, and easily."""
    return not any(load.behind for load in loads) and sum(load.share for load in loads) <= ROOM * (len(loads) - 1)


def _since(since: float | None, now: float, true: bool) -> float | None:
    return (now if since is None else since) if true else None


def _lasted(since: float | None, now: float, for_s: float) -> bool:
    return since is not None and now - since >= for_s
