"""Load: how much of what this node can do it does, and whether due work waits that it could not take.

Comes in: what the claim loop, the pool and the index know anyway. Goes out: a ``Load`` whenever somebody asks, as who
decides how many processes there are does (``tickr/processes/scaling.py``). Nothing is measured while nobody asks.

State: how long there was nothing to claim is written by the claim loop; where the last reading was, by ``Gauge`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

import trio

from tickr.errors import IndexUnavailable

EMPTY_S = 0.1
"""Who waits so long for a job, in seconds, has nothing to do. Less may be the way to the index and back."""


class Load(NamedTuple):
    """What a node does.

    Attributes:
      share: of its slots those that are taken, or of one processor what the process used since the last reading,
        whichever is more; about 0 to 1, and more where handlers use several processors.
      behind: it had something to claim all the time since then, and there is more.
    """

    share: float
    behind: bool


class Appetite:
    """When there was nothing to claim last. Each wait for something is a block of it, one at a time."""

    def __init__(self) -> None:
        self._waits_since: float | None = None
        self._empty_at = float("-inf")

    def __enter__(self) -> None:
        self._waits_since = trio.current_time()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._empty_at, self._waits_since = self.empty_at, None

    @property
    def empty_at(self) -> float:
        """When, by trio's clock; now, if there is nothing now."""
        now = trio.current_time()
        waits = self._waits_since is not None and now - self._waits_since >= EMPTY_S
        return now if waits else self._empty_at


class Slots(Protocol):
    """``Pool`` in ``pool.py``."""

    @property
    def free(self) -> int: ...


class Queues(Protocol):
    """``Gates`` in ``gates.py``."""

    @property
    def open(self) -> Sequence[str]: ...


class Ready(Protocol):
    """The index."""

    async def has_ready(self, queues: Sequence[str]) -> bool: ...


class Loop(Protocol):
    """``Claimer`` in ``claim.py``."""

    appetite: Appetite

    @property
    def takes(self) -> bool: ...


class Gauge:
    """Reads one node's load. ``slots``: how many it has; written by ``Worker`` when that is changed."""

    def __init__(self, index: Ready, queues: Queues, loop: Loop, pool: Slots, slots: int) -> None:
        self._index = index
        self._queues = queues
        self._loop = loop
        self._pool = pool
        self._read_at: tuple[float, float] | None = None  # by trio's clock, and in processor time
        self.slots = slots

    async def read(self) -> Load | None:
        """Return the load since the last reading.

        Returns: None if that would say nothing: the first time, and while the node takes no work, be it that it is told
          to or that the store is away. While the index is away nobody knows whether more waits: then it is not behind.
        """
        before, self._read_at = self._read_at, (trio.current_time(), time.process_time())
        if before is None or not self._loop.takes:
            return None
        passed, used = (now - then for now, then in zip(self._read_at, before, strict=True))
        share = max(1 - self._pool.free / self.slots, used / passed if passed else 0.0)
        return Load(share, self._loop.appetite.empty_at < before[0] and await self._is_more())

    async def _is_more(self) -> bool:
        try:
            return await self._index.has_ready(self._queues.open)
        except IndexUnavailable:
            return False
