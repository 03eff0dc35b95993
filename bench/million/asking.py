"""Asks, one call after the other over one connection that is kept, and tells how long each took and cost.

Measured from the first byte sent to the last byte read, on loopback; beside it the processor time that server,
database and Redis have used meanwhile, from the kernel's account of each process: other programs hardly touch that.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bench.load.address import Address
from bench.million.calls import Call
from bench.report import figures
from bench.stage.usage import family

WITHIN_S = 60.0
_SCHEDULED = 2
"""Which clock of a process: that of its processor time (clock_getcpuclockid)."""


class Asker:
    """One connection to a node. ``pids``: of all processes whose time an answer costs."""

    def __init__(self, address: Address, pids: Sequence[int]) -> None:
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=WITHIN_S)
        self._headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._pids = pids

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """Return the body of the answer. Raises: SystemExit: it is no success."""
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        self._connection.request("POST" if body else "GET", path, body, headers)
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} was answered with {answer.status}: {read[:500]!r}")
        return read

    def measure(self, call: Call, times: int) -> dict[str, Any]:
        """Ask ``times`` times, after once that is told apart: nobody may have asked the node for that before."""
        path = self._place(call)
        used = cpu_ns(self._pids)
        answer = self.ask(path, call.body)
        first_ms = (cpu_ns(self._pids) - used) / 1e6
        took_ms: list[float] = []
        used_ms: list[float] = []
        for _ in range(times):
            used, began = cpu_ns(self._pids), time.perf_counter_ns()
            self.ask(path, call.body)
            took_ms.append((time.perf_counter_ns() - began) / 1e6)
            used_ms.append((cpu_ns(self._pids) - used) / 1e6)
        return {
            "name": call.name,
            "took_ms": short(took_ms),
            "cpu_ms": short(used_ms),
            "first_cpu_ms": first_ms,
            **_held(answer),
        }

    def _place(self, call: Call) -> str:
        path = call.path
        for _ in range(call.pages):
            cursor = json.loads(self.ask(path, call.body))["next_cursor"]
            if cursor is None:
                break
            path = f"{call.path}&cursor={cursor}"
        return path


def _held(answer: bytes) -> dict[str, Any]:
    """Return how large the answer is, and of a list how many it holds."""
    found: dict[str, Any] = {"bytes": len(answer)}
    with suppress(ValueError):
        told = json.loads(answer)
        if isinstance(told, dict) and isinstance(told.get("items"), list):
            found["items"] = len(told["items"])
    return found


def short(values: Sequence[float]) -> dict[str, float]:
    """Return count, minimum, p50, p95 and maximum."""
    found = figures.distribution(values)
    return {name: found[name] for name in ("count", "min", "p50", "max")} | {"p95": found["thousandths"][950]}


def cpu_ns(pids: Sequence[int]) -> int:
    """Return the nanoseconds of processor time that these processes and their children have used, ended threads too."""
    used = 0
    for pid in pids:
        for one in family(pid):
            with suppress(OSError):  # it has just ended
                used += time.clock_gettime_ns(~one << 3 | _SCHEDULED)
    return used
