"""Turns: in which order a node looks into its queues. Pure.

    Turns()                            another queue in front each time, so that none starves another
    Turns((("urgent", None), ...))     ranks: these first, always in this order; the others have turns behind them
    Turns((("mail", 3), ("log", 1)))   weights: of four jobs three are of ``mail``; who is not named weighs 1

A look takes jobs of the first queue that has any. Weights go by smooth weighted round-robin (I. Sysoev, nginx,
``upstream: smooth weighted round-robin balancing``, 2012), counted in jobs: turns are spread evenly, and nothing is
left to chance. A queue that had nothing saves nothing up, as in deficit round-robin (Shreedhar, Varghese, 1995): what
it has in hand goes to the others.

State: how often it was asked, and what each queue has in hand, are written here only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tickr.queues import Order


class Turn(NamedTuple):
    """The queues to look into: those with a rank, then the others."""

    ranked: list[str]
    others: list[str]


class Turns:
    """The order of one node."""

    def __init__(self, order: Order = ()) -> None:
        self._weights = {name: weight for name, weight in order if weight is not None}
        self._ranks = [name for name, weight in order if weight is None]
        self._in_hand: dict[str, float] = {}
        self._last: list[str] = []
        self._asked = 0

    def next(self, names: Sequence[str]) -> Turn:
        """Return ``names``, 1 or more, in the order for one look."""
        if self._weights:
            return Turn([], self._weighed(names))
        self._asked += 1
        start = self._asked % len(names)
        if not self._ranks:
            return Turn([], [*names[start:], *names[:start]])
        there = set(names)
        others = [name for name in (*names[start:], *names[:start]) if name not in self._ranks]
        return Turn([name for name in self._ranks if name in there], others)

    def took(self, queue: str, count: int) -> None:
        """Count that the look with what ``next`` returned last brought ``count`` jobs of ``queue``."""
        if not self._weights or queue not in self._last:
            return
        place = self._last.index(queue)
        weights = {name: self._weights.get(name, 1) for name in self._last[place:]}
        total = sum(weights.values())
        left = sum(self._in_hand.pop(name, 0.0) for name in self._last[:place])
        for name, weight in weights.items():
            self._in_hand[name] = self._in_hand.get(name, 0.0) + weight * (count + left / total)
        self._in_hand[queue] -= total * count

    def _weighed(self, names: Sequence[str]) -> list[str]:
        self._last = sorted(names, key=lambda name: -self._in_hand.get(name, 0) - self._weights.get(name, 1))
        return list(self._last)
