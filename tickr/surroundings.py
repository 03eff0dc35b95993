"""What a node takes for granted, unless it is one of ``tickr.testing``: real time, neighbours, chance. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple


class Surroundings(NamedTuple):
    """How it is where a node lives.

    Attributes:
      stretch: how many times longer than usual its slow safety nets wait. More than 1 is for a node that is alone with
        a store and an index in its own memory: nothing happens there that it is not told of.
      chance: returns 0 <= x < 1, for the jitter of back-offs.
      blocked_s: a handler that blocks the event loop is dealt with as if the lease were so long, in seconds of real
        time, which those of the lease are not where time is virtual; None: as the lease is.
    """

    stretch: float = 1.0
    chance: Callable[[], float] = random.random
    blocked_s: float | None = None


USUAL = Surroundings()
