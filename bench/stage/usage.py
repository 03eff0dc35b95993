"""What each process uses: processor time and memory, as the kernel counts them (/proc).

Who is charged: a *party* is a name and its processes, each with its descendants. What all others on the machine used
meanwhile comes as ``others``: a run in which that is not small says little.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = 4096
"""In which /proc/net/sockstat counts."""

SERVING = ("server", "database", "redis")
"""The parties whose processor time is what jobs cost."""

Parties = Mapping[str, Sequence[int]]


def family(pid: int) -> set[int]:
    """Return ``pid`` and all its living descendants."""
    found = {pid}
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listing.read_text().split():
                found |= family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time of process ``pid`` and of its children that have ended; 0 if it has ended, too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def cpu_of(pids: Iterable[int]) -> float:
    return sum(cpu_s(one) for pid in pids for one in family(pid))


def busy_s() -> float:
    """Return how long the processors of this machine have worked since its start, all together."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft = map(int, fields[:7])
    return (user + nice + system + irq + soft) / TICKS


def idle_s() -> float:
    """Return how long all processors of this machine together have idled since its start."""
    return float(Path("/proc/uptime").read_text().split()[1])


def memory(pid: int) -> dict[str, int]:
    """Return what process ``pid`` takes (RSS and PSS) and what the kernel keeps in TCP buffers, in bytes."""
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    found = {name.lower(): int(rollup[name].split()[0]) * 1024 for name in ("Rss", "Pss")}
    tcp = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")).split()
    return {**found, "kernel": int(tcp[tcp.index("mem") + 1]) * PAGE_BYTES}


class Usage:
    """What parties use from now on."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._began = time.monotonic()
        self._busy = busy_s()
        self._cpu = self._each()

    def _each(self) -> dict[str, float]:
        return {name: cpu_of(pids) for name, pids in self._parties.items()}

    def so_far(self) -> dict[str, Any]:
        """Return ``wall_s``, and in ``cpu_s`` the seconds of processor time of each party and of all others."""
        used = {name: after - self._cpu[name] for name, after in self._each().items()}
        others = max(0.0, busy_s() - self._busy - sum(used.values()))
        return {
            "wall_s": time.monotonic() - self._began,
            "cpu_s": {name: round(value, 3) for name, value in {**used, "others": others}.items()},
        }


def cpu_columns(rounds: Sequence[Mapping[str, Any]], each: str) -> dict[str, float | None]:
    """Return a table's columns: microseconds of each party's processor time for one of what ``each`` counts."""
    total = sum(one[each] for one in rounds)
    names = [name for one in rounds[:1] for name in one["cpu_s"] if name != "others"]
    return {f"{name} µs": sum(one["cpu_s"][name] for one in rounds) / total * 1e6 if total else None for name in names}


def others_share(rounds: Sequence[Mapping[str, Any]]) -> float:
    """Return how much of one processor everything else on the machine took while it was measured."""
    return sum(one["cpu_s"]["others"] for one in rounds) / max(sum(one["wall_s"] for one in rounds), 1e-9)
