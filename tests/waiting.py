"""The one place that waits by asking again: for facts in another process or behind HTTP that nothing here can await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

Found = TypeVar("Found")
PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
"""Between two looks that take long themselves, in seconds."""


async def eventually(look: Callable[[], Awaitable[Found | None]], *, within_s: float = 10) -> Found:
    """Return what ``look`` finds, asking again until it is neither None nor False.

    Raises: TooSlowError after ``within_s`` seconds.
    """
    with trio.fail_after(within_s):
        while True:
            began = trio.current_time()
            found = await look()
            if found is not None and found is not False:
                return found
            # Looks that cost much come seldom, or they would keep those busy that are waited for.
            took_s = trio.current_time() - began
            await trio.sleep(min(max(PAUSE_S, 2 * took_s), LONGEST_PAUSE_S))


def happens(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """Return ``condition`` as something that ``eventually`` can ask."""

    async def look() -> bool:
        await trio.lowlevel.checkpoint()
        return condition()

    return look
