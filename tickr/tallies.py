"""Tallies: how much one commit did, and how long it took, by queue and type. Pure.

A commit that moves jobs writes its tally into its row of ``events``: so it is there if and only if the moves are, costs
no statement of its own, and no two commits write the same row for it. The scheduler adds tallies up later
(``scheduler/statistics.py``). Sums of tallies are exact: a count is a count, a time is added in microseconds and falls
into one of fixed buckets, four to each doubling, from which quantiles are read with an error below a bucket's width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from tickr.events import Event
from tickr.jobs import Job, State

COUNTED = ("created", "started", "succeeded", "retrying", "failed", "cancelled", "released", "redriven")
"""The events that are counted (``events.CHANGES``), in the order of ``Part.counts``."""

_PLACES = {what: place for place, what in enumerate(COUNTED)}
_STARTED = _PLACES["started"]


class Step(StrEnum):
    """How long the times are for which there are sums."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length_us(self) -> int:
        return _LENGTHS_US[self]

    def begin(self, at: int) -> int:
        """Return the instant at which the step began that ``at`` is in, microseconds UTC."""
        return at // self.length_us * self.length_us


_LENGTHS_US = {Step.MINUTE: 60_000_000, Step.HOUR: 3_600_000_000, Step.DAY: 86_400_000_000}


class Times(msgspec.Struct, array_like=True):
    """Durations, added up.

    Attributes:
      total_us: their sum in microseconds; one that would be negative, as after a step of the clock, counts as 0.
      buckets: how many fell into each bucket (``bucket``); those of none are left out.
    """

    total_us: int = 0
    buckets: dict[int, int] = {}

    def merge(self, other: Times) -> None:
        self.total_us += other.total_us
        for place, count in other.buckets.items():
            self.buckets[place] = self.buckets.get(place, 0) + count

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    @property
    def mean_s(self) -> float | None:
        """Seconds; None where there are none."""
        count = self.count
        return self.total_us / count / 1e6 if count else None

    def quantiles_s(self, shares: Sequence[float]) -> list[float | None]:
        """Return what each of ``shares`` (0..1, rising) of the durations are not longer than, in seconds.

        Estimates within the buckets in which the true ones are; None where there are no durations.
        """
        total = self.count
        if not total:
            return [None] * len(shares)
        found: list[float | None] = []
        wanted = [max(1, math.ceil(share * total)) for share in shares]
        below = 0
        for place, count in sorted(self.buckets.items()):
            while len(found) < len(wanted) and below + count >= wanted[len(found)]:
                low, high = bounds(place)
                found.append((low + (high - low) * (wanted[len(found)] - below) / (count + 1)) / 1e6)
            below += count
        return found


class Part(msgspec.Struct, array_like=True):
    """What was done to jobs of one type in one queue.

    Attributes:
      counts: how often each of ``COUNTED`` happened.
      wait: from when a job was due, or was submitted if that was later, to its start, of each start.
      run: from the start of an attempt to its end, of each end, whatever came of it.
    """

    queue: str
    type: str
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(COUNTED))
    wait: Times = msgspec.field(default_factory=Times)
    run: Times = msgspec.field(default_factory=Times)

    def merge(self, other: Part) -> None:
        """Add ``other``, which may be of another queue and type."""
        for place, count in enumerate(other.counts):
            self.counts[place] += count
        self.wait.merge(other.wait)
        self.run.merge(other.run)

    def __getitem__(self, what: str) -> int:
        return self.counts[_PLACES[what]]

    @property
    def weight(self) -> int:
        """How many events it counts."""
        return sum(self.counts)


class Tally(msgspec.Struct, array_like=True):
    """What one commit did. ``at`` is its instant (microseconds UTC); each pair of queue and type has one part."""

    at: int
    parts: list[Part]

    def __bool__(self) -> bool:
        return bool(self.parts)


class _Pair(NamedTuple):
    """What was done to jobs of one queue and type, not summed up yet."""

    counts: list[int]
    waits: list[int]
    runs: list[int]


class Counting:
    """Makes the tally of one commit out of its events. On the way of every job, so it does little for each."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def add(self, event: Event, before: Job | None) -> None:
        """Count ``event``, which tells a change of the job that was ``before``."""
        place = _PLACES.get(event.what)
        if place is None:
            return
        name = event.queue, event.type
        pair = self._pairs.get(name)
        if pair is None:
            pair = self._pairs[name] = _Pair([0] * len(COUNTED), [], [])
        pair.counts[place] += 1
        if place == _STARTED:
            # It may have been due before there was it.
            pair.waits.append(self._now - max(event.run_at, 0 if before is None else before.created_at))
        elif before is not None and before.state is State.RUNNING and before.started_at is not None:
            pair.runs.append(self._now - before.started_at)

    def tally(self) -> Tally:
        parts = [
            Part(queue, type, pair.counts, times(pair.waits), times(pair.runs))
            for (queue, type), pair in self._pairs.items()
        ]
        return Tally(self._now, parts)


def times(durations_us: Iterable[int]) -> Times:
    """Add up durations in microseconds."""
    total_us, buckets = 0, dict[int, int]()
    for one in durations_us:
        if one > 0:
            total_us += one
        place = bucket(one)
        buckets[place] = buckets.get(place, 0) + 1
    return Times(total_us, buckets)


def bucket(duration_us: int) -> int:
    """Return the bucket of a duration in microseconds: 0..7 are one wide, then four share each doubling."""
    if duration_us < 8:
        return max(duration_us, 0)
    shift = duration_us.bit_length() - 3
    return shift * 4 + (duration_us >> shift)


def bounds(place: int) -> tuple[int, int]:
    """Return the least duration in a bucket, and the least above it, in microseconds."""
    shift = max(place // 4 - 1, 0)
    low = (place - 4 * shift) << shift
    return low, low + (1 << shift)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tally).decode
_decode_sums = msgspec.json.Decoder(tuple[list[int], Times, Times]).decode


def encode(tally: Tally | None) -> str | None:
    """Return what is stored of a tally; nothing of one that is empty."""
    return _encode(tally).decode() if tally else None


def decode(text: str | bytes) -> Tally:
    return _decode(text)


def sums_text(part: Part) -> str:
    """Return what is stored of a part beside its queue and type."""
    return _encode((part.counts, part.wait, part.run)).decode()


def part(queue: str, type: str, sums: str | bytes) -> Part:
    """Return the part of which ``sums`` is stored."""
    return Part(queue, type, *_decode_sums(sums))
