"""A Debian in a folder, of this release or another, and what runs in it: ``debootstrap`` and ``systemd-nspawn``.

Made once for each list of packages and kept in ``~/.cache/tickr-tests``; whoever changes it takes a copy.
"""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import zlib
from pathlib import Path

from tests.servers import program

NEEDED = ("debootstrap", "systemd-nspawn", "nsenter")
KEPT = Path.home() / ".cache" / "tickr-tests"
# Where the host has no systemd, nspawn's own folder must be on a file system that is only in memory.
START = 'mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec systemd-nspawn "$@"'
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
MADE_WITHIN_S = 1_800


def missing() -> str | None:
    """Return why there can be none here, or None."""
    lacking = [name for name in NEEDED if program(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not found (Debian: apt-get install debootstrap systemd-container)"
    return None if os.geteuid() == 0 else "only root can start a Debian in a folder"


def of_this_machine() -> str:
    """Return the codename of this machine's release."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def output(*command: str | Path) -> str:
    """Return what a command says on stdout. Raises: AssertionError: it failed; with all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=MADE_WITHIN_S, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def debian(codename: str, *packages: str) -> Path:
    """Return the folder of a Debian with these packages beside what it must have, made now if there is none yet."""
    included = ",".join(sorted(packages))
    made = KEPT / f"{codename}-{zlib.crc32(included.encode()):08x}"
    if not made.exists():
        origin = ("--format", "$(SITE)", "Identifier: Packages", f"Codename: {of_this_machine()}", "Label: Debian")
        site = output("apt-get", "indextargets", *origin).split()[0]
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as half:  # whole or not at all
            # In mounts of its own: what it leaves mounted when it is ended goes with it.
            words = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={included}"]
            output(*words, codename, f"{half}/root", site)
            Path(half, "root").rename(made)
    return made


def copy(made: Path, to: Path) -> None:
    """Copy a Debian, owners and all, to where there is nothing yet."""
    subprocess.run(["cp", "-a", "--reflink=auto", made, to], check=True)


def nspawn(root: Path, *words: str) -> list[str]:
    """Return the command that does ``words`` (arguments of ``systemd-nspawn``) with ``root``.

    All is in one space of processes, the first of which dies with its parent: nothing outlives a ``kill``.
    """
    space = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", START, "sh"]
    return [*space, "--quiet", f"--directory={root}", "--register=no", "--keep-unit", *words]


def shell(root: Path, script: str) -> list[str]:
    """Return the command that runs ``script`` there, with this machine's network, and pip as it is set up here."""
    settings = [f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    trusted = [f"--bind-ro={AUTHORITIES}"] if AUTHORITIES.exists() else []
    return nspawn(root, "--pipe", *settings, *trusted, "sh", "-ec", script)
