"""Jobs: what this node's commits have done to jobs, by type and queue.

The store tells of each commit once it has taken place, as a sum (``tallies.py``): so a batch costs one addition for
each pair of type and queue in it, however many jobs it has. Its fine buckets become those of Prometheus in a scrape.
"""

from __future__ import annotations

from bisect import bisect_right

from tickr.meters import JOB_SECONDS, OTHER
from tickr.metrics.snapshot import Labels, Snapshot, Value
from tickr.names import is_queue
from tickr.tallies import Part, Tally, Times, bucket

MAX_PAIRS = 100
"""Pairs of type and queue with labels of their own, the first that there were; the rest is ``other``."""
NODES = "nodes"
"""In the place of the queue of a single node, in which a broadcast puts a job: nodes come and go."""

_FIRST_ABOVE = [bucket(round(bound * 1e6)) for bound in JOB_SECONDS]

COUNTERS = {
    "created": "tickr_jobs_submitted_total",
    "redriven": "tickr_jobs_redriven_total",
    "started": "tickr_jobs_started_total",
}
OUTCOMES = ("succeeded", "retrying", "failed", "cancelled", "released")


class Tallied:
    """The sum of all commits so far; ``take`` is what the store calls."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], Part] = {}

    def take(self, tally: Tally) -> None:
        for part in tally.parts:
            self._of(part.type, part.queue if is_queue(part.queue) else NODES).merge(part)

    def _of(self, type: str, queue: str) -> Part:
        pair = type, queue
        if pair not in self._parts and len(self._parts) >= MAX_PAIRS:
            pair = OTHER, OTHER
        if pair not in self._parts:
            self._parts[pair] = Part(queue=pair[1], type=pair[0])
        return self._parts[pair]

    def snapshot(self) -> Snapshot:
        found: Snapshot = {}

        def put(name: str, labels: Labels, value: Value) -> None:
            found.setdefault(name, {})[labels] = value

        for pair, part in self._parts.items():
            for what, name in COUNTERS.items():
                put(name, pair, float(part[what]))
            for outcome in OUTCOMES:
                put("tickr_jobs_finished_total", (*pair, outcome), float(part[outcome]))
            put("tickr_job_wait_seconds", pair, _histogram(part.wait))
            put("tickr_job_run_seconds", pair, _histogram(part.run))
        return found


def _histogram(times: Times) -> list[float]:
    """Return the counts between ``JOB_SECONDS``, and above them, and the sum in seconds."""
    counts = [0.0] * (len(_FIRST_ABOVE) + 1)
    for place, count in times.buckets.items():
        counts[bisect_right(_FIRST_ABOVE, place)] += count
    return [*counts, times.total_us / 1e6]
