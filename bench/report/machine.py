"""What figures were made on: the machine, and the versions of everything that had a part in them."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("trio", "hypercorn", "quart", "quart-trio", "msgspec", "redis", "hiredis", "trio-mysql")


def machine() -> dict[str, Any]:
    """Return what this machine is, and how busy it is at this moment."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    total = [int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    return {
        "system": platform.platform(),
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": total[0] if total else None,
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    found = {"tickr": _version("tickr"), "tickr_commit": _commit(), "python": platform.python_version()}
    return {**found, **{name: _version(name) for name in PACKAGES}, "sqlite": sqlite3.sqlite_version}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Return the commit of this folder, with a plus if something in the program is not as committed."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--", "tickr") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
