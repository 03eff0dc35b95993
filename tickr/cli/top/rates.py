"""How many jobs a second come and end, by queue, counted from what the feed tells.

``Tally`` is written by the thread that listens and emptied by the loop, so it has a lock; ``Rates`` are what came of
it. Both are bounded: the last seconds only, so many queues, so many events of the one job that is watched.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tickr.cli.subscription import RemoteEvent

WINDOW_S = 10
"""A rate is the mean of so many whole seconds."""
MAX_QUEUES = 1000
"""Queues that are counted one by one; all are in the sum."""
KEPT_EVENTS = 200

INTO = frozenset({"created", "redriven"})
OUT_OF = frozenset({"succeeded", "failed", "cancelled"})

Counts = Counter[tuple[str, bool]]


@dataclass(frozen=True)
class Rate:
    """Jobs a second: submitted or started over; ended."""

    into: float = 0.0
    out: float = 0.0


@dataclass(frozen=True)
class Rates:
    """``known``: whether there is anything to tell yet."""

    known: bool = False
    all: Rate = Rate()
    queues: Mapping[str, Rate] = field(default_factory=dict)

    def of(self, queue: str) -> Rate:
        return self.queues.get(queue, Rate())


class Tally:
    """Counts events as they come. Safe to use from two threads.

    Args:
      now: seconds that only grow.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seconds: deque[tuple[int, Counts]] = deque(maxlen=WINDOW_S + 1)
        self._events: deque[RemoteEvent] = deque(maxlen=KEPT_EVENTS)
        self._began: float | None = None
        self._queues: set[str] = set()
        self.watched: str | None = None
        """The job whose events are kept, not only counted."""

    def begin(self) -> None:
        """Forget what was counted: the connection is a new one, and what was before may have gaps."""
        with self._lock:
            self._seconds.clear()
            self._queues.clear()
            self._began = self._now()

    def end(self) -> None:
        """Nobody tells anything any more."""
        with self._lock:
            self._began = None

    def add(self, event: RemoteEvent) -> None:
        with self._lock:
            if event.subject == self.watched:
                self._events.append(event)
            job = event.data.job
            if job is None or event.what not in INTO | OUT_OF:
                return
            second, into = int(self._now()), event.what in INTO
            if not self._seconds or self._seconds[-1][0] != second:
                self._seconds.append((second, Counter()))
            if job.queue in self._queues or len(self._queues) < MAX_QUEUES:
                self._queues.add(job.queue)
                self._seconds[-1][1][job.queue, into] += 1
            self._seconds[-1][1]["", into] += 1

    def events(self) -> list[RemoteEvent]:
        """Take the events of the watched job that have come since."""
        with self._lock:
            found = list(self._events)
            self._events.clear()
            return found

    def rates(self) -> Rates:
        with self._lock:
            if self._began is None:
                return Rates()
            now = self._now()
            # The second that is not over yet is left out, or every rate would sink at its beginning.
            whole_s = min(WINDOW_S, int(now) - int(self._began))
            if whole_s < 1:
                return Rates()
            sums: Counts = Counter()
            for second, counts in self._seconds:
                if int(now) - whole_s <= second < int(now):
                    sums.update(counts)
        names = {name for name, _ in sums}
        rates = {name: Rate(sums[name, True] / whole_s, sums[name, False] / whole_s) for name in names}
        return Rates(True, rates.pop("", Rate()), rates)
