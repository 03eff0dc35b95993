"""A Tickr that is killed again and again while it is asked, and comes back on the same port and the same data.

It is killed from outside at any moment, and dies by itself over some of its commits and answers: so the calls of every
test meet a server that is not there, and some of them lose the answer to what was done.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.children import POLL_S, NotReady
from tests.processes import TickrProcess
from tickr.failpoints import VARIABLE

DEATHS = "store.after_commit=kill@4%,api.before_answer=kill@10%"
STARTS = 10
"""So many starts one after the other may end before it is ready: it dies over the commits of a start as well."""
LIFE = (1.0, 2.0)
"""How long a life lasts at most, at random: so many times as long as its start took, or a second."""


class KilledTickr(TickrProcess):
    """Arguments as of ``TickrProcess``.

    Attributes:
      kills: how often it died so far. Written by the thread that brings it back.
    """

    ready_within_s = 120.0  # one that starts slowly, as everything does there, is not to be killed for it over and over

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.variables[VARIABLE] = DEATHS
        self.kills = 0

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

    def start(self, *, wait: bool = True) -> None:
        for left in reversed(range(STARTS)):
            try:
                super().start(wait=wait)
                break
            except NotReady:
                self.kills += 1
                if not left:
                    raise

    def _supervise(self, over: threading.Event, failures: list[BaseException]) -> None:
        until = 0.0
        try:
            while not over.is_set() or not self.running:
                if self.running and time.monotonic() < until:
                    over.wait(POLL_S)
                    continue
                self.kill()
                self.kills += 1
                begun = time.monotonic()
                self.start()
                until = time.monotonic() + random.uniform(*LIFE) * max(1.0, time.monotonic() - begun)
        except BaseException as error:
            failures.append(error)
