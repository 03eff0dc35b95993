"""Temporary files stand in memory where there is room for them, and else where they always did."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests import folders
from tests.folders import keep_in_memory


@pytest.fixture(autouse=True)
def as_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    monkeypatch.setattr(folders, "LEAST_BYTES", 0)


def test_in_memory(tmp_path: Path) -> None:
    assert keep_in_memory(tmp_path)
    assert tempfile.gettempdir() == str(tmp_path)
    assert keep_in_memory(tmp_path)  # as in a child, which has been told


def test_where_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    before = tempfile.gettempdir()
    assert not keep_in_memory(tmp_path)
    assert tempfile.gettempdir() == before


def test_not_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not keep_in_memory(tmp_path / "nowhere")
    monkeypatch.setattr(folders, "LEAST_BYTES", 2**60)
    assert not keep_in_memory(tmp_path)
