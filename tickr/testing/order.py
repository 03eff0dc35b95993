"""Order: which of several tasks runs first that could run at once. trio throws dice; here it follows from a seed.

The same test has the same order each time, wherever it runs, and however long it takes: a task's place among the others
depends on how many tasks were begun before it in the test, and on the seed, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

_ODD = 0x9E3779B97F4A7C15
_BITS = (1 << 64) - 1


class _Order:
    """In the place of trio's ``random.Random``, of which it uses these two."""

    def __init__(self, seed: int) -> None:
        self._seed = seed * _ODD
        self._first = _number(trio.lowlevel.current_task())

    def shuffle(self, batch: list[trio.lowlevel.Task]) -> None:
        if len(batch) > 1:
            batch.sort(key=self._place)

    def random(self) -> float:
        return 0.5

    def _place(self, task: trio.lowlevel.Task) -> int:
        mixed = (_number(task) - self._first + self._seed) * _ODD & _BITS
        return mixed ^ mixed >> 29


def _number(task: trio.lowlevel.Task) -> int:
    """Return trio's own number of a task: it grows with each that is begun."""
    return int(task._counter)


@contextmanager
def in_order(seed: int) -> Iterator[None]:
    """A block in trio in which the order of tasks follows from ``seed``. It sets what Hypothesis sets for the same."""
    runner: Any = trio._core._run
    before = runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r
    runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r = True, _Order(seed)
    try:
        yield
    finally:
        runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r = before
