"""Start: what a node works on, who starts it, what they hear once it serves, and what they are told of its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import outcome

from tickr.announce import Announcer
from tickr.api.doors import Doors
from tickr.bell import Bell
from tickr.errors import TickrError
from tickr.handle import Handle, Stop
from tickr.index.contract import Index
from tickr.metrics.board import Seat
from tickr.readiness import READY, Notify
from tickr.store.contract import Store
from tickr.worker.failures import cause
from tickr.worker.worker import Worker


class Watched(Protocol):
    """A node under a supervisor; ``worker`` is None until it serves, and for a node without the role."""

    @property
    def stop(self) -> Stop: ...
    @property
    def worker(self) -> Worker | None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node works on, open."""

    store: Store
    index: Index
    bell: Bell
    announcer: Announcer


class Supervisor(Protocol):
    """What started this process and watches it; see ``tickr.processes``. Its ``doors`` listen already."""

    @property
    def doors(self) -> Doors: ...
    @property
    def seat(self) -> Seat:
        """Where this process leaves its metrics for the others."""
        ...

    async def attend(self, node: Watched) -> None: ...


class Started(Protocol):
    """Whom to tell that the node serves: a ``trio.TaskStatus``, or the command line."""

    def started(self, value: Handle, /) -> None: ...


class Announced:
    """Tells whoever cares that the node serves, where nobody waits in ``nursery.start``."""

    def __init__(self, announce: Callable[[Handle], None], notify: Notify) -> None:
        self._announce, self._notify = announce, notify

    def started(self, value: Handle, /) -> None:
        self._announce(value)
        self._notify(READY)


def unwrap(ended: outcome.Outcome[None]) -> None:
    """Raise what ended a node. The one Tickr error inside nested groups goes out bare: callers catch it by its name."""
    try:
        ended.unwrap()
    except BaseExceptionGroup as group:
        inner = cause(group)
        raise inner if isinstance(inner, TickrError) else group from None
