"""The bell: hints between tasks and processes that something changed. Losing a ring costs time, never truth.

A ring is heard by every listener of this process at once, and by those of other processes if the bell is shared
(Redis pub/sub). Whoever listens also has a slow net of its own (a poll of a second or more), so rings are sent without
waiting for anybody, dropped when a listener's buffer is full, and dropped in silence while Redis is away.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec
import trio


class Ring(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hint.

    Attributes:
      kind: ``due``: something was put into the index that is due at ``at``. ``work``: something may be claimed.
        ``cancel``: the running job ``job`` shall be stopped. ``queue``: a queue was used for the first time.
        ``audit``: the index may lack something.
      at: microseconds UTC, with ``due``.
      job: job id, with ``cancel``.
    """

    kind: Literal["due", "work", "cancel", "queue", "audit"]
    at: int | None = None
    job: str | None = None


class Bell(Protocol):
    async def ring(self, *rings: Ring) -> None:
        """Send hints. Never raises for a bell that is away. Cancellation: some may have been heard."""
        ...

    def listen(self, *kinds: str) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Ring]]:
        """Open a listener for ``kinds`` (at least one). Rings sent from inside the block on are heard, in order.

        The channel holds up to 256 rings; when it is full, new ones are dropped for this listener.
        """
        ...
