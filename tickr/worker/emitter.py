"""Emitter: the application's own events, which an attempt puts on the feed with ``Job.emit``.

They say what the application wants to be known, so none is left out as a line or a progress is: who emits one waits
until it is stored. Each attempt has at most ``EMITTED_A_SECOND`` in any second; who is faster waits for his turn.

State: all of it is written in trio's thread; other threads come in through ``trio.from_thread``.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import trio

from tickr.worker.bookmark import is_in
from tickr.worker.notes import Notepad

EMITTED_A_SECOND = 10
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"
"""What the name of an event looks like, whole."""

_is_name = re.compile(NAME_PATTERN, re.ASCII).fullmatch


def is_event_name(name: str) -> bool:
    return _is_name(name) is not None


def read_name(name: object) -> str:
    """Return the name of an event. Raises: TypeError, ValueError: it is none."""
    if not isinstance(name, str):
        raise TypeError(f"emit takes a name that is a str, not {name!r:.100}")
    if not is_event_name(name):
        raise ValueError(f"an event's name has up to 100 letters, digits and _ . : -, unlike {name!r:.100}")
    return name


class Emitter:
    """What one attempt emits. ``pad``: of the same attempt. ``token``: of the trio that this is in."""

    __slots__ = ("_emitted_at", "_lock", "_on_its_way", "_pad", "_token")

    def __init__(self, pad: Notepad, token: trio.lowlevel.TrioToken) -> None:
        self._pad = pad
        self._token = token
        self._lock = trio.Lock()
        self._emitted_at: deque[float] = deque(maxlen=EMITTED_A_SECOND)
        self._on_its_way: trio.Event | None = None

    def emit(self, name: str, data: str) -> Any:
        """Emit: in a thread when it returns, in trio when what it returns has been awaited."""
        if is_in(self._token):
            return self.job_emit(name, data)
        return trio.from_thread.run(self.job_emit, name, data, trio_token=self._token)

    async def job_emit(self, name: str, data: str) -> None:
        """Named for Python's warning to who forgot the ``await``. Cancellation: it is told or not."""
        async with self._lock:
            await self._turn()
            if self._pad.closed:
                raise RuntimeError("this attempt has ended; what it would emit counts for nothing")
            self._emitted_at.append(trio.current_time())
            self._on_its_way = self._pad.tell(name, data)
            await self._on_its_way.wait()

    async def _turn(self) -> None:
        """Wait until the one before is stored, also where its caller has not, and for the rate."""
        if self._on_its_way is not None:
            await self._on_its_way.wait()
        if len(self._emitted_at) == EMITTED_A_SECOND:
            await trio.sleep_until(self._emitted_at[0] + 1)
