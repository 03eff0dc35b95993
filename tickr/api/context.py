"""What every route gets: one frozen record made by ``service.py`` and handed to ``create_app``; no globals.

The API owns none of it. It changes jobs through ``intake`` alone, reads from ``store`` and listens to ``feed``;
``index`` is only asked whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from tickr.config import Config
from tickr.feed.feed import Feed
from tickr.index.contract import Index
from tickr.intake import Intake
from tickr.retry import Backoff
from tickr.store.contract import Store


class HandlerDefaults(Protocol):
    """What the handler of a type wishes for its jobs; counts where the submission says nothing. None: no wish.

    ``timeout`` in seconds. The worker's ``Handler`` is one.
    """

    @property
    def timeout(self) -> float | None: ...
    @property
    def max_attempts(self) -> int | None: ...
    @property
    def backoff(self) -> Backoff | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The node as its routes see it.

    Attributes:
      defaults: gives the defaults of a job type, or None for a type this node has no handler for. Pure and quick: it is
        asked for every submission.
      stopping: set by the service, before the listener closes, once this node is on its way down.
    """

    intake: Intake
    store: Store
    index: Index
    feed: Feed
    config: Config
    stopping: trio.Event
    defaults: Callable[[str], HandlerDefaults | None] = lambda _type: None
