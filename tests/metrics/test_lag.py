"""The lag of the event loop, and what the machine says of the process."""

from __future__ import annotations

import os
import time

import trio
import trio.testing

from tickr.metrics import process
from tickr.metrics.process import Lag


async def test_a_loop_that_is_blocked_shows() -> None:
    lag = Lag()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        await trio.testing.wait_all_tasks_blocked()
        blocked_s = process.PERIOD_S + 0.3
        until = time.monotonic() + blocked_s
        while time.monotonic() < until:
            pass  # as a handler does that computes
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    *counts, total = lag.snapshot()["tickr_event_loop_lag_seconds"][()]  # type: ignore[misc]
    assert sum(counts) >= 1
    assert 0.2 < total < 60


def test_the_process_is_told_of() -> None:
    found = process.snapshot()
    assert found["process_open_fds"][()] >= 3  # type: ignore[operator]
    assert 0 < found["process_start_time_seconds"][()] <= time.time()  # type: ignore[operator]
    cpu = found["process_cpu_seconds_total"][()]
    assert isinstance(cpu, float)
    assert abs(cpu - sum(os.times()[:2])) < 5
