"""The age of the backlog beside the series of ``GET /statistics``: what was seen of it, as each series tells it."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import trio

from tickr.api import wire
from tickr.api.statistics_query import StatisticsQuery
from tickr.store.backlog import REST
from tickr.store.contract import AgePlace, Store

PAGE = 1_000
"""Ages that are read and looked through at once: about a millisecond."""


class AgeDocument(msgspec.Struct, frozen=True):
    """The greatest age seen in the step that began ``at``, in seconds."""

    at: wire.Instant | None
    age: float


class BacklogDocument(msgspec.Struct, frozen=True):
    """How long the oldest due job had waited, where somebody looked. ``age``: the greatest of all, null: nobody did."""

    age: float | None
    points: list[AgeDocument]


class Backlog:
    """What was seen in the time that ``query`` asks about.

    State: ``_own``, the greatest age by step of each queue that is told apart, and under "" of all others together;
    ``_rest``, by step, of the queues that had no age of their own there. In microseconds.
    """

    def __init__(self, query: StatisticsQuery, names: Collection[str]) -> None:
        self._query = query
        self._names = names if query.by == "queue" else ()
        self._own: dict[str, dict[int, int]] = {}
        self._rest: dict[int, int] = {}

    @property
    def is_known(self) -> bool:
        """Whether it can be told: queues are looked at, not types."""
        return self._query.by != "type" and not self._query.span.types

    @property
    def of_others(self) -> bool:
        """Whether jobs waited in queues that have no series, where queues have series of their own."""
        return bool(self._names) and any(self._ages("").values())

    async def read(self, store: Store) -> None:
        """Read it, a page at a time, if it is known."""
        after: AgePlace | None = None
        while self.is_known:
            page = await store.backlog(self._query.span, PAGE, after)
            for place, age in page:
                self._take(place, age)
            if len(page) < PAGE:
                return
            after = page[-1][0]
            await trio.lowlevel.checkpoint()

    def _take(self, place: AgePlace, age: int) -> None:
        if place.queue == REST:
            self._rest[place.at] = age
        else:
            ages = self._own.setdefault(place.queue if place.queue in self._names else "", {})
            ages[place.at] = max(age, ages.get(place.at, 0))

    def told(self, name: str) -> BacklogDocument | None:
        """Return what the series ``name`` tells; "" is that of all queues, or of all that have no series."""
        if not self.is_known:
            return None
        ages = sorted(self._ages(name).items())
        points = [AgeDocument(wire.instant(at), age / 1e6) for at, age in ages] if self._query.points else []
        return BacklogDocument(max((age / 1e6 for _, age in ages), default=None), points)

    def _ages(self, name: str) -> dict[int, int]:
        own = self._own.get(name, {})
        if not name and not self._query.span.queues:
            return {at: max(age, own.get(at, 0)) for at, age in self._rest.items()}
        # One without an age of its own had nothing due, unless it may be among the rest: then that is not known.
        return {at: own.get(at, 0) for at, age in self._rest.items() if at in own or age == 0}
