"""A machine with a systemd of its own and no network but loopback: where the unit runs as it would on a real one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.children import Child
from tests.debian import copy, debian, nspawn, of_this_machine, output, shell

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "procps", "curl"),
    *("python3", "python3-venv", "mariadb-server", "redis-server"),
)


class Machine(Child):
    """One machine, from its first boot to its end. Starting it again is another boot on the same disk."""

    name = "machine"
    ready_within_s = 120.0

    def __init__(self) -> None:
        super().__init__()
        self.root = self.folder / "root"
        copy(debian(of_this_machine(), *PACKAGES), self.root)

    def command(self) -> Sequence[str]:
        return nspawn(self.root, "--private-network", "--console=pipe", "--boot")

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
        output(*shell(self.root, f"cd /root/tickr\n{script}"))
