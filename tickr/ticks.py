"""When a schedule is due: a cron expression on the clock of a time zone, or an interval from an anchor on. Pure.

In comes a ``Timing``; out go *ticks*: instants in microseconds since 1970 UTC that strictly rise. The expression is
read and walked by cronsim, on a wall clock without a zone; what the jumps of a zone's clock mean is decided here, as
Debian's cron does (``docs/schedules.md``). cronsim's own walk through a zone loses ticks where a clock jumps by half an
hour (``docs/decisions/0028-schedules.md``).
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from tickr.errors import SpecRejected

SECOND_US = 1_000_000
MIN_EVERY_S = 1.0
MAX_AHEAD_S = 10 * 365 * 86_400
"""The longest interval, and how far ahead it may begin, in seconds: 10 years."""
MAX_CRON_LENGTH = 200
HORIZON_US = 50 * 366 * 86_400 * SECOND_US
"""A tick is not looked for further ahead. Bounds what an expression can cost that hardly ever fires: some 20 ms."""
WEEK_US = 7 * 86_400 * SECOND_US
"""No zone changes its clocks twice within so short a time."""

FIELDS = "minute hour day-of-month month day-of-week"
WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Expressions that have a name, which is kept as it was written."""
BY_FUNCTION = "@function"
"""Stands for the cron expression of a timing by function: a node of an older release then sets the schedule aside."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_is_cron = re.compile(r"[0-9A-Za-z*,/#\- ]+").fullmatch
_is_zone = re.compile(r"(?!posix/|right/)[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,3}").fullmatch
_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


class Timing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What its owner says of when it is due: ``cron`` with ``timezone``, or ``every_us``, perhaps with ``start_at``.

    Or ``function`` with ``timezone``: then its ticks are not reckoned here, but told by that (``foresight.py``).

    Attributes:
      cron: five fields in cronsim's dialect, or six, the first of which are seconds, or one of ``WORDS``.
      timezone: an IANA name; counts for ``cron`` and for ``function``.
      every_us: microseconds from tick to tick.
      start_at: an instant of the interval's grid, the first that may be a tick; microseconds UTC.
      start_now: the instant at which this timing is given to a schedule is a tick, too.
      function, code: what a function in the code of nodes is called, and a digest of it; ``cron`` is ``BY_FUNCTION``.
    """

    cron: str | None = None
    timezone: str = "UTC"
    every_us: int | None = None
    start_at: int | None = None
    start_now: bool = False
    function: str | None = None
    code: str | None = None


class BadTiming(SpecRejected):
    """There are no ticks. ``field`` of the timing is at fault, ``problem`` says in which way."""

    code = "invalid_request"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"/{field}", problem)


def after(timing: Timing, anchor: int, at: int) -> Iterator[int]:
    """Yield the ticks after the instant ``at``, in order; at the end there are no more within ``HORIZON_US``.

    Args:
      anchor: an instant of the interval's grid, in the place of ``start_at`` if there is none.
    Raises: BadTiming: also for a zone that this machine does not know.
    """
    if timing.cron is None:
        return _grid(timing, anchor, at)
    zone, walls = zone_of(timing.timezone), _Walls(timing.cron)
    found = _moved(walls, zone, at) if walls.fixed else _repeated(walls, zone, at)
    return takewhile(lambda tick: tick <= at + HORIZON_US, found)


def first_after(timing: Timing, anchor: int, at: int) -> int | None:
    """Return the next tick after ``at``, or None if there is none. Raises: BadTiming."""
    return next(after(timing, anchor, at), None)


def latest(timing: Timing, anchor: int, since: int, until: int, count: int) -> list[int]:
    """Return the last ``count`` ticks after ``since`` up to ``until``, in order; fewer if there are not so many.

    However many there are before: that costs nothing. Raises: BadTiming.
    """
    back = count
    while True:
        begin = _begin(timing, since, until, back)
        ticks = takewhile(lambda tick: tick <= until, after(timing, anchor, begin))
        found = list(deque(ticks, maxlen=count))
        if len(found) == count or begin == since:
            return found
        back *= 2  # some of those on the wall were in a gap


def _begin(timing: Timing, since: int, until: int, count: int) -> int:
    """Return an instant, not before ``since``, after which there are about ``count`` ticks up to ``until``."""
    if timing.cron is None:
        return max(since, until - count * _every_us(timing))
    zone = zone_of(timing.timezone)
    walls = _sim(timing.cron, _wall(until + _offset_us(zone, until)), reverse=True)
    oldest = _wall(since) - timedelta(days=2)
    wall = next(islice(takewhile(lambda wall: wall > oldest, walls), count, None), None)
    return since if wall is None else max(since, _instant(wall, zone) - 1)


# -- intervals --------------------------------------------------------------------------------------------------------


def _grid(timing: Timing, anchor: int, at: int) -> Iterator[int]:
    begin, every = anchor if timing.start_at is None else timing.start_at, _every_us(timing)
    tick = begin + max(0, (at - begin) // every + 1) * every
    while tick <= at + HORIZON_US:
        yield tick
        tick += every


def _every_us(timing: Timing) -> int:
    assert timing.every_us is not None, "a timing is a cron expression or an interval"
    return timing.every_us


# -- cron -------------------------------------------------------------------------------------------------------------


class _Walls:
    """A cron expression on a wall clock that never jumps.

    Attributes:
      fixed: it names times of day, in Debian's sense: five fields, of which neither minute nor hour begins with ``*``.
    """

    def __init__(self, cron: str) -> None:
        self._cron = cron
        fields = _written_out(cron).split()
        self.fixed = len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")

    def after(self, wall: datetime) -> Iterator[datetime]:
        return _sim(self._cron, wall)


def _sim(cron: str, wall: datetime, *, reverse: bool = False) -> CronSim:
    """Raises: BadTiming: another program has stored what this one cannot read."""
    try:
        return CronSim(_written_out(cron), wall, reverse=reverse)
    except CronSimError as error:
        raise BadTiming("cron", f"cannot be read: {error}") from None


def _written_out(cron: str) -> str:
    return WORDS.get(cron.lower(), cron)


def _repeated(walls: _Walls, zone: ZoneInfo | None, at: int) -> Iterator[int]:
    """Go by the clock as it shows: what it skips does not come, what it shows twice comes twice."""
    offset = _offset_us(zone, at)
    found = walls.after(_wall(at + offset))
    last = at
    while (wall := next(found, None)) is not None:
        tick = _micros(wall) - offset
        change = _change(zone, last, tick)
        if change is None:
            last = tick
            yield tick
        else:  # from the jump on by the new time; its own first second counts
            last, offset = change, _offset_us(zone, change)
            found = walls.after(_wall(change + offset) - timedelta(seconds=1))


def _moved(walls: _Walls, zone: ZoneInfo | None, at: int) -> Iterator[int]:
    """Each time of day once: what the clock skips comes right after the gap, what it shows twice the first time."""
    last = at
    for wall in walls.after(_wall(at + _offset_us(zone, at))):
        tick = _instant(wall, zone)
        if tick > last:  # of several in one gap there is one
            last = tick
            yield tick


def _instant(wall: datetime, zone: ZoneInfo | None) -> int:
    """Return when the clock shows ``wall`` for the first time; where it skips that, the first instant after the gap."""
    if zone is None:
        return _micros(wall)
    tick = _micros(wall) - _offset_of(wall.replace(tzinfo=zone, fold=0))
    if _wall(tick + _offset_us(zone, tick)) == wall:
        return tick
    before_gap = _micros(wall) - _offset_of(wall.replace(tzinfo=zone, fold=1))
    change = _change(zone, before_gap, tick)
    assert change is not None, "there is a gap between the two readings of a time that the clock skips"
    return change


def _change(zone: ZoneInfo | None, since: int, until: int) -> int | None:
    """Return the first instant after ``since`` and up to ``until`` at which the zone's offset is another, or None."""
    if zone is None:
        return None
    offset, low = _offset_us(zone, since), since
    while low < until:
        high = min(low + WEEK_US, until)
        if _offset_us(zone, high) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_us(zone, middle) == offset else (low, middle)
            return high
        low = high
    return None


def _offset_us(zone: ZoneInfo | None, at: int) -> int:
    """Return by how much the zone's clock is before UTC at the instant ``at``, in microseconds."""
    return 0 if zone is None else _offset_of(_wall(at).replace(tzinfo=UTC).astimezone(zone))


def _offset_of(shown: datetime) -> int:
    offset = shown.utcoffset()
    assert offset is not None
    return offset // _MICROSECOND


def _wall(shown_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=shown_us)


def _micros(wall: datetime) -> int:
    return (wall - _EPOCH) // _MICROSECOND


# -- what is taken ----------------------------------------------------------------------------------------------------


def check(timing: Timing, now: int) -> None:
    """Return if there are ticks after ``now``. Raises: BadTiming, with what would be right."""
    if timing.cron is not None:
        zone_of(timing.timezone)
        _check_cron(timing.cron)
        if first_after(timing, now, now) is None:
            raise BadTiming("cron", "never comes: there is no such day in the next 50 years")


def zone_of(name: str) -> ZoneInfo | None:
    """Return the zone; None for UTC, whose clock never jumps. Raises: BadTiming."""
    if name == "UTC":
        return None
    try:
        if _is_zone(name) and name not in _NO_ZONES:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise BadTiming("timezone", f"must be the IANA name of a time zone, like Europe/Berlin or UTC{_near_zone(name)}")


def _near_zone(name: str) -> str:
    known = _zones()
    wanted = name[:64].strip().lower().replace(" ", "_")
    near = known.get(wanted) or next((zone for key, zone in known.items() if key.endswith(f"/{wanted}")), None)
    if near is None:
        close = difflib.get_close_matches(wanted, known, n=1)
        near = known[close[0]] if close else None
    return f'; did you mean "{near}"?' if near else ""


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in sorted(available_timezones()) if name not in _NO_ZONES}


def _check_cron(cron: str) -> None:
    if cron.startswith("@"):
        return _check_word(cron)
    fields = cron.split()
    if len(cron) > MAX_CRON_LENGTH or not _is_cron(cron) or len(fields) not in (5, 6):
        raise BadTiming(
            "cron", f'must have five fields, {FIELDS}, like "30 2 * * MON-FRI", or six with seconds in front'
        )
    try:
        CronSim(cron, _EPOCH)
    except CronSimError as error:
        raise BadTiming("cron", _fault(fields, str(error))) from None


def _check_word(word: str) -> None:
    if word.lower() in WORDS:
        return
    also = {"@reboot": '; "start": "now" has a tick when the schedule is put', "@every": "; every takes an interval"}
    raise BadTiming("cron", f"knows the words {', '.join(WORDS)}{also.get(word.split()[0].lower(), '')}")


def _fault(fields: list[str], told: str) -> str:
    """Return in our words why cronsim does not take an expression."""
    names = ["second", *FIELDS.split()][-len(fields) :]
    at = next((place for place, name in enumerate(names) if told == f"Bad {name}"), None)
    if at is None:
        return f"cannot be read: {told}"
    if names[at] == "day-of-month" and _is_taken([*fields[:-2], "*", fields[-1]]):
        return f"never comes: no month {fields[-2]} has a day {fields[at]}"
    return f'has the {names[at]} "{fields[at]}", which cannot be read; the fields are {" ".join(names)}'


def _is_taken(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), _EPOCH)
    except CronSimError:
        return False
    return True
