"""The unit under a real systemd, installed by the very commands that stand in its first lines."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.debian import missing
from tests.deploy.machine import Machine
from tests.deploy.test_systemd import UNIT

ROOT = Path(__file__).parent.parent.parent
STORE = "TICKR_STORE=mysql://tickr:tickr@127.0.0.1/tickr\nTICKR_INDEX=redis://127.0.0.1/0\n"
USER = (
    "CREATE DATABASE tickr; CREATE USER tickr@127.0.0.1 IDENTIFIED BY 'tickr'; GRANT ALL ON tickr.* TO tickr@127.0.0.1"
)
OWN_HANDLERS = """[Service]
ExecStart=
ExecStart=/opt/tickr/bin/tickr serve --config /etc/tickr/tickr.toml mine:jobs
Environment=PYTHONPATH=/opt/mine
"""
HANDLERS = """
import tickr
import trio

jobs = tickr.Jobs()


@jobs.handler("nap")
async def nap(seconds: float) -> str:
    await trio.sleep(seconds)
    return "slept"


@jobs.handler("burn", run_in="process")
def burn(n: int) -> int:
    return sum(range(n))
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]


def steps() -> list[str]:
    """Return the commands that install the unit, the last of which starts it."""
    comments = (line.removeprefix("#") for line in UNIT.read_text().partition("[Unit]")[0].splitlines())
    return [line.partition("   (")[0].strip() for line in comments if line.startswith("   ")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the unit was just installed and started."""
    if reason := missing():
        pytest.skip(reason)
    source = tmp_path_factory.mktemp("source") / "tickr"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    *before, start = steps()
    made = Machine()
    made.prepare("\n".join(before), source)
    with made:
        made.run("sh", "-ec", start)
        yield made


RESTARTED = "until test $(systemctl show tickr --value --property=NRestarts) -gt {}; do sleep 0.2; done"
UP = "until curl -sf http://127.0.0.1:8080/readyz; do sleep 0.2; done"
RUNS = 'until curl -s http://127.0.0.1:8080/jobs/{} | grep -q \'"state":"running"\'; do sleep 0.1; done'


def until(machine: Machine, condition: str) -> None:
    """Wait in the machine for at most 90 s. Raises: AssertionError."""
    machine.run("timeout", "90", "sh", "-c", condition)


def ask(machine: Machine, path: str, **body: Any) -> dict[str, Any]:
    words = ["curl", "-sS", f"http://127.0.0.1:8080{path}"]
    sent = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
    answer: dict[str, Any] = json.loads(machine.run(*words, *sent))
    return answer


def submit(machine: Machine, name: str, **payload: Any) -> str:
    return str(ask(machine, "/jobs", type=name, payload=payload)["id"])


def ended(machine: Machine, job_id: str) -> tuple[str, int]:
    """Return the state a job ended in, and how often the node that ran it was lost."""
    job = ask(machine, f"/jobs/{job_id}?wait=60")
    return job["state"], job["crashes"]


def shown(machine: Machine, *names: str) -> list[str]:
    """Return what systemd says of the unit."""
    wanted = [f"--property={name}" for name in names]
    said = dict(line.split("=", 1) for line in machine.run("systemctl", "show", "tickr", *wanted).splitlines())
    return [said[name] for name in names]


def kill(machine: Machine) -> None:
    """Kill all processes of the unit, and wait until systemd has noticed."""
    (before,) = shown(machine, "NRestarts")
    machine.run("pkill", "-KILL", "-u", "tickr")
    until(machine, RESTARTED.format(before))


def configure(machine: Machine, text: str) -> None:
    (machine.root / "etc/tickr/tickr.toml").write_text(text)


def test_it_serves_as_its_user_in_its_own_folder_and_runs_jobs(machine: Machine) -> None:
    assert shown(machine, "ActiveState", "SubState", "UnitFileState") == ["active", "running", "enabled"]
    assert ended(machine, submit(machine, "report", title="Hello")) == ("succeeded", 0)
    (owned,) = (machine.root / "var/lib/tickr").glob("tickr.db")
    assert owned.stat().st_mode & 0o077 == 0
    assert machine.run("stat", "--format=%U", "/var/lib/tickr/tickr.db").strip() == "tickr"


def test_killed_it_comes_back_and_goes_on(machine: Machine) -> None:
    job = ask(machine, "/jobs", type="report", payload={"title": "Later"}, delay=3)["id"]
    kill(machine)
    until(machine, UP)
    assert shown(machine, "NRestarts") == ["1"]
    assert ended(machine, job) == ("succeeded", 0)


def test_settings_that_cannot_be_used_end_it_for_good(machine: Machine) -> None:
    configure(machine, "prot = 8080\n")
    machine.run("systemctl", "restart", "tickr", check=False)
    assert shown(machine, "ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "2"]
    assert "did you mean port?" in machine.run("journalctl", "--unit=tickr", "--output=cat", "--lines=9")
    configure(machine, "")
    machine.run("systemctl", "restart", "tickr")
    assert shown(machine, "ActiveState") == ["active"]


def test_handlers_and_processes_of_ones_own_on_a_database_that_may_be_away(machine: Machine) -> None:
    machine.run("systemctl", "start", "mariadb", "redis-server")
    machine.run("mariadb", "-e", USER)
    (machine.root / "opt/mine").mkdir()
    (machine.root / "opt/mine/mine.py").write_text(HANDLERS)
    (machine.root / "etc/systemd/system/tickr.service.d").mkdir()
    (machine.root / "etc/systemd/system/tickr.service.d/mine.conf").write_text(OWN_HANDLERS)
    (machine.root / "etc/tickr/tickr.env").write_text(STORE)
    configure(machine, "processes = 2\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "tickr")
    assert ended(machine, submit(machine, "burn", n=100_000)) == ("succeeded", 0)

    job = submit(machine, "nap", seconds=4)
    until(machine, RUNS.format(job))
    kill(machine)
    until(machine, UP)
    assert ended(machine, job) == ("succeeded", 1)

    job = submit(machine, "nap", seconds=4)
    until(machine, RUNS.format(job))
    machine.run("systemctl", "stop", "tickr")  # waits for it
    assert shown(machine, "Result", "ExecMainStatus") == ["success", "0"]
    machine.run("systemctl", "stop", "mariadb.socket", "mariadb")  # a listening socket would start it
    machine.run("systemctl", "start", "--no-block", "tickr")
    until(machine, RESTARTED.format(0))
    machine.run("systemctl", "start", "mariadb")
    until(machine, UP)
    assert ended(machine, job) == ("succeeded", 0)


@pytest.fixture(scope="module")
def interrupted(machine: Machine) -> str:
    """A job during which the machine was switched off; it has booted again."""
    machine.run("systemctl", "enable", "mariadb", "redis-server")
    job = submit(machine, "nap", seconds=30)
    until(machine, RUNS.format(job))
    machine.run("systemctl", "poweroff", check=False)
    machine.wait(timeout_s=90)
    machine.start()
    return job


def test_a_machine_that_is_switched_off_goes_on_with_its_jobs(machine: Machine, interrupted: str) -> None:
    until(machine, UP)
    assert shown(machine, "ActiveState", "NRestarts") == ["active", "0"]
    assert ended(machine, interrupted) == ("succeeded", 0)
