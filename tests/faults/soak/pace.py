"""How much longer than alone a process takes here, because others want the processors too.

What is promised in seconds is promised on a machine that lets a node run when it has work. A soak shares its machine
with its own servers, now and then with strangers: so it measures what it gets, and allows so many times the seconds.
"""

from __future__ import annotations

import time
from statistics import fmean

import trio

PIECE_S = 0.02
"""Of processor time: several of the kernel's slices, so that others come in between if they want to."""
EVERY_S = 1.0
TOGETHER = 15
"""The worst of so many pieces in a row counts: a minute of calm does not make up for a burst."""


class Pace:
    """State: the pieces so far, written by ``watch``."""

    def __init__(self) -> None:
        self._pieces: list[float] = []

    async def watch(self) -> None:
        """Work for a piece at a time until cancelled, and see how long it took."""
        while True:
            await trio.sleep(EVERY_S)
            began, worked = time.monotonic(), time.thread_time()
            while (done := time.thread_time() - worked) < PIECE_S:
                pass
            self._pieces.append((time.monotonic() - began) / done)

    @property
    def stretch(self) -> float:
        """Seconds here for each second of a process that has a processor for itself: 1 or more."""
        rows = [self._pieces[i : i + TOGETHER] for i in range(max(1, len(self._pieces) - TOGETHER + 1))]
        return max((fmean(row) for row in rows if row), default=1.0)
