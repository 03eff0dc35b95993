"""A store with a past, skewed as in real life: one queue has nearly everything, several little, histories are long."""

from __future__ import annotations

import time

from bench.fill import Rows, add
from tickr.jobs import State

DAY_US = 86_400 * 1_000_000


async def fill(url: str) -> int:
    """Add some 60,000 jobs. Returns the instant at which they are that old, microseconds."""
    now = time.time_ns() // 1000
    long_ago = now - 20 * DAY_US
    kinds = [
        Rows(count=15_000, type="other", first_us=long_ago, step_us=1_000_000),
        Rows(count=3_000, state=State.FAILED, first_us=long_ago, step_us=2_000_000),
        Rows(count=2_000, state=State.CANCELLED, first_us=long_ago, step_us=2_000_000, due_in_us=DAY_US),
        Rows(count=10_000, type="other", priority=3, first_us=now - 5 * DAY_US, step_us=1_000_000),
        Rows(count=15_000, type="other", state=State.READY, first_us=now - DAY_US),
        Rows(count=12_000, state=State.READY, first_us=now, due_in_us=DAY_US),
        Rows(count=1_000, state=State.RETRYING, first_us=now, due_in_us=DAY_US),
        *(Rows(count=30, state=State.READY, queue=f"q{n}", priority=n, first_us=now - DAY_US) for n in range(10)),
        *(Rows(count=30, queue=f"q{n}", priority=n, first_us=long_ago) for n in range(10)),
    ]
    await add(url, kinds)
    return now
