"""A real port seen through a glass: its calls are counted, and can be made to fail as an outage would."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any

import trio


class Observed:
    """Passes everything on to ``port``.

    Attributes:
      calls: how often each async method was called.
      failing: methods that raise instead, by name; "*" is all of them.
    """

    def __init__(self, port: Any) -> None:
        self.port = port
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, Exception] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.port, name)
        if not iscoroutinefunction(value) or name.startswith("wait_"):
            return value  # waiting never fails

        async def observed(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if failure := self.failing.get(name, self.failing.get("*")):
                await trio.lowlevel.checkpoint()
                raise failure
            return await value(*args, **kwargs)

        return observed


def observing(opener: Callable[..., Any], into: list[Observed]) -> Callable[..., Any]:
    """Return ``opener`` with what it opens observed, and noted in ``into``."""

    @asynccontextmanager
    async def opened(*args: Any, **kwargs: Any) -> AsyncIterator[Observed]:
        async with opener(*args, **kwargs) as port:
            into.append(Observed(port))
            yield into[-1]

    return opened


async def pop_ids(index: Any, queues: Sequence[str], limit: int) -> list[str]:
    """Return the ids alone of what ``index.pop`` gives."""
    return [hint.id for hint in await index.pop(queues, limit)]
