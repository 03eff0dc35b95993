"""A file of SQLite that this user may read and not write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.test_sqlite import open_and_close
from tickr.errors import StoreUnavailable

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Have the process be somebody whom permissions concern, which they do not root."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


@pytest.fixture
def file() -> Iterator[Path]:
    """Where a store may be made, in a folder in which everybody may write; none above it is root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder, "tickr.db")


async def test_a_file_that_cannot_be_written_is_refused_at_once(file: Path) -> None:
    await open_and_close(file)
    os.chmod(file, 0o444)
    with as_nobody(), pytest.raises(StoreUnavailable, match="cannot be written"):
        await open_and_close(file)
