"""What commits did to jobs: exact in the buckets of Prometheus, and never more labels than there may be."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tickr.meters import JOB_SECONDS, OTHER
from tickr.metrics.jobs import MAX_PAIRS, NODES, Tallied
from tickr.names import queue_of_node
from tickr.tallies import Part, Tally, Times, bucket


def started(type: str, queue: str, *waits_us: int) -> Tally:
    part = Part(queue, type, wait=Times(sum(waits_us), Counter(map(bucket, waits_us))))
    part.counts[1] = len(waits_us)
    return Tally(0, [part])


@given(st.lists(st.integers(0, 2**34), max_size=30))
def test_every_time_falls_into_its_bucket(waits_us: list[int]) -> None:
    tallied = Tallied()
    tallied.take(started("a", "q", *waits_us))
    *counts, total = tallied.snapshot()["tickr_job_wait_seconds"]["a", "q"]  # type: ignore[misc]
    exact = [0] * (len(JOB_SECONDS) + 1)
    for wait in waits_us:
        # The bounds are whole powers of two in microseconds; one that hits a bound is above it.
        exact[bisect_left(JOB_SECONDS, (wait + 0.5) / 1e6)] += 1
    assert counts == exact
    assert total == sum(waits_us) / 1e6


def test_commits_are_added_up_for_each_pair() -> None:
    tallied = Tallied()
    for _ in range(3):
        tallied.take(started("a", "q", 5, 6))
    tallied.take(started("a", "other-queue", 5))
    found = tallied.snapshot()
    assert found["tickr_jobs_started_total"] == {("a", "q"): 6.0, ("a", "other-queue"): 1.0}
    assert found["tickr_jobs_submitted_total"]["a", "q"] == 0.0


def test_pairs_beyond_the_bound_are_one() -> None:
    tallied = Tallied()
    for number in range(MAX_PAIRS + 50):
        tallied.take(started(f"type{number}", "q", 5))
    tallied.take(started("type0", "q", 5))  # one that was there before keeps its own
    found = tallied.snapshot()["tickr_jobs_started_total"]
    assert len(found) == MAX_PAIRS + 1
    assert (found[OTHER, OTHER], found["type0", "q"]) == (50.0, 2.0)


def test_the_queues_of_single_nodes_are_one() -> None:
    tallied = Tallied()
    for number in range(200):
        tallied.take(started("a", queue_of_node(f"node{number}"), 5))
    assert tallied.snapshot()["tickr_jobs_started_total"] == {("a", NODES): 200.0}
