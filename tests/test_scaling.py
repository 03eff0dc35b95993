"""How many processes there should be: the decision by itself, in a time of its own, against fleets of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tickr.processes.scaling import GROW_AFTER_S, ROOM, SHRINK_AFTER_S, Place, Scaling
from tickr.values import Range
from tickr.worker.load import Load

BUSY = Place(True, Load(1.0, behind=True))
FULL = Place(True, Load(1.0, behind=False))
IDLE = Place(True, Load(0.0, behind=False))
SILENT = Place(True, None)
STARTING = Place(False, None)
FALLING = Place(False, Load(1.0, behind=True))


def looked(scaling: Scaling, places: Sequence[Place], seconds: int, *, begin: float = 0, leaving: int = 0) -> list[int]:
    """Return what each look, one a second, says of a fleet that stays as it is."""
    return [scaling.look(begin + second, places, leaving=leaving) for second in range(seconds)]


def first(said: Sequence[int]) -> int | None:
    """Return after how many seconds there was a change."""
    return next((second for second, by in enumerate(said) if by), None)


def test_one_is_added_when_work_has_waited_for_all_of_them_for_a_while() -> None:
    said = looked(Scaling(Range(2, 8)), [BUSY, BUSY], 30)
    # The first look learns how many there are; and after a change all has to be seen anew.
    assert first(said) == GROW_AFTER_S + 1
    assert [second for second, by in enumerate(said) if by] == [4, 9, 14, 19, 24, 29]
    assert set(said) == {0, 1}


@pytest.mark.parametrize(
    "places", [[BUSY, FULL], [BUSY, IDLE], [BUSY, STARTING], [BUSY, FALLING], [SILENT, SILENT], [FULL, FULL], []]
)
def test_none_is_added_while_one_keeps_up_or_none_can_tell_or_one_is_started_or_falls(places: list[Place]) -> None:
    assert not any(looked(Scaling(Range(1, 8)), places, 200))


def test_one_that_is_stuck_keeps_nobody_from_helping_the_others() -> None:
    assert first(looked(Scaling(Range(1, 8)), [BUSY, SILENT], 10)) == GROW_AFTER_S + 1


def test_one_moment_without_work_waiting_begins_the_wait_anew() -> None:
    scaling = Scaling(Range(1, 8))
    assert not any(looked(scaling, [BUSY], 4))
    assert not any(looked(scaling, [FULL], 1, begin=4))
    assert first(looked(scaling, [BUSY], 10, begin=5)) == GROW_AFTER_S


def test_those_that_leave_count_until_they_have_left() -> None:
    assert not any(looked(Scaling(Range(1, 3)), [BUSY, BUSY], 60, leaving=1))
    assert first(looked(Scaling(Range(1, 4)), [BUSY, BUSY], 60, leaving=1)) == GROW_AFTER_S + 1


def test_one_is_taken_away_when_the_others_could_have_done_it_for_long() -> None:
    assert first(looked(Scaling(Range(1, 8)), [IDLE, IDLE], 100)) == SHRINK_AFTER_S + 1
    half = Place(True, Load(ROOM / 2, behind=False))
    assert first(looked(Scaling(Range(1, 8)), [half, half], 100)) == SHRINK_AFTER_S + 1
    more = Place(True, Load(ROOM / 2 + 0.01, behind=False))
    assert not any(looked(Scaling(Range(1, 8)), [more, more], 200))


@pytest.mark.parametrize("other", [BUSY, SILENT, STARTING, FULL])
def test_none_is_taken_away_while_another_has_work_or_tells_nothing(other: Place) -> None:
    assert not any(looked(Scaling(Range(1, 2)), [IDLE, other], 200))


def test_a_moment_of_work_begins_the_wait_anew() -> None:
    scaling = Scaling(Range(1, 8))
    assert not any(looked(scaling, [IDLE, IDLE], 30))
    assert not any(looked(scaling, [IDLE, FULL], 1, begin=30))
    assert first(looked(scaling, [IDLE, IDLE], 100, begin=31)) == SHRINK_AFTER_S


loads = some.builds(Load, some.floats(0, 4, allow_nan=False), some.booleans())
places = some.lists(some.builds(Place, some.booleans(), some.none() | loads), max_size=6)
bounds = some.tuples(some.integers(1, 6), some.integers(0, 4)).map(lambda two: Range(two[0], two[0] + two[1]))


class Look(NamedTuple):
    after_s: float
    places: list[Place]
    leaving: int


looks = some.lists(some.builds(Look, some.floats(0.01, 20), places, some.integers(0, 3)), max_size=60)


@settings(deadline=None)
@given(bounds, looks, some.integers(1, 4))
def test_whatever_is_told_the_bounds_hold_and_changes_keep_their_distance(
    bounds: Range, looks: list[Look], repeated: int
) -> None:
    scaling, now, changed_at = Scaling(bounds), 0.0, -1e9
    for look in [look for look in looks for _ in range(repeated)]:
        now += look.after_s
        by = scaling.look(now, look.places, leaving=look.leaving)
        assert by in (-1, 0, 1)
        if not by:
            continue
        assert all(place.steady for place in look.places)
        assert now - changed_at >= (GROW_AFTER_S if by > 0 else SHRINK_AFTER_S)
        staying = len(look.places) + by
        assert staying >= bounds.least if by < 0 else staying + look.leaving <= bounds.most
        changed_at = now


class Fleet:
    """Processes with ``slots`` each, under a load of so many jobs at once: how many there are comes to rest."""

    START_S = 2

    def __init__(self, bounds: Range, slots: int) -> None:
        self.scaling, self.slots, self.bounds = Scaling(bounds), slots, bounds
        self.serving, self.starting = bounds.least, list[float]()
        self.changes: list[tuple[float, int]] = []

    @property
    def number(self) -> int:
        return self.serving + len(self.starting)

    def live(self, begin: int, seconds: int, jobs: int) -> None:
        for now in range(begin, begin + seconds):
            while self.starting and self.starting[0] <= now:
                self.starting.pop(0)
                self.serving += 1
            share = min(jobs / (self.serving * self.slots), 1.0)
            load = Load(share, behind=jobs > self.serving * self.slots)
            by = self.scaling.look(now, [Place(True, load)] * self.serving + [STARTING] * len(self.starting))
            if by > 0:
                self.starting.append(now + self.START_S)
            elif by < 0:
                self.serving -= 1
            if by:
                self.changes.append((now, by))
            assert self.bounds.least <= self.number <= self.bounds.most


@settings(deadline=None)
@given(bounds, some.integers(1, 50), some.lists(some.integers(0, 600), min_size=1, max_size=4))
def test_under_any_steady_load_the_number_comes_to_rest_where_it_is_enough(
    bounds: Range, slots: int, phases: list[int]
) -> None:
    """And on the way there it goes one way only: what was added is not taken away again, nor the other way round."""
    fleet = Fleet(bounds, slots)
    for phase, jobs in enumerate(phases):
        fleet.changes.clear()
        fleet.live(phase * 1_000, 500, jobs)
        assert len({by for _, by in fleet.changes}) <= 1
        fleet.changes.clear()
        fleet.live(phase * 1_000 + 500, 500, jobs)
        assert not fleet.changes
        assert fleet.number == bounds.most or jobs <= fleet.number * slots
        assert fleet.number == bounds.least or jobs > ROOM * (fleet.number - 1) * slots


def test_how_long_it_takes_from_least_to_most_and_back() -> None:
    fleet = Fleet(Range(2, 8), 50)
    fleet.live(0, 100, 1_000)
    assert fleet.number == 8
    assert fleet.changes[-1][0] <= 45
    fleet.live(100, 300, 0)
    assert fleet.number == 2
    assert 6 * SHRINK_AFTER_S <= fleet.changes[-1][0] - 100 <= 200
