"""Process: what the machine says of this process, and how promptly its event loop turns."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import trio

from tickr.meters import SECONDS, Histogram
from tickr.metrics.snapshot import Snapshot, of_histogram

if TYPE_CHECKING:
    from prometheus_client import ProcessCollector

PERIOD_S = 0.5
"""How long the task sleeps that measures the lag, in seconds."""


class Lag:
    """Measures by how much a task of this loop wakes too late. ``run`` must be running."""

    def __init__(self) -> None:
        self._seen = Histogram(SECONDS)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + PERIOD_S
            await trio.sleep_until(due)
            self._seen.observe(max(0.0, trio.current_time() - due))

    def snapshot(self) -> Snapshot:
        return {"tickr_event_loop_lag_seconds": {(): of_histogram(self._seen)}}


def snapshot() -> Snapshot:
    """Return ``process_*``; nothing where there is no /proc."""
    return {sample.name: {(): sample.value} for family in _collector().collect() for sample in family.samples}


@cache
def _collector() -> ProcessCollector:
    from prometheus_client import ProcessCollector  # see ``scrape.load``

    return ProcessCollector(registry=None)
