"""The sun: functions that give a schedule a tick at each sunrise, sunset, dawn, dusk or noon.

    jobs.schedules.add("lamps", "switch", {"on": True}, next_tick=tickr.sun.sunset(59.33, 18.07))

It takes ``pip install 'tickr[sun]'``. Days on which there is none (the polar day and night) are passed over. Where the
sun stands is astral's to say; which event belongs to which day is reckoned here, by solar days of the place, as astral
loses one or gives one twice where the event is near midnight UTC (``docs/decisions/0053-next-ticks.md``). Nothing of
Tickr imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import degrees, isfinite
from typing import Literal

from tickr.instants import EPOCH

try:
    from astral import SunDirection
    from astral.julian import julianday, julianday_to_juliancentury
    from astral.sun import eq_of_time, hour_angle, sun_declination
except ModuleNotFoundError as missing:
    raise ImportError("tickr.sun needs astral: pip install 'tickr[sun]'") from missing

HORIZON = 90.833
"""Degrees from the zenith at which the sun rises and sets: its rim shows, by what the air bends."""
MAX_LATITUDE = 89.0
"""Nearer to a pole the sun rises and sets about once a year, and not by days."""
MAX_OFFSET = timedelta(hours=12)
MOST_DAYS = 370
"""So many days are looked through: more than a year."""
DAY = timedelta(days=1)
_ROUNDS = (
    4  # of reckoning where the sun stands at the instant that the last round gave; far less than a second off then
)

What = Literal["sunrise", "sunset", "dawn", "dusk", "noon"]
_RISING, _SETTING = SunDirection.RISING, SunDirection.SETTING


@dataclass(frozen=True, slots=True)
class Sun:
    """An event of the sun at a place, each day: called with an instant, it returns the first one after it.

    Attributes:
      latitude, longitude: degrees, north and east.
      offset: the tick is so much later than the event; negative: earlier.
      depression: how far below the horizon the sun is, in degrees, for dawn and dusk.
    """

    what: What
    latitude: float
    longitude: float
    offset: timedelta = timedelta(0)
    depression: float | None = None

    def __repr__(self) -> str:
        more = f", {self.offset.total_seconds():+g} s" if self.offset else ""
        below = f", {self.depression:g}°" if self.depression is not None else ""
        return f"tickr.sun.{self.what}({self.latitude}, {self.longitude}{below}{more})"

    def __call__(self, after: datetime) -> datetime | None:
        """Return the first tick after the aware instant ``after``; None if there is none within a year."""
        at = after.astimezone(UTC) - self.offset
        # By the clock of the place, where noon is about 12:00; two days early, as an event may come after midnight.
        begin = (at + timedelta(hours=self.longitude / 15)).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
        for number in range(MOST_DAYS):
            found = self._on(begin + number * DAY)
            if found is not None and found > at:
                return found + self.offset
        return None

    def _on(self, day: datetime) -> datetime | None:
        """Return the event of a solar day of the place, or None if there is none. ``day``: its date, at 00:00."""
        minutes = 720.0 - 4 * self.longitude  # from 00:00 UTC of that date
        midnight = julianday(day)
        try:
            for _ in range(_ROUNDS):
                century = julianday_to_juliancentury(midnight + minutes / 1440)
                minutes = 720.0 - 4 * (self.longitude + self._angle(century)) - eq_of_time(century)
        except ValueError:  # the sun does not come there on this day
            return None
        return EPOCH + (day - EPOCH) + timedelta(seconds=round(60 * minutes))

    def _angle(self, century: float) -> float:
        """Return by how many degrees the sun has yet to turn to noon; negative: has turned since."""
        if self.what == "noon":
            return 0.0
        zenith = HORIZON if self.depression is None else 90 + self.depression
        direction = _RISING if self.what in ("sunrise", "dawn") else _SETTING
        return degrees(hour_angle(self.latitude, sun_declination(century), zenith, direction))


def sunrise(latitude: float | str, longitude: float | str, *, offset: timedelta = timedelta(0)) -> Sun:
    """Return a ``next_tick`` for each sunrise, at sea level.

    Args:
      latitude, longitude: degrees, north and east, as numbers or as text like "59.33"; to 89° north and south.
      offset: how much later the tick is, up to 12 hours; negative: earlier.
    Raises: TypeError, ValueError: there is no such place, or no such offset.
    """
    return _sun("sunrise", latitude, longitude, offset)


def sunset(latitude: float | str, longitude: float | str, *, offset: timedelta = timedelta(0)) -> Sun:
    """Return a ``next_tick`` for each sunset; see ``sunrise``."""
    return _sun("sunset", latitude, longitude, offset)


def noon(latitude: float | str, longitude: float | str, *, offset: timedelta = timedelta(0)) -> Sun:
    """Return a ``next_tick`` for when the sun is highest, each day; see ``sunrise``."""
    return _sun("noon", latitude, longitude, offset)


def dawn(
    latitude: float | str, longitude: float | str, *, depression: float = 6, offset: timedelta = timedelta(0)
) -> Sun:
    """Return a ``next_tick`` for when it gets light; see ``sunrise``.

    Args: depression: of the sun below the horizon, in degrees from 1 to 18: 6 civil, 12 nautical, 18 astronomical.
    """
    return _sun("dawn", latitude, longitude, offset, depression)


def dusk(
    latitude: float | str, longitude: float | str, *, depression: float = 6, offset: timedelta = timedelta(0)
) -> Sun:
    """Return a ``next_tick`` for when it is dark; see ``dawn``."""
    return _sun("dusk", latitude, longitude, offset, depression)


def _sun(
    what: What,
    latitude: float | str,
    longitude: float | str,
    offset: timedelta,
    depression: float | None = None,
) -> Sun:
    north, east = _degrees("latitude", latitude, MAX_LATITUDE), _degrees("longitude", longitude, 180)
    if not isinstance(offset, timedelta) or abs(offset) > MAX_OFFSET:
        raise ValueError(f"offset must be a timedelta of up to 12 hours, not {offset!r}")
    if depression is not None and not 1 <= depression <= 18:
        raise ValueError(f"depression must be from 1 to 18 degrees, not {depression!r}")
    return Sun(what, north, east, offset, depression)


def _degrees(what: str, value: float | str, most: float) -> float:
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not (isfinite(found) and abs(found) <= most):
        raise ValueError(f"{what} must be from -{most:g} to {most:g} degrees, not {value!r}")
    return found
