"""The sun: against published times, against where it stands then, and without a day lost or doubled."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import astral
import astral.sun
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr import sun
from tickr.next_ticks import code_of, name_of

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
STOCKHOLM = (59.33, 18.07)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def after(event: sun.Sun, at: datetime, count: int = 1) -> list[datetime]:
    """Return so many events after ``at``."""
    found: list[datetime] = []
    while len(found) < count:
        tick = event(found[-1] if found else at)
        assert tick is not None
        found.append(tick)
    return found


def test_the_naval_observatory_says_the_same() -> None:
    """One sunset a day, though two of them are on the same date in UTC; https://aa.usno.navy.mil."""
    found = after(sun.sunset(-30, -100), datetime(2024, 5, 4, 12, tzinfo=UTC), 4)
    told = ["2024-05-05T00:02Z", "2024-05-06T00:01Z", "2024-05-07T00:00Z", "2024-05-07T23:59Z"]
    assert all(abs(at - datetime.fromisoformat(then)) <= MINUTE / 2 for at, then in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("event", "degrees"),
    [
        (sun.sunset(*STOCKHOLM), -0.833),
        (sun.sunrise(*STOCKHOLM), -0.833),
        (sun.dusk(*STOCKHOLM, depression=6), -6),
        (sun.dawn("-33.87", "151.21", depression=12), -12),
    ],
)
def test_the_sun_stands_where_it_should(event: sun.Sun, degrees: float) -> None:
    place = astral.Observer(event.latitude, event.longitude)
    for at in after(event, NEW_YEAR, 300):
        assert astral.sun.elevation(place, at, with_refraction=False) == pytest.approx(degrees, abs=0.005)


def test_it_rises_in_the_morning_and_is_highest_at_noon() -> None:
    (rise,), (noon,), (fall,) = (after(event(*STOCKHOLM), NEW_YEAR) for event in (sun.sunrise, sun.noon, sun.sunset))
    assert rise < noon < fall
    assert abs((noon - rise) - (fall - noon)) < 2 * MINUTE
    assert abs(noon - datetime(2026, 1, 1, 10, 51, tzinfo=UTC)) < 2 * MINUTE


@pytest.mark.parametrize("what", [sun.sunrise, sun.sunset, sun.noon])
@pytest.mark.parametrize("latitude", [-55, 0, 40])
def test_no_day_is_lost_and_none_is_doubled(what: Any, latitude: float) -> None:
    for longitude in range(-180, 181, 15):
        events = after(what(latitude, longitude), NEW_YEAR, 366)
        assert all(abs(later - at - DAY) < 5 * MINUTE for at, later in pairwise(events)), longitude


@given(
    st.sampled_from([sun.sunrise, sun.sunset, sun.dawn, sun.dusk, sun.noon]),
    st.floats(-89, 89),
    st.floats(-180, 180),
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    st.timedeltas(-sun.MAX_OFFSET, sun.MAX_OFFSET),
)
def test_wherever_and_whenever_there_is_a_next_one(
    what: Any, latitude: float, longitude: float, at: datetime, offset: timedelta
) -> None:
    """They rise by most of a day, and none is left out: from between two of them one comes to the second."""
    first, second, third = after(what(latitude, longitude, offset=offset), at.replace(tzinfo=UTC), 3)
    assert at.replace(tzinfo=UTC) < first
    for before, later in ((first, second), (second, third)):
        assert later - before > timedelta(hours=20)
        assert after(what(latitude, longitude, offset=offset), before + (later - before) / 2) == [later]


def test_the_polar_day_and_the_polar_night_are_passed_over() -> None:
    year = [at for at in after(sun.sunset(69.65, 18.96), NEW_YEAR, 250) if at.year == 2026]
    gaps = [(at, later) for at, later in pairwise(year) if later - at > 2 * DAY]
    assert [(f"{at:%m-%d}", f"{later:%m-%d}") for at, later in gaps] == [("05-17", "07-26")]
    assert f"{year[0]:%m-%d}" == "01-15"
    assert f"{year[-1]:%m-%d}" <= "11-27"


def test_near_the_pole_it_sets_in_one_year_or_another() -> None:
    assert after(sun.sunset(89, 0), datetime(2026, 10, 1, tzinfo=UTC))[0].date().isoformat() == "2027-03-16"


def test_an_offset_moves_every_tick() -> None:
    early, late = timedelta(minutes=-30), timedelta(hours=2)
    plain = after(sun.sunset(*STOCKHOLM), NEW_YEAR + DAY, 5)
    for offset in (early, late):
        moved = after(sun.sunset(*STOCKHOLM, offset=offset), NEW_YEAR + DAY + offset, 5)
        assert moved == [at + offset for at in plain]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: sun.sunset(89.5, 0), "latitude must be from -89 to 89 degrees, not 89.5"),
        (lambda: sun.sunset("north", 0), "latitude must be from -89 to 89 degrees, not 'north'"),
        (lambda: sun.sunset(0, "181"), "longitude must be from -180 to 180 degrees, not '181'"),
        (lambda: sun.sunset(float("nan"), 0), "latitude must be"),
        (lambda: sun.sunset(0, 0, offset=13 * timedelta(hours=1)), "offset must be a timedelta of up to 12 hours"),
        (lambda: sun.sunset(0, 0, offset=-30), "offset must be a timedelta"),
        (lambda: sun.dusk(0, 0, depression=19), "depression must be from 1 to 18 degrees, not 19"),
    ],
)
def test_what_is_no_place_is_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_it_is_known_by_what_it_is() -> None:
    early = sun.sunset("59.33", "18.07", offset=timedelta(minutes=-30))
    assert name_of(early) == "tickr.sun.sunset(59.33, 18.07, -1800 s)"
    assert name_of(sun.dusk(1, 2)) == "tickr.sun.dusk(1.0, 2.0, 6°)"
    assert code_of(early) == code_of(sun.sunset(59.33, 18.07, offset=timedelta(minutes=-30)))
    assert len({code_of(one) for one in (early, sun.sunset(*STOCKHOLM), sun.sunrise(*STOCKHOLM), sun.noon(0, 0))}) == 4


def test_without_astral_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['astral'] = None\ntry: import tickr.sun\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "tickr.sun needs astral: pip install 'tickr[sun]'\n"


def test_nothing_of_tickr_needs_it() -> None:
    program = "import sys, tickr.service, tickr.cli, tickr.testing; print([m for m in sys.modules if 'astral' in m])"
    assert list(islice(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout, 2)) == [
        "[",
        "]",
    ]
