"""Retirement: when a process of ``run_in="process"`` has done enough, and another takes its place.

A program that leaks a little with each job, or never gives back what one large job took, is kept small by it. Asked in
the process itself, after each job: nothing is cut off. Knows nothing of trio, so that a process need not import it.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import NamedTuple

_STATM = "/proc/self/statm"


class Bounds(NamedTuple):
    """After how many jobs, and with how much resident memory (bytes) after a job, a process ends. None: never."""

    jobs: int | None = None
    memory_bytes: int | None = None


UNBOUNDED = Bounds()


class Retirement:
    """Asked once after each job of a process; each process has its own."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._done = 0

    def __call__(self) -> bool:
        """Return whether the process has done enough."""
        self._done += 1
        jobs, memory_bytes = self._bounds
        if jobs is not None and self._done >= jobs:
            return True
        return memory_bytes is not None and memory_used() > memory_bytes


def memory_used() -> int:
    """Return how much of this process is in memory, in bytes; where nobody tells, the most that ever was."""
    try:
        with open(_STATM) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
