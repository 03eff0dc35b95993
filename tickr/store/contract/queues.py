"""What is asked of a store about queues: how deep they are, what has been set on them, and where they stand.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tickr.queues import Controls, JobOrder, Limits, Standing
from tickr.store.answers import COUNT_TO, QueueDepth


class Queues(Protocol):
    """Queues, and what an operator sets on them."""

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        """Return every queue ever used, by name.

        Args:
          count_to: no state of a queue is counted further, >= 1. With very many queues the store ends sooner, and says
            so (``QueueDepth.counted_to``), so that the answer costs the same however much waits.
        """
        ...

    async def control(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        until: int | None = None,
        limits: Limits | None = None,
        order: JobOrder | None = None,
        mark: str = "",
    ) -> Controls:
        """Set something on a queue, which is registered if it was not; None leaves it as it is.

        Every claim on any node that begins after this has returned obeys. What runs already goes on. A change is told
        on the feed (``queues.told``); what is as it was already is none. A pause that is over goes with any call.

        Args:
          until: with ``paused``: the instant at which it is over by itself, microseconds UTC; None: it stays.
          mark: tells this change from others of the queue at the same instant; 0 to 16 hexadecimal digits.
        Returns: what holds from now on.
        """
        ...

    async def drop_queue(self, queue: str, *, mark: str = "") -> None:
        """Forget a queue in which no job is that has not ended: its name, and what is set on it. That is told.

        Jobs that have ended keep its name. The next job that is submitted to it makes it anew, with nothing set on it.
        One that is submitted at this very moment is never lost: its queue is there, named or not (``queue_names``).

        Args:
          mark: as for ``control``.
        Raises: QueueNotFound, QueueNotEmpty.
        """
        ...

    async def standings(self, queues: Collection[str] | None = None) -> list[Standing]:
        """Return where those of ``queues`` (None: of all) stand that are not plain, by name. A read without locks."""
        ...

    async def newest_first(self) -> frozenset[str]:
        """Return the names of the queues whose ``order`` is newest first. A read without locks."""
        ...
