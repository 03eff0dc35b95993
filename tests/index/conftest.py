"""What the tests of the index may ask for besides the servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.index.redis_checks import Log


@pytest.fixture
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as log:
        yield log
