"""Foresight: the ticks to come of a schedule whose owner gives a function for them, as far as they are known. Pure.

Only nodes whose code has the function can ask it (``scheduler/foretell.py``). They ask for some ticks in advance, and
those are kept with the schedule: so every node can fire them and show them. Instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

AHEAD = 20
"""So many ticks after now are known once the function was asked."""
FEW = 10
"""It is asked again when fewer are left."""
MOST_MISSED = 1_000
"""So many ticks of a schedule that nobody dealt with in time are made up for at most; see ``missed.py``."""
MOST_PASSED = 2 * (MOST_MISSED + 1)
"""Of more ticks that have passed, only the first and the last are kept, half each."""


class Foresight(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the ticks to come.

    Attributes:
      since: all up to this instant has been dealt with, or is none of its business; but for a first tick at it.
      ticks: those after it, in order and without gaps, but for very many that have passed.
      no_more: there are none after the last of ``ticks``.
      fault: why the function could not tell more when it was asked last.
    """

    since: int
    ticks: tuple[int, ...] = ()
    no_more: bool = False
    fault: str | None = None

    @property
    def horizon(self) -> int:
        """The instant up to which all ticks are known."""
        return self.ticks[-1] if self.ticks else self.since

    @property
    def first(self) -> int | None:
        return self.ticks[0] if self.ticks else None

    def passed(self, now: int) -> int:
        """Return the last known tick up to ``now``, or the instant up to which all has been dealt with."""
        return max((tick for tick in self.ticks if tick <= now), default=self.since)

    def after(self, at: int) -> Iterator[int]:
        """Yield the known ticks after ``at``, in order."""
        return (tick for tick in self.ticks if tick > at)

    def latest(self, since: int, until: int, count: int) -> list[int]:
        """Return the last ``count`` of those after ``since`` up to ``until``, in order."""
        return [tick for tick in self.ticks if since < tick <= until][-count:]

    def is_enough(self, now: int, end_at: int | None) -> bool:
        """Whether the function need not be asked at ``now``."""
        return self.no_more or self._reaches(end_at) or self.few_at() > now

    def lacking(self, now: int) -> int:
        """Return how many ticks the function is to be asked for, at least 1."""
        return max(1, AHEAD - sum(tick > now for tick in self.ticks))

    def few_at(self) -> int:
        """Return the instant from which on too few are left."""
        return self.ticks[-FEW] if len(self.ticks) >= FEW else 0

    def tells(self, until: int, end_at: int | None) -> bool:
        """Whether all ticks up to ``until`` are known."""
        return self.no_more or self._reaches(end_at) or self.horizon >= until

    def _reaches(self, end_at: int | None) -> bool:
        return end_at is not None and self.horizon > end_at

    def dealt_with(self, until: int) -> Foresight:
        """Return what is left after all ticks up to ``until`` were dealt with, or are left out."""
        if until < self.since:
            return self
        return msgspec.structs.replace(self, since=until, ticks=tuple(self.after(until)))

    def told(self, after: int, ticks: Sequence[int], *, no_more: bool, fault: str | None, now: int) -> Foresight:
        """Return it with ``ticks`` for those after the instant ``after``, which the function has told."""
        kept = tuple(tick for tick in self.ticks if tick <= after)
        begin = kept[-1] if kept else self.since
        known = (*kept, *(tick for tick in ticks if tick > begin))
        return Foresight(self.since, _thinned(known, now), no_more, fault)


def _thinned(ticks: tuple[int, ...], now: int) -> tuple[int, ...]:
    passed = sum(tick <= now for tick in ticks)
    if passed <= MOST_PASSED:
        return ticks
    return ticks[: MOST_PASSED // 2] + ticks[passed - MOST_PASSED // 2 :]
