"""Crashes: at which failpoints the node of a test shall die, and when.

State: ``_planned`` is filled by ``plan``; whoever reaches a failpoint counts in it. Failpoints are the process's, so
what another node of this process does there passes by (``RUNNING_IN``).
"""

from __future__ import annotations

from contextlib import ExitStack

import trio

from tickr import failpoints
from tickr.testing.node import RUNNING_IN

NOT_HERE = {
    "api.before_answer": "there is no HTTP",
    "inbox.after_submit": "nobody can insert rows into a store in memory",
    "feed.before_number": "the store in memory gives its numbers at once",
    "feed.after_number": "the store in memory gives its numbers at once",
    "lease.after_lost": "nobody takes its lease from a node that is alone",
    "audit.before_put_back": "nothing gets lost from an index in memory",
    "statistics.before_commit": "the store in memory adds up at once",
}
"""Failpoints that no node of a test ever comes to, and why."""


class Planned:
    """A crash to come: at the ``nth`` time from now on that a node reaches ``point``."""

    def __init__(self, point: str, nth: int, *, elsewhere: bool) -> None:
        self.point = point
        self.nth = nth
        self.elsewhere = elsewhere
        self.reached = 0

    def strikes(self) -> bool:
        self.reached += 1
        return self.reached == self.nth

    def __str__(self) -> str:
        times = f", {self.nth}" if self.nth > 1 else ""
        return f'crash_at("{self.point}"{times})'


class Crashes(ExitStack):
    """The crashes of one test; a context manager, by whose end no failpoint is armed any more."""

    def __init__(self) -> None:
        super().__init__()
        self._planned: dict[str, list[Planned]] = {}

    def plan(self, point: str, nth: int, *, elsewhere: bool) -> None:
        """Raises: ValueError: there is no such failpoint, or ``nth`` is no number from 1 on."""
        if point not in failpoints.POINTS:
            raise ValueError(f"{failpoints.unknown(point)} They are listed in docs/faults.md.")
        if point in NOT_HERE:
            raise ValueError(f"{point} is not reached here: {NOT_HERE[point]}")
        if isinstance(nth, bool) or not isinstance(nth, int) or nth < 1:
            raise ValueError(f"crash_at strikes at the nth time, 1 or more, not at {nth!r}")
        if point not in self._planned:
            self._planned[point] = []
            self.enter_context(failpoints.armed(point, lambda: self._reach(point)))
        self._planned[point].append(Planned(point, nth, elsewhere=elsewhere))

    async def _reach(self, point: str) -> None:
        node = RUNNING_IN.get()
        if node is None or node.dead:
            return
        struck = [one for one in self._planned[point] if one.strikes()]
        if struck:
            node.kill(elsewhere=any(one.elsewhere for one in struck))
            await trio.sleep_forever()

    def check(self) -> None:
        """Raises: AssertionError: a crash that was planned did not come; the test would show nothing."""
        missed = [one for planned in self._planned.values() for one in planned if one.reached < one.nth]
        if missed:
            told = "; ".join(f"{one} was {_reached(one.reached)}" for one in missed)
            raise AssertionError(f"No node died where the test wanted it: {told}.")


def _reached(times: int) -> str:
    return {0: "never reached", 1: "reached once"}.get(times, f"reached {times} times")
