"""Which ticks of a schedule make jobs once they are due, when all is well and after an outage. Pure.

In comes a schedule whose next tick is due, out goes a ``Fire``: planned outside of any transaction, and void if
somebody else was first. However long the outage was, a plan costs some 20 ms, and rarely more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, takewhile

from tickr.foresight import MOST_MISSED as MOST_MISSED
from tickr.schedule_moves import Fire
from tickr.schedules import Missed, Schedule, Skipped
from tickr.ticks import SECOND_US

LATE_US = 30 * SECOND_US
"""With ``missed: skip`` a tick that is later than this makes no job, in microseconds."""
# With ``missed: all`` MOST_MISSED ticks are made up for at most, the last ones; so far missed ticks are counted, too.
MOST_AT_ONCE = 50
"""Ticks of a schedule that one transaction fires."""


def is_known(schedule: Schedule, now: int) -> bool:
    """Whether it is known which ticks are due at ``now``.

    If not, its function is to be asked first: what becomes of a tick that is late hangs on those that came after it.
    """
    return schedule.foreseen is None or schedule.foreseen.tells(now - LATE_US, schedule.end_at)


def due(schedule: Schedule, now: int, new_id: Callable[[], str]) -> Fire:
    """Return what is to be done about the ticks of ``schedule`` that are due at ``now``; at least one is.

    Of very many ticks some are left for the next time: then the next tick is one of those.
    Raises: BadTiming: this program cannot reckon with it.
    """
    begin = schedule.next_at
    assert begin is not None, "a schedule without a next tick is never due"
    # The tick that is stored counts even if the rules of its zone have changed since.
    later = takewhile(lambda tick: tick <= now, schedule.after(begin))
    found = [begin, *islice(later, MOST_MISSED)]
    recent = _recent(schedule, found, now)
    kept = _kept(schedule.missed, recent[-MOST_MISSED:], now)
    dropped = recent[: len(recent) - len(kept)]
    chosen, rest = kept[:MOST_AT_ONCE], kept[MOST_AT_ONCE:]
    return Fire(
        name=schedule.name,
        version=schedule.version,
        due=begin,
        fired=tuple((tick, new_id()) for tick in chosen),
        skipped=_skipped(schedule.missed, found, dropped),
        next_at=rest[0] if rest else next(schedule.after(max(now, begin)), None),
        size_bytes=len(chosen) * schedule.job.size_bytes(),
    )


def _recent(schedule: Schedule, found: list[int], now: int) -> list[int]:
    """Return the last of the ticks that are due, of which ``found`` are the first; all of them if they are few.

    Where so few may make a job that the first ones are enough, it is those.
    """
    if len(found) <= MOST_MISSED:
        return found
    if schedule.missed == "all" and schedule.left is not None and schedule.left <= MOST_MISSED:
        return found[:MOST_MISSED]
    until = now if schedule.end_at is None else min(now, schedule.end_at)
    last = schedule.latest(found[0], until, MOST_MISSED + 1)
    return [found[0], *last][-MOST_MISSED - 1 :]


def _kept(missed: Missed, recent: Sequence[int], now: int) -> Sequence[int]:
    """Return those of the last ticks, from one of them to the end, that are to make jobs."""
    if missed == "all":
        return recent
    if missed == "once":
        return recent[-1:]
    return [tick for tick in recent if tick >= now - LATE_US]


def _skipped(missed: Missed, found: Sequence[int], dropped: Sequence[int]) -> Skipped | None:
    """Return what is told of the ticks up to the last of ``dropped``. ``found``: the first of all that are due."""
    if not dropped:
        return None
    count = min(MOST_MISSED, sum(tick <= dropped[-1] for tick in found))
    return Skipped("too_many" if missed == "all" else "missed", count, found[0], dropped[-1])
