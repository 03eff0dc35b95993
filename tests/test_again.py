"""What failed beside others gets its second chance alone, and no more than that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import again

SOMETIMES = "def test_sometimes(): pass\n"
NEVER = "def test_never(): raise ValueError\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_many(n): pass\n"


def noted(tmp_path: Path, *names: str) -> Path:
    """The file in which pytest notes that ``names`` failed."""
    file = tmp_path / "lastfailed"
    file.write_text(json.dumps(dict.fromkeys(names, True)))
    return file


@pytest.fixture(autouse=True)
def of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs them in a folder with its own settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_a.py").write_text(SOMETIMES)
    (tmp_path / "test_b.py").write_text(NEVER)


def test_what_passes_alone_is_told_and_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main(noted(tmp_path, "test_a.py::test_sometimes")) == 0
    assert "FAILED IN COMPANY, passed alone: test_a.py::test_sometimes" in capsys.readouterr().out


def test_what_fails_alone_has_failed(tmp_path: Path) -> None:
    assert again.main(noted(tmp_path, "test_a.py::test_sometimes", "test_b.py::test_never")) == 1


def test_many_of_one_file_are_as_good_as_one(tmp_path: Path) -> None:
    names = [f"test_many[{number}]" for number in range(2 * again.MOST)]
    (tmp_path / "test_a.py").write_text(MANY)
    assert again.main(noted(tmp_path, *(f"test_a.py::{name}" for name in names))) == 0


@pytest.mark.parametrize("names", [[], [f"test_{n}.py::test" for n in range(again.MOST + 1)]], ids=["none", "many"])
def test_many_at_once_are_not_run_again(tmp_path: Path, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main(noted(tmp_path, *names)) == 1
    assert f"{len(names)} failed, in {len(names)} files: not run again" in capsys.readouterr().err


def test_without_a_note_nothing_is_run(tmp_path: Path) -> None:
    assert again.main(tmp_path / "none") == 1
