"""Suspect: a job that one more lost node would end, and so is started singly, so that nothing beside it is blamed."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tickr.jobs import Job

SUSPECT_S = 30.0
"""A suspect that has run for so long and done no harm does not keep the next one waiting any more, in seconds."""


class Suspects:
    """Remembers the last one that was started. ``holds``: whether an attempt (id, fence) has no outcome yet."""

    def __init__(self, holds: Callable[[str, int], bool]) -> None:
        self._holds = holds
        self._last: tuple[Job, float] | None = None

    def started(self, job: Job) -> None:
        self._last = job, trio.current_time()

    @property
    def one_runs(self) -> bool:
        """Whether one runs of which it is not known yet that it does no harm."""
        if self._last is None:
            return False
        job, at = self._last
        return self._holds(job.id, job.fence) and trio.current_time() - at < SUSPECT_S
