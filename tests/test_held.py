"""The list of what is held for `make long` names tests that are there."""

from __future__ import annotations

from tests.docs import source
from tests.docs.pages import ROOT
from tests.held import HELD


def test_whatever_is_held_is_there() -> None:
    for name in HELD:
        file, _, test = name.partition("::")
        assert test.partition("[")[0] in source.test_names(ROOT / "tests" / file), name
