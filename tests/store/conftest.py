"""One test body, every adapter: a test that asks for ``store`` or ``backend`` runs on memory, SQLite and MySQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.backends import Backend, MysqlBackend, SqliteBackend, SteppedClock
from tickr.store.contract import Store

ADAPTERS = ["memory", "sqlite", pytest.param("mysql", marks=pytest.mark.slow)]


def _backend(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if name == "mysql":
        return MysqlBackend(request.getfixturevalue("mysql_url"))
    return SqliteBackend(tmp_path / "tickr.db") if name == "sqlite" else Backend("memory:")


@pytest.fixture(params=ADAPTERS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A place for a store, nothing in it yet."""
    return _backend(request.param, request, tmp_path)


@pytest.fixture(params=ADAPTERS[1:])
def durable_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """The same, of those that keep what they have when they are closed."""
    return _backend(request.param, request, tmp_path)


@pytest.fixture
def clock(backend: Backend) -> SteppedClock:
    """The clock of ``backend`` and ``store``."""
    return backend.clock


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """An open, empty store on ``backend``."""
    async with backend.open() as opened:
        yield opened
