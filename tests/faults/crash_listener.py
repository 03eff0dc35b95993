"""A subscriber of the feed that outlives its node: cut off, it goes to the next one, with the cursor that it has.

State: ``heard`` is written by ``run`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import trio

from tests.faults.history import StoredEvent
from tests.feed_clients import Closed, Refused, open_websocket
from tests.processes import TickrProcess
from tests.waiting import PAUSE_S, eventually

HEARS_WITHIN_S = 15.0


class Listener:
    """Attributes:
    heard: (job, what) of every event, as it came.
    """

    def __init__(self, nodes: Sequence[TickrProcess]) -> None:
        self._nodes = nodes
        self._cursor = "earliest"
        self.heard: list[tuple[str, str]] = []

    async def run(self) -> None:
        """Follow the feed from its beginning, at the first of the nodes that has not ended, until cancelled."""
        while True:
            for node in [one for one in self._nodes if one.returncode is None][:1]:
                with suppress(OSError, Closed, Refused, trio.BrokenResourceError):
                    await self._follow(node)
            await trio.sleep(PAUSE_S)

    async def _follow(self, node: TickrProcess) -> None:
        async with open_websocket(node.port, f"/events?after={self._cursor}") as feed:
            while True:
                message = await feed.receive()
                self.heard += [(event.subject, event.type.removeprefix("tickr.job.")) for event in message.events]
                self._cursor = message.cursor or self._cursor

    async def has_heard(self, events: Sequence[StoredEvent]) -> None:
        """Return when this was told, in this order, and nothing else. Raises: AssertionError."""
        told = [(event.job, event.what) for event in events]

        async def as_many() -> bool:
            return len(self.heard) >= len(told)

        with suppress(trio.TooSlowError):
            await eventually(as_many, within_s=HEARS_WITHIN_S)
        assert self.heard == told
