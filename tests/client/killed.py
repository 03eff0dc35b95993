"""A Tickr that is killed again and again while it is asked, and comes back on the same port and the same data."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.processes import TickrProcess

LIFE = (0.5, 1.5)
"""How long each life lasts, at random: so many times as long as its start took, which is about 1 s."""


class KilledTickr(TickrProcess):
    """Attributes:
    kills: how often it was killed so far. Written by the thread that does it.
    """

    kills = 0

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Kill it for the length of the block, for the first time at once. At the end it is ready, and left alone."""
        over = threading.Event()
        failures: list[BaseException] = []
        supervisor = threading.Thread(target=self._supervise, args=(over, failures))
        supervisor.start()
        try:
            yield
        finally:
            over.set()
            supervisor.join()
        if failures:
            raise failures[0]

    def _supervise(self, over: threading.Event, failures: list[BaseException]) -> None:
        alive_s = 0.0
        try:
            while not over.wait(alive_s):
                self.kill()
                self.kills += 1
                begun = time.monotonic()
                self.start()
                alive_s = random.uniform(*LIFE) * (time.monotonic() - begun)
        except BaseException as error:
            failures.append(error)
