"""``MODULE:APP``: found where a newcomer puts it, and every way to get it wrong is told in a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tickr
from tickr.cli.application import find_jobs
from tickr.cli.exits import MISUSED, Exit

ONE = "import tickr\njobs = tickr.Jobs()\nsame = jobs\nother = 5\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory of the test's own, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refusal(name: str) -> str:
    with pytest.raises(Exit) as refused:
        find_jobs(name)
    assert refused.value.exit_code == MISUSED
    return str(refused.value.message)


def test_the_named_attribute_or_the_only_jobs_is_found(folder: Path) -> None:
    (folder / "one.py").write_text(ONE)
    found = find_jobs("one:jobs")
    assert isinstance(found, tickr.Jobs)
    assert find_jobs("one") is found
    assert find_jobs("one:same") is found


def test_a_module_in_a_package_and_a_dotted_attribute(folder: Path) -> None:
    (folder / "pkg").mkdir()
    (folder / "pkg/__init__.py").write_text("")
    (folder / "pkg/deep.py").write_text("import tickr\nclass App:\n    jobs = tickr.Jobs()\n")
    assert isinstance(find_jobs("pkg.deep:App.jobs"), tickr.Jobs)


def test_no_such_module(folder: Path) -> None:
    assert refusal("nowhere:jobs") == f"There is no module 'nowhere': not in {folder} and not installed."
    (folder / "pkg").mkdir()
    (folder / "pkg/__init__.py").write_text("")
    assert "There is no module 'pkg.nowhere'" in refusal("pkg.nowhere")


def test_a_module_that_needs_another_that_is_missing(folder: Path) -> None:
    (folder / "needy.py").write_text("import numpyy\n")
    assert refusal("needy:jobs") == "needy needs the module 'numpyy', which is not installed."


@pytest.mark.parametrize("code", ["1 / 0", "raise ValueError('mine')", "import sys; sys.exit(3)", "def f(:"])
def test_a_module_that_fails_shows_its_own_traceback(folder: Path, code: str) -> None:
    (folder / "failing.py").write_text(f"\n{code}\n")
    told = refusal("failing")
    assert told.startswith("failing cannot be imported.")
    assert 'failing.py", line 2' in told
    assert "importlib" not in told
    assert "application.py" not in told


def test_no_such_attribute(folder: Path) -> None:
    (folder / "one.py").write_text(ONE)
    assert refusal("one:jobz") == "There is no 'jobz' in one. Say one:jobs or one:same."


def test_an_attribute_that_is_no_jobs(folder: Path) -> None:
    (folder / "one.py").write_text(ONE)
    assert refusal("one:other") == "one:other is of type int, not a tickr.Jobs. Say one:jobs or one:same."


def test_without_attribute_there_must_be_exactly_one(folder: Path) -> None:
    (folder / "none.py").write_text("")
    assert refusal("none") == "There is no tickr.Jobs in none; make one: jobs = tickr.Jobs()."
    (folder / "two.py").write_text("import tickr\na = tickr.Jobs()\nb = tickr.Jobs()\n")
    assert refusal("two") == "There are several tickr.Jobs in two. Say two:a or two:b."


@pytest.mark.parametrize("name", ["app.py", "app.py:jobs", "./app.py", "src/app"])
def test_a_file_is_not_a_module(name: str) -> None:
    assert "is a file; a module is named like" in refusal(name)


@pytest.mark.parametrize("name", ["", ":jobs", ".x", "a..b:c"])
def test_what_is_no_name_at_all(name: str) -> None:
    assert refusal(name)
