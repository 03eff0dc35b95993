"""Pace: how many jobs end here in a moment, and so how many may be claimed before there is a slot for them.

A claim takes some milliseconds. Of jobs that take less, the slots alone would make small claims, each nearly as dear as
a large one, and nothing to run meanwhile. So while jobs end quickly, a node claims ahead what it will start within
``AHEAD_S``. A node whose jobs take long, or that has just begun, claims nothing ahead.

State: written here only, in trio's thread.
"""

from __future__ import annotations

import trio

AHEAD_S = 0.1
"""A job that is claimed ahead is expected to start within so many seconds."""
LOOK_S = 0.02
"""The pace is that of the last time as long as this at least, in seconds."""
MAX_AHEAD = 1_000
"""At most so many jobs are claimed ahead."""


class Pace:
    """Counts what ends; asked by the claim loop before each claim."""

    def __init__(self) -> None:
        self._ended = 0
        self._since = -1.0
        self._ahead = 0

    def job_ended(self) -> None:
        self._ended += 1

    def ahead(self) -> int:
        """Return how many jobs will end within ``AHEAD_S`` if it goes on as it did, at most ``MAX_AHEAD``."""
        now = trio.current_time()
        if (elapsed := now - self._since) >= LOOK_S:
            self._ahead = min(int(self._ended / elapsed * AHEAD_S), MAX_AHEAD)
            self._since, self._ended = now, 0
        return self._ahead
