"""Sums of what was done → blocks of steps, with points as they go out, and totals. What has not changed is kept.

Nearly all that a chart shows is past, and past sums stay as they are. Whether they have, the store says for each
answer: how many events each step counts. So nothing that is kept is ever out of date, whoever wrote the sums, and only
what is new is read, added up and encoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from tickr.api import wire
from tickr.api.statistics_query import StatisticsQuery
from tickr.store.contract import Store, SumPlace
from tickr.tallies import COUNTED, Part, Step, Times

STEPS = {Step.MINUTE: 60, Step.HOUR: 24, Step.DAY: 30}
"""How many steps are one block: read together, and kept together."""
MOST_BYTES = 32 * 1024 * 1024
"""About so much memory is taken by blocks that are kept; those that nobody has asked for longest go first."""
BUCKET_BYTES, PART_BYTES, STEP_BYTES, NAME_BYTES, BLOCK_BYTES = 90, 1_000, 120, 80, 1_200
"""About what takes how much memory; a name that was asked for, beside its letters."""
PAGE = 500
"""Sums that are read and added up at once: a few milliseconds."""

Weights = tuple[tuple[int, int], ...]
"""When each step began, and how many events it counts."""


class Wish(NamedTuple):
    """What a block is made for: the query, but for its times, and the names that have series of their own."""

    query: StatisticsQuery
    names: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """About how much memory it takes. Of names that nobody knows there may be many."""
        names = (*self.query.span.queues, *self.query.span.types, *self.names)
        return sum(NAME_BYTES + len(name) for name in names)


Key = tuple[Wish, int]
"""What for, and from when on."""


class TimesDocument(msgspec.Struct, frozen=True):
    """How long something took, in seconds."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class PointDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How often each thing happened in the step that began ``at``; in a total, which has no ``at``, in all of them.

    ``wait``: from due to start, ``run``: from start to end; null: there was none.
    """

    at: wire.Instant | UnsetType | None = UNSET
    created: int
    started: int
    succeeded: int
    retrying: int
    failed: int
    cancelled: int
    released: int
    redriven: int
    wait: TimesDocument | None
    run: TimesDocument | None


class Block(NamedTuple):
    """Some steps that follow each other, as ``weights`` counts them, by the names of series.

    Attributes:
      points: JSON of a document for each step in which something was done, with commas between; "" without points.
      totals: what was done in all of them. Nobody changes them.
    """

    weights: Weights
    points: dict[str, bytes]
    totals: dict[str, Part]

    @property
    def n_bytes(self) -> int:
        """About how much memory it takes."""
        parts = self.totals.values()
        buckets = sum(len(part.wait.buckets) + len(part.run.buckets) for part in parts)
        whole = BLOCK_BYTES + STEP_BYTES * len(self.weights) + PART_BYTES * len(parts) + BUCKET_BYTES * buckets
        return whole + sum(map(len, self.points.values()))


class Blocks:
    """The blocks of one process.

    State, its own: ``_kept``, by what was asked for and from when on, those asked for last at the end; ``_bytes``, what
    they take.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = OrderedDict[Key, Block]()
        self._bytes = 0

    async def read(self, query: StatisticsQuery, names: list[str]) -> list[Block]:
        """Return what ``query`` asks for, in order. Series of ``names``; "" is all that has none of its own."""
        length_us = STEPS[query.span.step] * query.span.step.length_us
        wish = Wish(query._replace(span=query.span._replace(since=0, until=0)), tuple(sorted(names)))
        found: dict[int, Block | None] = {}
        for begin, steps in groupby(await self._store.weights(query.span), lambda one: one[0] // length_us * length_us):
            found[begin] = self._known((wish, max(begin, query.span.since)), tuple(steps))
        for since, until in _runs([begin for begin, block in found.items() if block is None], length_us):
            for begin, block in (await self._made(query, names, since, until)).items():
                self._keep((wish, max(begin, query.span.since)), block)
                found[begin] = block
        return [block for _, block in sorted(found.items()) if block is not None]

    def _known(self, key: Key, weights: Weights) -> Block | None:
        block = self._kept.get(key)
        if block is None or block.weights != weights:
            return None
        self._kept.move_to_end(key)
        return block

    def _keep(self, key: Key, block: Block) -> None:
        if (before := self._kept.pop(key, None)) is not None:
            self._bytes -= _size(key, before)
        self._kept[key] = block
        self._bytes += _size(key, block)
        while self._bytes > MOST_BYTES:
            self._bytes -= _size(*self._kept.popitem(last=False))

    async def _made(self, query: StatisticsQuery, names: list[str], since: int, until: int) -> dict[int, Block]:
        """Return the blocks from ``since`` on and before ``until`` by when they begin, as the store has them now."""
        span = query.span._replace(since=max(since, query.span.since), until=min(until, query.span.until))
        length_us = STEPS[span.step] * span.step.length_us
        making: dict[int, _Making] = {}
        after: SumPlace | None = None
        while page := await self._store.sums(span, PAGE, after):
            for place, part in page:
                begin = place.at // length_us * length_us
                if begin not in making:
                    making[begin] = _Making(query, names)
                making[begin].add(place, part)
            after = page[-1][0]
            if len(page) < PAGE:
                break
        return {begin: one.block() for begin, one in making.items()}


def _size(key: Key, block: Block) -> int:
    """Return about how much memory a block takes that is kept."""
    return key[0].n_bytes + block.n_bytes


class _Making:
    """A block that is being made: its sums are added in their order, and belong to it from then on."""

    def __init__(self, query: StatisticsQuery, names: list[str]) -> None:
        self._query = query
        self._names = frozenset(names)
        self._weights: dict[int, int] = {}
        self._points: dict[str, list[bytes]] = {}
        self._totals: dict[str, Part] = {}
        self._at = 0
        self._step: dict[str, Part] = {}

    def add(self, place: SumPlace, part: Part) -> None:
        if place.at != self._at:
            self._end_step()
            self._at = place.at
        self._weights[place.at] = self._weights.get(place.at, 0) + part.weight
        name = getattr(place, self._query.by) if self._query.by else ""
        name = name if name in self._names else ""
        if name in self._step:
            self._step[name].merge(part)
        else:
            self._step[name] = part

    def block(self) -> Block:
        self._end_step()
        points = {name: b",".join(some) for name, some in self._points.items()}
        return Block(tuple(self._weights.items()), points, self._totals)

    def _end_step(self) -> None:
        for name, part in self._step.items():
            self._totals.setdefault(name, Part("", "")).merge(part)
            if self._query.points:
                self._points.setdefault(name, []).append(wire.encode(point(part, wire.instant(self._at))))
        self._step = {}


def _runs(begins: list[int], length_us: int) -> Iterator[tuple[int, int]]:
    """Yield from when to when there are blocks that follow each other. ``begins``: when each begins, in order."""
    at = 0
    while at < len(begins):
        first = at
        while at + 1 < len(begins) and begins[at + 1] == begins[at] + length_us:
            at += 1
        yield begins[first], begins[at] + length_us
        at += 1


def point(part: Part, at: wire.Instant | UnsetType | None = UNSET) -> PointDocument:
    """Return a sum as it goes out."""
    counts = dict(zip(COUNTED, part.counts, strict=True))
    return PointDocument(at=at, **counts, wait=_times(part.wait), run=_times(part.run))


def _times(times: Times) -> TimesDocument | None:
    """Return durations in seconds; None where there are none."""
    if not times.buckets:
        return None
    p50, p95, p99 = map(_rounded, times.quantiles_s((0.5, 0.95, 0.99)))
    return TimesDocument(times.count, _rounded(times.mean_s), p50, p95, p99)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
