"""Environments: each peer in a virtual environment or ``node_modules`` of its own, below ``.peers/`` beside this tree.

The pinned packages come from the registries that pip and npm are set up for. An environment whose package file has not
changed since is used as it is. The folder ignores itself in git; ``make clean`` removes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peers.contract import ROOT, Environment, Peer

CACHE = ROOT / ".peers"
INSTALL_WITHIN_S = 600.0


class NotInstalled(Exception):
    """A peer's packages could not be installed; the message ends with what pip or npm said last."""


def environment_of(peer: Peer) -> Environment:
    """Return the environment of ``peer``, installed if need be. Raises: NotInstalled."""
    if peer.packages is None:
        programs = Path(sys.executable).parent
        return Environment(programs.parent, programs, sys.executable)
    node = peer.language == "node"
    interpreter = shutil.which("node") if node else None
    if node and not (interpreter and shutil.which("npm")):
        raise NotInstalled("node and npm are not installed (Debian: nodejs npm)")
    folder = CACHE / peer.folder.name
    programs = folder / ("node_modules/.bin" if node else "bin")
    stamp = folder / ".installed"
    wanted = f"{sys.version}\n{hashlib.sha256(peer.packages.read_bytes()).hexdigest()}\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        _install(peer, folder, node=node)
        stamp.write_text(wanted)
    return Environment(folder, programs, interpreter or str(programs / "python"))


def _install(peer: Peer, folder: Path, *, node: bool) -> None:
    assert peer.packages is not None
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {peer.title} …", file=sys.stderr)
    if node:
        folder.mkdir()
        shutil.copy(peer.packages, folder)
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], folder)
        return
    _run([sys.executable, "-m", "venv", str(folder)], CACHE)
    _run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "-r", str(peer.packages)], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise NotInstalled(f"{command[0]} failed: " + " | ".join(said))


def versions(peer: Peer, environment: Environment) -> dict[str, str]:
    """Return the version of each package that ``peer`` was given, and of what runs it."""
    if peer.language == "node":
        lock = json.loads((environment.folder / "node_modules/.package-lock.json").read_text())["packages"]
        found = {path.removeprefix("node_modules/"): about["version"] for path, about in lock.items()}
        return {**found, "node": _said([environment.interpreter, "--version"])}
    listed = json.loads(_said([environment.interpreter, "-m", "pip", "list", "--format=json"]))
    found = {about["name"].lower(): about["version"] for about in listed}
    return {**found, "python": _said([environment.interpreter, "--version"]).removeprefix("Python ")}


def _said(command: Sequence[str]) -> str:
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=quiet).stdout.strip()
