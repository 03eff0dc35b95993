"""Speech: what ``job.progress`` and ``job.log`` take, and what they give back to be awaited.

Comes in: what a handler says, which may be anything. Goes out: numbers and texts that can be stored and shown; or an
error that is the handler's own. ``notes.py`` has what becomes of them.
"""

from __future__ import annotations

import numbers
from collections.abc import Awaitable, Generator

import trio

from tickr.worker.notes import cut


def read_fraction(given: object) -> float:
    """Return how far it is. Raises: TypeError, ValueError: it is no number from 0 to 1."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    if given < 0 or not given <= 1:  # nothing compares with NaN
        raise ValueError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    return abs(float(given))  # there is a -0.0


def read_text(method: str, message: object, limit: int) -> str:
    """Return the message, cut after ``limit`` characters. Raises: TypeError: it is none."""
    if not isinstance(message, str):
        raise TypeError(f"{method} takes a message that is a str, not {message!r:.100}")
    return cut(message, limit)


def said() -> Awaitable[None]:
    """Return what who has said something awaits: a checkpoint in trio, nothing in a thread."""
    return job_progress_or_log() if trio.lowlevel.in_trio_task() else _SAID


async def job_progress_or_log() -> None:
    """Named for Python's warning to who forgot the ``await``."""
    await trio.lowlevel.checkpoint()


class _Said:
    """What there is to await in a thread: nothing, and nobody has to."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_SAID = _Said()
