"""The pages say ``curl``; whoever follows them needs it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def needs_curl(request: pytest.FixtureRequest) -> None:
    if request.module.__name__.endswith(("_examples", "test_harness", "first_five_minutes")):
        request.getfixturevalue("curl")
