"""Up or down: whether a Redis is there, who waits for a change, and what the log is told about it.

Written by the link, in trio's thread; read by everybody.
"""

from __future__ import annotations

import structlog
import trio

log = structlog.get_logger()


class State:
    """Down at first. A change wakes whoever waits for it and is logged once, not for each call that fails.

    Args:
      role: what goes away: the first word of the log events.
      server: address for the log.
      means: what it means for users when it is away.

    Attributes:
      generation: counts the changes; tells whether a failure belongs to the time before the last one.
    """

    def __init__(self, *, role: str, server: str, means: str) -> None:
        self._role, self._means = role, means
        self._log = log.bind(server=server)
        self._up, self._down = trio.Event(), trio.Event()  # one of the two is set
        self._down.set()
        self._told_away = False
        self.generation = 0

    @property
    def up(self) -> bool:
        return self._up.is_set()

    async def wait_up(self) -> None:
        await self._up.wait()

    async def wait_down(self) -> None:
        await self._down.wait()

    def rise(self, master: str | None = None) -> None:
        """Be up. ``master``: which server it is by now, for the log, where that changes."""
        if master:
            self._log = self._log.bind(master=master)
        self.generation += 1
        self._down = trio.Event()
        self._up.set()
        if self._told_away:
            self._log.info(f"{self._role}.back")
        self._told_away = False

    def fall(self) -> None:
        self.generation += 1
        self._up = trio.Event()
        self._down.set()

    def tell_away(self, reason: str) -> None:
        """Log that it is away, unless that was said already."""
        if not self._told_away:
            self._log.warning(f"{self._role}.away", reason=reason, means=self._means)
        self._told_away = True
