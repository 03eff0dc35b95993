"""Figures of the feed benchmarks: distributions, memory, and the file they are kept in with what they were made on."""

from __future__ import annotations

import json
import os
import platform
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE_BYTES = 4096
"""In which /proc/net/sockstat counts."""


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def distribution(values_ms: Sequence[float]) -> dict[str, Any]:
    """Return count, the usual quantiles, and every thousandth of the distribution in order, all in ms."""
    ordered = sorted(values_ms)
    named = {name: round(quantile(ordered, share), 3) for name, share in QUANTILES.items()}
    every = [round(quantile(ordered, step / 1000), 3) for step in range(1001)]
    return {"count": len(ordered), **named, "max": round(ordered[-1], 3), "thousandths": every}


QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def arrivals(report: Mapping[str, Any]) -> Iterator[tuple[int, str, int]]:
    """Yield (subscriber, event id, arrival in ns) for everything that the subscribers of ``report`` got."""
    rows, ids = array("q"), report["ids"]
    rows.frombytes(report["arrived"])
    for at in range(0, len(rows), 4):
        subscriber, first, count, arrived = rows[at : at + 4]
        for number in range(first, first + count):
            yield subscriber, ids[number], arrived


def memory(pid: int) -> dict[str, int]:
    """Return what process ``pid`` takes (RSS and PSS) and what the kernel keeps in TCP buffers, in bytes."""
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    found = {name.lower(): int(rollup[name].split()[0]) * 1024 for name in ("Rss", "Pss")}
    tcp = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")).split()
    return {**found, "kernel": int(tcp[tcp.index("mem") + 1]) * PAGE_BYTES}


def cpu_s(pid: int) -> float:
    """Return the processor time that process ``pid`` has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_s() -> float:
    """Return how long all processors of this machine together have idled since its start."""
    return float(Path("/proc/uptime").read_text().split()[1])


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    made_with = {name: version(name) for name in ("tickr", "trio", "hypercorn", "quart", "quart-trio", "msgspec")}
    system = {"system": platform.platform(), "processors": os.cpu_count(), "processor": model}
    return {"python": platform.python_version(), **system, **made_with, "load_before": os.getloadavg()[0]}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def keep(name: str, figures: Mapping[str, Any]) -> None:
    """Write ``bench/results/feed-<name>.json``."""
    raw = {
        "command": " ".join(["python", "bench/feed.py", *sys.argv[1:]]),
        "at": datetime.now(UTC).isoformat(),
        "machine": machine(),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"feed-{name}.json"
    path.write_text(json.dumps(raw) + "\n")
    print(f"raw figures: bench/results/{path.name}")


def show(text: str) -> None:
    """Say how far it is, on one line."""
    print(f"\r{text:<100}", end="", file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print ``rows``, which all have the same columns."""
    print(file=sys.stderr)
    columns = [*rows[0]]
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    for line in [columns, *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
