"""Tallies: sums are exact in any order, and quantiles are as good as their buckets."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tickr import tallies
from tickr.tallies import COUNTED, Part, Tally, Times, bounds, bucket, times

DURATIONS = st.integers(0, 2**50) | st.integers(0, 100)


@given(DURATIONS)
def test_a_duration_is_within_its_bucket(duration: int) -> None:
    low, high = bounds(bucket(duration))
    assert low <= duration < high
    assert high - low <= max(1, low / 4)


def test_buckets_follow_each_other_without_a_gap() -> None:
    ends = [bounds(place) for place in range(200)]
    assert ends[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(ends))


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_the_sum_of_parts_is_the_whole(one: list[int], other: list[int]) -> None:
    merged = times(one)
    merged.merge(times(other))
    assert merged == times(one + other)
    assert merged.count == len(one) + len(other)
    assert merged.mean_s == (sum(one + other) / len(one + other) / 1e6 if one + other else None)


@given(st.lists(DURATIONS, min_size=1), st.floats(0, 1))
def test_a_quantile_is_in_the_bucket_of_the_true_one(durations: list[int], share: float) -> None:
    (estimate,) = times(durations).quantiles_s([share])
    assert estimate is not None
    true = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    low, high = bounds(bucket(true))
    assert low / 1e6 <= estimate <= high / 1e6


@given(st.lists(DURATIONS, min_size=1), st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_quantiles_are_in_order(durations: list[int], shares: list[float]) -> None:
    found = times(durations).quantiles_s(sorted(shares))
    assert found == [times(durations).quantiles_s([share])[0] for share in sorted(shares)]
    assert found == sorted(one or 0.0 for one in found)


def test_nothing_has_no_mean_and_no_quantile() -> None:
    assert (Times().count, Times().mean_s, Times().quantiles_s([0.5])) == (0, None, [None])


def test_a_duration_below_zero_counts_as_none() -> None:
    assert times([-5, 0]) == Times(0, {0: 2})


PARTS = st.builds(
    Part,
    st.sampled_from("ab"),
    st.sampled_from("xy"),
    st.lists(st.integers(0, 9), min_size=len(COUNTED), max_size=len(COUNTED)),
    st.lists(DURATIONS, max_size=5).map(times),
    st.lists(DURATIONS, max_size=5).map(times),
)


@given(st.lists(PARTS, max_size=5), st.integers(0, 2**52))
def test_what_is_stored_is_what_is_read(parts: list[Part], at: int) -> None:
    text = tallies.encode(Tally(at, parts))
    assert (text is None) == (not parts)
    assert text is None or tallies.decode(text) == Tally(at, parts)
