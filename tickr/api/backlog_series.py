"""The age of the backlog beside the series of ``GET /statistics``: what was seen of it, as each series tells it."""

from __future__ import annotations

from collections import Counter
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
    """How long the oldest due job had waited, where that is known. ``age``: the greatest; null: none is known."""

    age: float | None
    points: list[AgeDocument]


class Backlog:
    """What was seen in the time that ``query`` asks about.

    State: ``_own``, the greatest age by step of each queue that is told apart, and under "" of all others together;
    ``_n_own``, how many of these others that was; ``_rest``, by step, of the queues that had no age of their own there.
    Ages in microseconds.
    """

    def __init__(self, query: StatisticsQuery, names: Collection[str]) -> None:
        self._query = query
        self._names = names if query.by == "queue" else ()
        self._own: dict[str, dict[int, int]] = {}
        self._n_own = Counter[int]()
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
            name = place.queue if place.queue in self._names else ""
            ages = self._own.setdefault(name, {})
            ages[place.at] = max(age, ages.get(place.at, 0))
            if not name:
                self._n_own[place.at] += 1

    def told(self, name: str) -> BacklogDocument | None:
        """Return what the series ``name`` tells; "" is that of all queues, or of all that have no series."""
        if not self.is_known:
            return None
        ages = sorted(self._ages(name).items())
        points = [AgeDocument(wire.instant(at), age / 1e6) for at, age in ages] if self._query.points else []
        return BacklogDocument(max((age / 1e6 for _, age in ages), default=None), points)

    def _ages(self, name: str) -> dict[int, int]:
        """Return the ages of a series, of the steps in which they are known.

        A queue without an age of its own is among the rest, or had nothing due. So the rest may be older than what is
        known of a series: then it has to be known which of the two has that age.
        """
        own, found = self._own.get(name, {}), dict[int, int]()
        for at, rest in self._rest.items():
            age = own.get(at, 0)
            if rest <= age or self._is_whole(name, at):
                found[at] = age
            elif self._has_rest(name, at):
                found[at] = rest
        return found

    def _is_whole(self, name: str, at: int) -> bool:
        """Whether each queue of the series had an age of its own."""
        if name:
            return at in self._own.get(name, {})
        queues = self._query.span.queues
        return bool(queues) and self._n_own[at] == len(set(queues).difference(self._names))

    def _has_rest(self, name: str, at: int) -> bool:
        """Whether each queue without an age of its own is one of the series."""
        open_ = not name and not self._query.span.queues
        return open_ and all(at in self._own.get(one, {}) for one in self._names)
