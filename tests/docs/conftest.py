"""The pages say ``curl``; whoever follows them needs it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def needs_curl(request: pytest.FixtureRequest) -> None:
    if request.module.__name__.endswith(("test_examples", "test_harness")):
        request.getfixturevalue("curl")
