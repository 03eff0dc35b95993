"""What is released is what is tested: the wheel holds every file of the package and works away from this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.test_compose import copied, seen_by_docker

ROOT = Path(__file__).parent.parent
WORKER = {"tickr/dashboard/client/worker.mjs"}
"""Of the JavaScript client, what the dashboard has no use for."""

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=alone, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def build(source: Path, folder: Path, *what: str) -> Path:
    """Build a wheel of ``source`` into ``folder``. Without isolation: the backend is there, so nothing is fetched."""
    run(sys.executable, "-m", "build", *what, "--no-isolation", "--outdir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; its dependencies are lent by the environment of the tests."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home))
    # Its .pth files are not followed from here, so that this folder's own tickr stays out of sight.
    (own / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin"


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tickr").rglob("*") if path.is_file()}
    expected = {name for name in there if "__pycache__" not in name}
    # The dashboard's client stands in a folder of its own here, and in the wheel with the dashboard.
    expected |= {f"tickr/dashboard/client/{path.name}" for path in (ROOT / "clients/js").glob("*.mjs")} - WORKER
    packed = zipfile.ZipFile(wheel).namelist()
    assert {name for name in packed if name.startswith("tickr/")} == expected
    assert {name.rpartition("/")[0] for name in packed if name.endswith(".sql")} == {
        "tickr/store/schema/mysql",
        "tickr/store/schema/sqlite",
    }
    assert "tickr/py.typed" in packed
    assert [name for name in packed if name.endswith("/licenses/LICENSE")]


def content(wheel: Path) -> dict[str, int]:
    """Return name → checksum of what is in it, less the list of just that."""
    return {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist() if info.filename[-7:] != "/RECORD"}


def test_the_image_has_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Built from what the Dockerfile copies, and ``.dockerignore`` lets it see."""
    for names, to in copied():
        for name in seen_by_docker().intersection(names):
            path = tmp_path / "src" / (to if to == name else Path(to, name))
            path.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, path)
    assert content(build(tmp_path / "src", tmp_path, "--wheel")) == content(wheel)


def test_the_source_archive_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert content(build(ROOT, tmp_path)) == content(wheel)


def test_it_can_be_imported_anywhere(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-W", "error", "-c", "import tickr; print(tickr.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(installed.parent)


def test_the_program_runs_anywhere(installed: Path, tmp_path: Path) -> None:
    version = run(sys.executable, "-c", "from importlib.metadata import version as v; print(v('tickr'))", cwd=tmp_path)
    assert version in run(installed / "tickr", "--version", cwd=tmp_path)
    assert version in run(installed / "python", "-m", "tickr", "--version", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
