"""A node is killed at every failpoint, under load; another goes on, and nothing is lost, doubled, early or stuck.

Each test judges one scene of ``crash_plots.py``: the victim died at its very point, and the checker finds no fault in
what clients heard, jobs wrote and the store has.
"""

from __future__ import annotations

import pytest

from tests.faults.crash_plots import IN_FAMILIES, NUMBERED_AT_INSERT, SCENES
from tests.faults.crash_stage import Kind, Stage
from tests.faults.theatre import Theatre
from tickr.failpoints import POINTS

AT_ONCE = 4
"""Two for each of two processors, as half of the time they wait."""

WHERE = [
    *(("mysql+redis", point) for point in POINTS if point not in IN_FAMILIES),
    *(
        pytest.param("sqlite+heap", point, marks=pytest.mark.long)
        for point in POINTS
        if point not in NUMBERED_AT_INSERT | IN_FAMILIES
    ),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first test plays the scenes of all


@pytest.fixture(scope="module")
def theatre(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(request, tmp_path_factory, play, at_once=AT_ONCE)


async def play(stage: Stage, point: str) -> None:
    await SCENES[point].play(stage, point, SCENES[point])


def test_every_point_has_a_scene() -> None:
    assert list(SCENES) == [point for point in POINTS if point not in IN_FAMILIES]


@pytest.mark.parametrize(("kind", "scene"), WHERE)
def test_nothing_is_lost_when_a_node_is_killed_at(kind: Kind, scene: str, theatre: Theatre) -> None:
    played = theatre.played(kind, scene)
    print(played.took_s, played.table)
    assert not played.failed, played.failed
