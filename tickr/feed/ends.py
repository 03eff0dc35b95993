"""Ends: gathers the ids of jobs that end, or wait for their children from now on, for whoever has something to do then.

Open it, then look at the jobs: what ended before shows there, whatever ends later is gathered. A lost ring of the bell
costs a second, as for everybody who listens.

State: written by the tail (``offer``, ``end``) and by the one task that takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tickr.errors import FeedError
from tickr.events import Event
from tickr.feed.delivery import Delivery
from tickr.feed.selection import Selection
from tickr.jobs import FINAL, State

MAX_GATHERED = 20_000
"""Beyond so many ids that nobody has taken they are dropped, and whoever gathers is ``lost``."""

_WORTH_A_LOOK = FINAL | {State.BLOCKED}


class Ends:
    """Made by ``Feed.ends``.

    Attributes:
      lost: nothing more will come, or something has been dropped: another one is needed, and another look.
    """

    in_frames = False

    def __init__(self, jobs: frozenset[str]) -> None:
        self.selection = Selection(jobs=jobs, events=frozenset({*FINAL, "released"}))
        self.lost = False
        self._ended: set[str] = set()
        self._rung = trio.Event()

    async def take(self) -> set[str]:
        """Wait until jobs have ended since the last return, and return their ids; none once it is ``lost``.

        Cancellation: the next call returns them.
        """
        await self._rung.wait()
        self._rung = trio.Event()
        ended, self._ended = self._ended, set()
        if self.lost:
            self._rung.set()
        return ended

    # -- for the tail -------------------------------------------------------------------------------------------------

    def offer(self, page: Sequence[Delivery]) -> bool:
        """See ``Listener``."""
        some = (told.event for delivery in page for told in delivery.events)
        self._ended.update(event.job for event in some if isinstance(event, Event) and event.state in _WORTH_A_LOOK)
        if len(self._ended) > MAX_GATHERED:
            self._ended.clear()
            self.lost = True
        self._rung.set()
        return not self.lost

    def end(self, reason: FeedError) -> None:
        """See ``Listener``."""
        self.lost = True
        self._rung.set()
