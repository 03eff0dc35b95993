"""A Tickr for the tests of submissions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import TickrProcess


@pytest.fixture
def shared_tickr() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", index="heap:") as process:
        yield process
