"""Endings: what a handler raises to say what shall become of its job, where returning and failing do not say enough.

    RetryLater   the attempt is spent, the next one comes after exactly so long
    Snooze       nothing to do yet: look again after exactly so long, and no attempt is spent
    GiveUp       no attempt will ever succeed: failed
    Drop         there is nothing to be done any more, and that is no failure: cancelled

``run.py`` makes the attempt's outcome of them. They are public as ``tickr.RetryLater`` and so on.
"""

from __future__ import annotations

import math
from typing import ClassVar

from tickr import retry
from tickr.names import QUEUE_PATTERN, is_queue
from tickr.queues import MAX_PAUSE_S


class Later(Exception):
    """What both exceptions are that name a time: run again after exactly ``seconds``. The back-off is not asked.

    Args:
      queue, priority: where the job waits from now on; None: where it did.
      hold_queue: none of the jobs of its queue is started before, on any node: whom they all ask wants a rest.
    """

    least_s: ClassVar[float] = 0.0

    def __init__(
        self,
        seconds: float,
        reason: str = "The handler asked to be run again later.",
        *,
        queue: str | None = None,
        priority: int | None = None,
        hold_queue: bool = False,
    ) -> None:
        if not (math.isfinite(seconds) and self.least_s <= seconds <= retry.MAX_DELAY_S):
            bounds = f"{self.least_s:g} to {retry.MAX_DELAY_S:g} seconds"
            raise ValueError(f"{type(self).__name__} takes {bounds}, not {seconds!r}")
        if hold_queue and seconds > MAX_PAUSE_S:
            raise ValueError(f"a queue is held up for {MAX_PAUSE_S:.0f} seconds at most, not {seconds!r}")
        if queue is not None and not is_queue(queue):
            raise ValueError(f"{queue!r} is not the name of a queue; one looks like {QUEUE_PATTERN}")
        if priority is not None and priority not in range(10):
            raise ValueError(f"a priority is a whole number from 0 to 9, not {priority!r}")
        super().__init__(seconds, reason)
        self.seconds = seconds
        self.reason = reason
        self.queue = queue
        self.priority = priority
        self.hold_queue = hold_queue

    @property
    def hold_us(self) -> int:
        """For how long its queue is held up, microseconds; 0: it is not."""
        return int(self.seconds * 1_000_000) if self.hold_queue else 0

    def __str__(self) -> str:
        return self.reason


class RetryLater(Later):
    """Raised by a handler: this attempt came to nothing, start the next one after exactly ``seconds``.

    It spends an attempt as any error does: after the last one the job is failed (kind ``retry_later``).
    """


class Snooze(Later):
    """Raised by a handler: there is nothing to do yet, look again after exactly ``seconds``.

    The job is ``scheduled`` again, and this start did not count (kind ``snoozed``): it may be put off as often as it
    takes, or until its ``expires_at``. So that it does not go round without end at full speed, not for less than 0.1 s.
    """

    least_s = 0.1


class GiveUp(Exception):
    """Raised by a handler: no attempt will ever succeed. The job is failed at once (kind ``give_up``)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Drop(Exception):
    """Raised by a handler: there is nothing to be done any more, and that is no failure.

    The job is ``cancelled`` at once (kind ``dropped``), so it is no dead letter and nobody is alarmed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
