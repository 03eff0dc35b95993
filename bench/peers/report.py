"""The table at the end and the file of raw figures, from the records of ``rounds.py``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from bench.peers.contract import Facts, Peer
from bench.report import terminal
from bench.report.figures import Round, quantile, ratio
from bench.report.machine import versions

REFERENCE = "tickr"
EMBEDDED = "tickr-sqlite"

Run = Mapping[str, Any]


def raw(
    records: Mapping[str, Any],
    *,
    command: str,
    machine: Mapping[str, Any],
    servers: Mapping[str, str],
    settings: Mapping[str, Any],
) -> Run:
    """Return the whole run, for JSON, with the ratios that were made of it.

    Args:
      machine: what it was, and how busy, before the run.
      servers: the version of each.
    """
    pairs = [(one, name) for one in (REFERENCE, EMBEDDED) for name in records if name != one]
    return {
        "name": "peers",
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "versions": {**versions(), **servers},
        "given": dict(settings),
        "summary": [found for one, name in pairs if (found := compared(records, one, name))],
        "peers": dict(records),
    }


def compared(records: Mapping[str, Any], side: str, other: str) -> dict[str, Any] | None:
    """Return how many times as fast ``side`` was as ``other`` in the rounds in which both worked; None: in none."""
    rounds: dict[str, Sequence[Round]] = {name: records[name]["rounds"] for name in (side, other) if name in records}
    numbers = set.intersection(*({one["round"] for one in found} for found in rounds.values()))
    if len(rounds) < 2 or not numbers:
        return None
    both = [{**one, "side": name} for name, found in rounds.items() for one in found if one["round"] in numbers]
    return ratio(both, "jobs_per_s", side, other)


def rows(records: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table's rows, the fastest first; who did not work has none, see ``notes``."""
    found = [(name, record) for name, record in records.items() if record["rounds"]]
    found.sort(key=lambda pair: -_median(pair[1], "jobs_per_s"))
    return [_row(records, name) for name, _ in found]


def _row(records: Mapping[str, Any], name: str) -> dict[str, Any]:
    record = records[name]
    latencies = sorted(ms for one in record["rounds"] for ms in one["latencies_ms"])
    return {
        "": f"{record['title']} ({record['version']})",
        "jobs/s": round(_median(record, "jobs_per_s")),
        "Tickr ÷ it": _spread(compared(records, REFERENCE, name)) if name != REFERENCE else "",
        "Tickr on SQLite ÷ it": _spread(compared(records, EMBEDDED, name)) if name != EMBEDDED else "",
        **{f"{side} µs": round(_median(record, f"{side}_us")) for side in ("worker", "broker", "producer")},
        "idle p50 ms": quantile(latencies, 0.5) if latencies else None,
        "p99 ms": quantile(latencies, 0.99) if latencies else None,
        "processes": record["processes"],
    }


def _median(record: Mapping[str, Any], figure: str) -> float:
    return float(statistics.median(one[figure] for one in record["rounds"]))


def _spread(found: Mapping[str, Any] | None) -> str:
    return f"{found['ratio']:.2f} ({found['least']:.2f}..{found['most']:.2f})" if found else "–"


def notes(records: Mapping[str, Any]) -> list[str]:
    """Return what the table alone would hide: who failed, who ran jobs twice, how busy the machine was otherwise."""
    found = []
    for record in records.values():
        found += [f"{record['title']} failed: {failure}" for failure in record["failures"]]
        if extra := sum(one["extra"] for one in record["rounds"]):
            found.append(f"{record['title']} ran {extra} jobs twice")
    others = [one["others_share"] for record in records.values() for one in record["rounds"]]
    if others:
        found.append(f"everything else on this machine took {statistics.median(others):.2f} of a processor")
    return found


def table(records: Mapping[str, Any]) -> str:
    """Return the table and the notes as text."""
    found = rows(records)
    return "\n".join([*([terminal.table(found)] if found else []), *notes(records)])


def fairness(peers: Sequence[Peer]) -> str:
    """Return the table of what each peer does for its figure, as README.md has it."""
    names = [field.name for field in fields(Facts)]
    lines = [["", *names], ["---"] * (len(names) + 1)]
    lines += [[peer.title, *(str(getattr(peer.facts, name)) for name in names)] for peer in peers]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
