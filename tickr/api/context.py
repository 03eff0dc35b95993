"""What every route gets: one frozen record made by ``service.py`` and handed to ``create_app``; no globals.

The API owns none of it. It changes jobs through ``intake`` and, for those who run them elsewhere, through ``leases``,
schedules through ``timetable``, reads from ``store`` and listens to ``feed``; ``index`` is only asked whether it is
there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import trio

from tickr.config import Config
from tickr.feed.feed import Feed
from tickr.index.contract import Index
from tickr.intake import Intake
from tickr.jobs import Job
from tickr.meters import Requests
from tickr.orders import Orders
from tickr.remote.leases import Leases
from tickr.retry import Backoff
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Node, Store
from tickr.timetable import Timetable
from tickr.worker.wishes import Unique


class HandlerDefaults(Protocol):
    """What the handler of a type wishes for its jobs; counts where the submission says nothing. None: no wish.

    ``timeout`` in seconds. The worker's ``Handler`` is one.
    """

    @property
    def timeout(self) -> float | None: ...
    @property
    def max_attempts(self) -> int | None: ...
    @property
    def max_crashes(self) -> int | None: ...
    @property
    def keep(self) -> float | None: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def priority(self) -> int | None: ...
    @property
    def unique(self) -> Unique | None: ...
    @property
    def backoff(self) -> Backoff | None: ...


class OwnNode(Protocol):
    """The node that answers; ``tickr/own_node.py``."""

    @property
    def about(self) -> Node: ...
    def stacks(self) -> list[tuple[Job, str]]:
        """Return what runs here, and where each handler stands; "" where that is in another process."""
        ...


class Scraped(NamedTuple):
    """What Prometheus is answered with."""

    content_type: str
    text: bytes


Scrape = Callable[[str], Awaitable[Scraped]]
"""Returns all metrics of the node, in a format that the header Accept, its argument, asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The node as its routes see it.

    Attributes:
      orders: for any node.
      defaults: gives the defaults of a job type, or None for a type this node has no handler for. Pure and quick: it is
        asked for every submission.
      vault: opens what is encrypted, for who asks for it.
      requests: counts what is answered; written by ``connection.py``, ``direct.py`` and ``handshake.py``.
      metrics: None for a node that serves nothing.
      stopping: set by the service, before the listener closes, once this node is on its way down.
    """

    intake: Intake
    orders: Orders
    own: OwnNode
    timetable: Timetable
    leases: Leases
    store: Store
    index: Index
    feed: Feed
    config: Config
    stopping: trio.Event
    vault: Vault = NO_VAULT
    defaults: Callable[[str], HandlerDefaults | None] = lambda _type: None
    requests: Requests = field(default_factory=Requests)
    metrics: Scrape | None = None

    @property
    def kinds(self) -> dict[str, str]:
        """Which store and which index the node works on, for its log."""
        return {"store": self.store.name, "index": self.index.name}
