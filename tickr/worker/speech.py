"""Speech: what ``job.progress`` and ``job.log`` take, and what they give back to be awaited.

Comes in: what a handler says, which may be anything. Goes out: numbers and texts that can be stored and shown; or an
error that is the handler's own. ``notes.py`` has what becomes of them.
"""

from __future__ import annotations

import numbers
from collections.abc import Awaitable, Generator, Mapping
from typing import Any

import trio

from tickr.encoding import Unencodable, encode
from tickr.worker.notes import MAX_PROGRESS_MESSAGE, cut


def read_fraction(given: object) -> float:
    """Return how far it is. Raises: TypeError, ValueError: it is no number from 0 to 1."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    if given < 0 or not given <= 1:  # nothing compares with NaN
        raise ValueError(f"progress takes a number from 0 to 1, not {given!r:.100}")
    return abs(float(given))  # there is a -0.0


MAX_DATA_BYTES = 16 * 1024
"""How long data that is told on the feed may be, as JSON text in UTF-8."""


def read_progress(message: object, data: object) -> tuple[str | None, str | None]:
    """Return the words, and the data as JSON text, whichever came in the place of the message.

    Raises: TypeError, ValueError: see ``read_text`` and ``read_data``.
    """
    if isinstance(message, Mapping | list | tuple):
        if data is not None:
            raise TypeError("progress takes data once: in the place of the message, or as data=")
        message, data = None, message
    text = None if message is None else read_text("progress", message, MAX_PROGRESS_MESSAGE)
    return text, None if data is None else read_data("progress", data)


def read_data(method: str, data: Any) -> str:
    """Return ``data`` as JSON text. Raises: TypeError: there is no JSON for it. ValueError: it is too long."""
    try:
        text = encode(data)
    except Unencodable as error:
        raise TypeError(f"{method} takes data that JSON can hold: {error.pointer or 'it'} {error.detail}") from error
    if len(text) > MAX_DATA_BYTES:
        raise ValueError(f"the data of {method} has {len(text)} bytes; at most {MAX_DATA_BYTES} are told")
    return text.decode()


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
