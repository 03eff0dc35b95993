"""Bookmark: what an attempt keeps for the attempts after it, and what those before it have kept.

``tickr.Job`` brings values in and asks for them, from whatever thread the handler runs in. A value goes to the store in
the line of the notes and outcomes, so before the attempt's outcome; who keeps one waits until it is stored. Of one
attempt at most one is on its way: of those that came meanwhile the last goes next, and counts for all of them.

State: all of it is written in trio's thread; other threads come in through ``trio.from_thread``.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import trio

from tickr.encoding import Unencodable, encode
from tickr.jobs import Job
from tickr.reports import Checkpoint

MAX_CHECKPOINT_BYTES = 64 * 1024
"""How long a checkpoint may be, as JSON text in UTF-8."""
MAX_IN_LINE = 2
"""So many checkpoints of one attempt are in the line at most: one on its way, and the last word of its end."""


def written(value: Any) -> str:
    """Return ``value`` as JSON text. Raises: TypeError: there is no JSON for it. ValueError: it is too long."""
    try:
        text = encode(value)
    except Unencodable as error:
        raise TypeError(f"checkpoint takes what JSON can hold: {error.pointer or 'it'} {error.detail}") from error
    if len(text) > MAX_CHECKPOINT_BYTES:
        raise ValueError(f"the checkpoint has {len(text)} bytes; at most {MAX_CHECKPOINT_BYTES} are kept")
    return text.decode()


class Keeper(Protocol):
    """Who has the line to the store; ``Outcomes`` in ``outcomes.py``."""

    def keep(self, checkpoint: Checkpoint) -> trio.Event:
        """Take a checkpoint, never waiting, and return what is set when it is stored."""
        ...

    async def recall(self, job: Job) -> str | None:
        """Return the checkpoint of ``job``, waiting for as long as the store is away."""
        ...


class Bookmark:
    """What one attempt has kept. ``job``: the record as it was claimed. ``token``: of the trio that this is in."""

    __slots__ = ("_job", "_keeper", "_last", "_lock", "_on_its_way", "_said", "_stored", "_token")

    def __init__(self, job: Job, keeper: Keeper, token: trio.lowlevel.TrioToken) -> None:
        self._job = job
        self._keeper = keeper
        self._token = token
        self._lock = trio.Lock()
        self._last: str | None = None
        self._said = 0  # how many values have come, and up to which of them they are stored
        self._stored = 0
        self._on_its_way: tuple[int, trio.Event] | None = None

    def keep(self, text: str) -> Any:
        """Keep ``text``: in a thread when it returns, in trio when what it returns has been awaited."""
        if is_in(self._token):
            return self.job_checkpoint(text)
        return trio.from_thread.run(self.job_checkpoint, text, trio_token=self._token)

    def recall(self, default: Any) -> Any:
        """Return the last value: in a thread itself, in trio what is awaited for it."""
        if is_in(self._token):
            return self.job_resume(default)
        return trio.from_thread.run(self.job_resume, default, trio_token=self._token)

    async def job_checkpoint(self, text: str) -> None:
        """Named for Python's warning to who forgot the ``await``. Cancellation: it is kept with the attempt's end."""
        self._last = text
        self._said = mine = self._said + 1
        async with self._lock:
            while self._stored < mine:
                number, stored = self._on_its_way = self._on_its_way or self._sent()
                await stored.wait()
                self._stored, self._on_its_way = number, None

    async def job_resume(self, default: Any) -> Any:
        if self._last is not None or self._job.fence <= 1:  # nobody was there before the first start
            await trio.lowlevel.checkpoint()
            text = self._last
        else:
            text = await self._keeper.recall(self._job)
        return default if text is None else msgspec.json.decode(text)

    def close(self) -> None:
        """The attempt has ended: what it said last and could not wait for goes in front of its outcome."""
        if self._said > (self._on_its_way[0] if self._on_its_way else self._stored):
            self._sent()

    def _sent(self) -> tuple[int, trio.Event]:
        assert self._last is not None, "a value has come"
        return self._said, self._keeper.keep(Checkpoint(job=self._job, value=self._last))


def is_in(token: trio.lowlevel.TrioToken) -> bool:
    """Whether this is a task of that very trio: a thread of a handler may have one of its own."""
    return trio.lowlevel.in_trio_task() and trio.lowlevel.current_trio_token() is token
