"""How long to wait before the next try: full jitter, doubling, and never before the server wants to be asked again.

Full jitter (anything from 0 to a bound that doubles) spreads the clients of a server that comes back; of all usual
ways it gets everybody through soonest with the fewest requests. Pure: chance and the clock are handed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

FIRST_S = 0.1
"""Bound of the first pause, in seconds; each after it may be twice as long …"""
LONGEST_S = 5.0
"""… up to this."""
LEAST_TRY_S = 0.1
"""With less time than this left no try is begun, in seconds: cut short, it would only make the outcome uncertain."""
MAX_RETRY_AFTER_S = 3600.0
"""A ``Retry-After`` above this is taken for this, in seconds."""


class Pauses:
    """The pauses of one line of tries. ``not_before``: by the caller's clock, when the next try may begin."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failures = 0
        self.not_before = 0.0

    @property
    def has_failed(self) -> bool:
        """Whether the last try has."""
        return self._failures > 0

    def failed(self, now: float, retry_after_s: float = 0.0) -> None:
        """A try got no answer, or was told to come again in ``retry_after_s`` seconds."""
        bound = min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        # What the server says is the least; the jitter on top keeps its clients from coming all at once.
        self.not_before = max(self.not_before, now + retry_after_s + self._chance() * bound)

    def succeeded(self) -> None:
        self._failures = 0
        self.not_before = 0.0


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return how long the answer with these headers wants to be left alone, in seconds; 0 if it does not say."""
    try:
        wanted = float(headers.get("retry-after", "0"))
    except ValueError:  # a date: its clock is not ours
        return 0.0
    return min(max(0.0, wanted), MAX_RETRY_AFTER_S) if wanted == wanted else 0.0
