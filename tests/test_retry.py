"""How long to wait before the next attempt: bounds, growth and jitter."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr.retry import DEFAULT, MAX_DELAY_S, Backoff

seconds = st.floats(0, MAX_DELAY_S)
backoffs = st.builds(
    Backoff,
    kind=st.sampled_from(["constant", "linear", "exponential"]),
    base=seconds,
    factor=st.floats(1, 100),
    cap=seconds,
    jitter=st.floats(0, 1),
)
attempts = st.integers(1, 1_000_000)
chances = st.floats(0, 1, exclude_max=True)


@given(backoff=backoffs, attempt=attempts, chance=chances)
def test_every_usable_policy_gives_a_delay_within_its_bounds(backoff: Backoff, attempt: int, chance: float) -> None:
    assert backoff.faults() == []
    delay = backoff.delay_s(attempt, chance)
    assert math.isfinite(delay)
    assert 0 <= delay <= backoff.cap * (1 + backoff.jitter) * (1 + 1e-12)
    middle = backoff.delay_s(attempt, 0.5)
    assert abs(delay - middle) <= middle * backoff.jitter * (1 + 1e-9) + 1e-9


@given(backoff=backoffs, attempt=attempts)
def test_without_luck_a_delay_never_shrinks_with_the_attempts(backoff: Backoff, attempt: int) -> None:
    assert backoff.delay_s(attempt, 0.5) <= backoff.delay_s(attempt + 1, 0.5)


@pytest.mark.parametrize(
    ("kind", "delays"),
    [("constant", [3, 3, 3, 3]), ("linear", [3, 6, 9, 10]), ("exponential", [3, 6, 10, 10])],
)
def test_the_three_kinds(kind: Literal["constant", "linear", "exponential"], delays: list[float]) -> None:
    backoff = Backoff(kind=kind, base=3, factor=2, cap=10, jitter=0)
    assert [backoff.delay_s(attempt, 0.99) for attempt in (1, 2, 3, 4)] == delays


def test_the_default() -> None:
    assert [DEFAULT.delay_s(attempt, 0.5) for attempt in (1, 2, 3, 10)] == [10, 20, 40, 3600]
    assert DEFAULT.delay_s(1, 0.0) == pytest.approx(9)
    assert DEFAULT.delay_s(1, 0.999999) == pytest.approx(11, abs=1e-4)


def test_jitter_spreads_evenly() -> None:
    backoff = Backoff(kind="constant", base=100, jitter=0.5)
    assert [backoff.delay_s(1, quarter / 4) for quarter in range(4)] == [50, 75, 100, 125]


def test_the_cap_comes_before_the_jitter() -> None:
    assert Backoff(kind="constant", base=100, cap=10, jitter=1).delay_s(1, 0.75) == 15


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base", -1.0), ("base", math.nan), ("base", math.inf), ("base", MAX_DELAY_S * 2), ("factor", 0.99),
        ("factor", 101.0), ("factor", math.nan), ("cap", -0.1), ("cap", math.inf), ("jitter", 1.01), ("jitter", -0.1),
    ],
)  # fmt: skip
def test_a_field_out_of_range_is_named(field: str, value: float) -> None:
    ((named, problem),) = msgspec.structs.replace(DEFAULT, **{field: value}).faults()
    assert named == field
    assert "must be between" in problem


@given(backoff=backoffs)
def test_a_policy_survives_its_json(backoff: Backoff) -> None:
    assert msgspec.json.decode(msgspec.json.encode(backoff), type=Backoff) == backoff
