"""A Debian with a systemd of its own and no network but loopback: where the unit runs as it would on a machine.

Made by ``debootstrap`` once and kept in ``~/.cache/tickr-tests``, then copied for each run of tests, and started by
``systemd-nspawn``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.children import Child
from tests.servers import program

NEEDED = ("debootstrap", "systemd-nspawn", "nsenter")
INCLUDED = "systemd,systemd-sysv,dbus,python3,python3-venv,mariadb-server,redis-server,curl,procps"
KEPT = Path.home() / ".cache" / "tickr-tests"
# Where the host has no systemd, nspawn's own folder must be on a file system that is only in memory.
START = 'mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec systemd-nspawn "$@"'
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")


def missing() -> str | None:
    """Return why there can be no such machine here, or None."""
    lacking = [name for name in NEEDED if program(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not found (Debian: apt-get install debootstrap systemd-container)"
    return None if os.geteuid() == 0 else "only root can start a machine in a container"


def _output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_800, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def debian() -> Path:
    """Return the folder of a Debian of this machine's release, made now if there is none yet. Nobody changes it."""
    (codename,) = {line.partition("=")[2] for line in Path("/etc/os-release").read_text().splitlines() if _names(line)}
    made = KEPT / codename
    if not made.exists():
        origin = ("--format", "$(SITE)", "Identifier: Packages", f"Codename: {codename}", "Label: Debian")
        site = _output("apt-get", "indextargets", *origin).split()[0]
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as half:  # whole or not at all
            # In mounts of its own: what it leaves mounted when it is ended goes with it.
            _output(
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                f"--include={INCLUDED}",
                codename,
                f"{half}/root",
                site,
            )
            Path(half, "root").rename(made)
    return made


def _names(line: str) -> bool:
    return line.startswith("VERSION_CODENAME=")


class Machine(Child):
    """One machine, from its first boot to its end. Starting it again is another boot on the same disk."""

    name = "machine"
    ready_within_s = 120.0

    def __init__(self) -> None:
        super().__init__()
        self.root = self.folder / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", debian(), self.root], check=True)

    def command(self) -> Sequence[str]:
        return self._nspawn("--private-network", "--console=pipe", "--boot")

    def _nspawn(self, *words: str) -> list[str]:
        inside = ["--quiet", f"--directory={self.root}", "--register=no", "--keep-unit", *words]
        # All in one space of processes, the first of which dies with its parent: nothing outlives a ``kill``.
        space = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*space, "sh", "-c", START, "sh", *inside]

    def answers(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def run(self, *command: str, check: bool = True) -> str:
        """Run something in the running machine and return what it says. Raises: AssertionError: it failed."""
        # unshare → sh, which has become nspawn → the first process of the machine
        first = str(self.pid)
        for _ in range(2):
            (first, *_) = Path(f"/proc/{first}/task/{first}/children").read_text().split() or [""]
            if not first:
                raise OSError("the machine has no process yet")
        words = ["nsenter", "--target", first, "--all", *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def prepare(self, script: str, source: Path) -> None:
        """Run ``script`` before the first boot, in a copy of ``source`` and with this machine's network."""
        shutil.copytree(source, self.root / "root/tickr", symlinks=True)
        settings = [f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        trusted = [f"--bind-ro={TRUSTED}"] if TRUSTED.exists() else []
        _output(*self._nspawn("--pipe", *settings, *trusted, "sh", "-ec", f"cd /root/tickr\n{script}"))
