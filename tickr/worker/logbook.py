"""Logbook: the lines that one attempt has logged and that are not on their way yet to be kept with its job.

``notes.py`` tells listeners of lines, a few a second; here all are kept, as far as there is room. The rounds of the
notes take them along, and the attempt's end.

State: ``_said`` is filled by any thread and emptied in trio's. Everything else is written in trio's thread.
"""

from __future__ import annotations

import contextlib
from collections import deque

from tickr.job_log import LINE_BYTES, MOST_IN_PART, part_of
from tickr.jobs import Job
from tickr.reports import Lines

MAX_WAITING = 500
"""Lines of one attempt that wait for the next round; of more, the oldest are left out."""
MAX_IN_LINE = 2 * -(-MAX_WAITING // MOST_IN_PART)
"""So many parts of one attempt are in the line to the store at most: a round's, and those of its end."""
TRIM_SHARE = 8
"""After so many parts of the bound it is looked for what is too old: no more than one of them is too many."""


class Logbook:
    """Bounded. ``job``: the record as it was claimed; ``bound``: so many lines of it are kept, 0 for none."""

    __slots__ = ("_bound", "_fresh_bytes", "_fresh_lines", "_job", "_last", "_last_said", "_said")

    def __init__(self, job: Job, bound: int) -> None:
        self._job = job
        self._bound = bound
        self._said: deque[tuple[int, int, str]] = deque(maxlen=min(MAX_WAITING, bound))
        self._last = self._last_said = 0
        self._fresh_lines = self._fresh_bytes = 0

    def add(self, number: int, at: int, message: str) -> None:
        """Take the line ``number`` that the attempt has said, from 1. Never waits; any thread may call it."""
        self._said.append((number, at, message))

    def take(self, *, ended: bool = False) -> list[Lines]:
        """Return what is to be kept. ``ended``: the attempt says nothing more."""
        said = self._emptied()
        parts = [self._part(said[start : start + MOST_IN_PART]) for start in range(0, len(said), MOST_IN_PART)]
        if parts and (ended or self._is_time()):
            parts[-1] = parts[-1].trimming()
            self._fresh_lines = self._fresh_bytes = 0
        return parts

    def _emptied(self) -> list[tuple[int, int, str]]:
        said = []
        with contextlib.suppress(IndexError):
            while True:
                said.append(self._said.popleft())
        return sorted(said)

    def _part(self, said: list[tuple[int, int, str]]) -> Lines:
        told = []
        for number, at, message in said:
            # With several threads at it, a line may be taken before one that was said a moment earlier.
            told.append((at, max(0, number - self._last_said - 1), message))
            self._last_said = max(self._last_said, number)
        self._last += len(told)
        part = part_of(self._job.fence, self._job.attempt, self._last, told)
        self._fresh_lines += part.count
        self._fresh_bytes += part.size
        return Lines(job=self._job, part=part)

    def _is_time(self) -> bool:
        share = self._bound // TRIM_SHARE
        return self._fresh_lines >= share or self._fresh_bytes >= share * LINE_BYTES
