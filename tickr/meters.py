"""Meters: what the parts of a node count about themselves while they work. Pure.

Each part has its own and alone writes them; whoever tells of the node reads them (``metrics/``). Writing is a few
additions, so that it can stand on every path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what a service waits for."""
JOB_SECONDS = tuple(2**power / 1e6 for power in range(10, 32))
"""Bounds for jobs: from a millisecond to 36 minutes, doubling. They end buckets of ``tallies.py``: counts are exact."""
ITEMS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Bounds for how much goes together."""


OTHER = "other"
"""The label of what has none of its own, so that there are never very many."""


class Histogram:
    """How often what was measured fell where.

    Attributes:
      bounds: upper ones, inclusive, ascending.
      counts: one for each bound, and one for what is above all of them.
      sum: of all that was measured.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Batches:
    """What is done many at a time: with how many ``items`` each time, and in how many ``seconds``."""

    __slots__ = ("items", "seconds")

    def __init__(self) -> None:
        self.items = Histogram(ITEMS)
        self.seconds = Histogram(SECONDS)

    def note(self, items: int, seconds: float) -> None:
        self.items.observe(items)
        self.seconds.observe(seconds)


class Requests:
    """Answered requests.

    Attributes:
      answers: how many, by route, method and status.
      seconds: until their answers began, by route and method.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, str], int] = {}
        self.seconds: dict[tuple[str, str], Histogram] = {}

    def count(self, route: str, method: str, status: int) -> None:
        """Count one. What clients make up has no route or method of its own: otherwise there were no bound."""
        key = route, method, str(status)
        self.answers[key] = self.answers.get(key, 0) + 1

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one, answered after so many ``seconds``. ``route`` and ``method`` are out of few, as for ``count``."""
        self.count(route, method, status)
        times = self.seconds.get((route, method))
        if times is None:
            times = self.seconds[route, method] = Histogram(SECONDS)
        times.observe(seconds)
