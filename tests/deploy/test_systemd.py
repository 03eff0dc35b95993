"""The unit: systemd takes it and finds it tight, and Tickr understands the command in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import do_without
from tests.deploy.serving import AFTER_GRACE_S, served
from tickr.cli.exits import MISUSED

UNIT = Path(__file__).parent.parent.parent / "deploy" / "systemd" / "tickr.service"
PROGRAM = "/opt/tickr/bin/tickr"
MOST_EXPOSURE = 20
"""In tenths: systemd counts from 0 to 10, and calls what is below 4 OK."""


def settings() -> dict[str, list[str]]:
    """Return each setting as section.name, with what it is set to, one after the other."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[f"{section}.{name}"].append(value)
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that this machine has."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(f"ExecStart={PROGRAM}", f"ExecStart={sys.executable}"))
    return path


def analyze(*words: str | Path) -> str:
    """Return what ``systemd-analyze`` complains of; nothing if it does not."""
    program = shutil.which("systemd-analyze")
    if program is None:
        do_without("systemd-analyze is not installed")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout[-2000:] + done.stderr if done.returncode else done.stderr


def test_systemd_takes_it(unit: Path) -> None:
    assert analyze("verify", unit) == ""
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    assert "ProtectHouse" in analyze("verify", unit)


def test_systemd_finds_it_tight(unit: Path) -> None:
    judge = ("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSURE}")
    assert analyze(*judge, unit) == ""
    unit.write_text(unit.read_text().replace("NoNewPrivileges=yes", "").replace("CapabilityBoundingSet=\n", ""))
    assert analyze(*judge, unit) != ""


def test_tickr_understands_its_command(tmp_path: Path) -> None:
    (command,) = settings()["Service.ExecStart"]
    program, *words = command.split()
    assert program == PROGRAM
    file = tmp_path / "tickr.toml"
    file.write_text("")
    config = served([word.replace("/etc/tickr/tickr.toml", str(file)) for word in words], {})
    (stop_s,) = settings()["Service.TimeoutStopSec"]
    assert float(stop_s) > config.grace + AFTER_GRACE_S
    assert config.store == "sqlite:///tickr.db"  # in the folder that is its own
    assert settings()["Service.WorkingDirectory"] == [f"%S/{settings()['Service.StateDirectory'][0]}"]


def test_it_comes_back_unless_it_was_given_what_cannot_be_used() -> None:
    found = settings()
    assert found["Service.Type"] == ["notify"]
    assert found["Service.Restart"] == ["always"]
    assert found["Service.RestartPreventExitStatus"] == [str(MISUSED)]
    assert found["Unit.StartLimitIntervalSec"] == ["0"]


def test_it_is_nobody_and_keeps_its_secrets_to_itself() -> None:
    found = settings()
    assert found["Service.User"] == ["tickr"]
    assert found["Service.NoNewPrivileges"] == ["yes"]
    assert found["Service.ProtectSystem"] == ["strict"]
    assert found["Service.EnvironmentFile"] == ["-/etc/tickr/tickr.env"]
    assert not [value for values in found.values() for value in values if "TICKR_" in value]


def test_how_to_install_it_makes_all_that_it_needs() -> None:
    steps = UNIT.read_text().partition("[Unit]")[0]
    (command,) = settings()["Service.ExecStart"]
    assert f"touch {command.split()[-1]}" in steps  # without the file it would end, and not be started again
    assert f"useradd --system --home-dir /var/lib/tickr {settings()['Service.User'][0]}" in steps
    assert "/pip install .  " in steps  # of this folder, and not whatever an index has by this name
