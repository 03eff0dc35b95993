"""The pictures are of every screen that there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.dashboard.screenshots import SCREENS

DASHBOARD = Path(__file__).parents[2] / "tickr" / "dashboard"


def test_every_screen_of_the_dashboard_is_taken() -> None:
    (found,) = re.findall(r"^const SCREENS = \{(.+)\};$", (DASHBOARD / "app.mjs").read_text(), re.MULTILINE)
    names = {one.split(":")[0].strip().strip('"') for one in found.split(",")}
    assert names == {screen.split("/")[0] for screen in SCREENS}
