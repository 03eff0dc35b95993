from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.site import Site, open_site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running API with the default configuration."""
    async with open_site() as opened:
        yield opened
