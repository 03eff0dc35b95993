"""A watch, on one job say: it tells that something has happened to it, and nothing more.

For whoever waits for a job to change, or for jobs to come: open the watch, then read. What happened before shows in
what was read; whatever is committed later wakes the watch, as the tail has told only of rows that were committed by
then. A lost ring of the bell costs a second, as for everybody who listens.

State: written by the tail (``offer``, ``end``), by ``ring``, and by the one task that waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tickr.errors import FeedError
from tickr.events import CHANGES
from tickr.feed.delivery import Delivery
from tickr.feed.selection import Selection


def of_job(job_id: str) -> Selection:
    """Return every change of one job."""
    return Selection(jobs=frozenset({job_id}), events=frozenset(CHANGES))


class Watch:
    """Made by ``Feed.watch``.

    Attributes:
      selection: what wakes it; of one job (``of_job``) every change, and nothing that it says while it runs.
      lost: the log cannot be followed from here on: nothing more will come, and another watch is needed.
    """

    in_frames = False

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.lost = False
        self._rung = trio.Event()

    async def wait(self) -> None:
        """Return once something has happened since the last return. Cancellation: the next call returns for it."""
        await self._rung.wait()
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake whoever waits, for a reason of one's own."""
        self._rung.set()

    # -- for the tail -------------------------------------------------------------------------------------------------

    def offer(self, page: Sequence[Delivery]) -> bool:
        """See ``Listener``."""
        self._rung.set()
        return True

    def end(self, reason: FeedError) -> None:
        """See ``Listener``."""
        self.lost = True
        self._rung.set()
