"""docs/faults.md lists the failpoints that there are, in their order and words, and names tests that exist."""

from __future__ import annotations

from tests.docs import source
from tests.docs.pages import ROOT, code, table
from tests.docs.test_tables import NAMED_TEST
from tickr.failpoints import ACTIONS, POINTS

PAGE = (ROOT / "docs" / "faults.md").read_text()


def test_the_points_are_those_of_the_program() -> None:
    shown = [(code(name)[0], meaning) for name, meaning in table(PAGE, "point")]
    assert shown == list(POINTS.items())


def test_the_actions_are_those_of_the_program() -> None:
    shown = [code(row[0])[0].partition(":")[0] for row in table(PAGE, "action")]
    assert sorted(shown) == sorted(action.partition(":")[0] for action in ACTIONS.split(", "))


def test_every_test_that_is_named_exists() -> None:
    named = NAMED_TEST.findall(PAGE)
    assert named
    assert [f"{file}::{name}" for file, name in named if name not in source.test_names(ROOT / file)] == []
