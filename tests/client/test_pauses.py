"""Full jitter, its bounds, and what a server's ``Retry-After`` makes of it."""

from __future__ import annotations

import pytest

from tickr.client.pauses import FIRST_S, LONGEST_S, Pauses, retry_after_s


def test_pauses_double_up_to_the_longest_and_begin_anew_after_success() -> None:
    pauses = Pauses(chance=lambda: 1.0)
    got = []
    for _ in range(10):
        pauses.failed(1000.0)
        got.append(round(pauses.not_before - 1000.0, 6))
        pauses.not_before = 0.0
    assert got[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert got[-1] == LONGEST_S
    pauses.succeeded()
    pauses.failed(1000.0)
    assert pauses.not_before == 1000.0 + FIRST_S


def test_chance_takes_it_anywhere_below() -> None:
    pauses = Pauses(chance=lambda: 0.0)
    pauses.failed(7.0)
    assert pauses.not_before == 7.0


def test_the_server_is_not_asked_before_it_wants_to_be() -> None:
    pauses = Pauses(chance=lambda: 0.5)
    pauses.failed(0.0, retry_after_s=2.0)
    assert pauses.not_before == 2.0 + 0.5 * FIRST_S
    pauses.failed(0.0)  # another request failed, too; the first one's word stands
    assert pauses.not_before >= 2.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-1", 0.0), ("nan", 0.0), ("Fri, 31 Dec 2100 23:59:59 GMT", 0.0), ("1e9", 3600.0)],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after_s({"retry-after": header}) == seconds
    assert retry_after_s({}) == 0.0
