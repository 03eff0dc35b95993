"""The server's clock as a node sees it between two answers."""

from __future__ import annotations

import time

from tickr.store.mysql_transactions import ServerClock

MS_NS = 1_000_000
NOW = 1_900_000_000_000_000


def answered(clock: ServerClock, told_us: int, *, took_ms: int) -> None:
    clock.told(told_us, time.monotonic_ns() - took_ms * MS_NS)


def test_it_does_not_go_back_because_an_answer_was_long_on_its_way() -> None:
    clock = ServerClock(None)
    answered(clock, NOW, took_ms=1)
    for _ in range(100):
        seen = clock.now_us()
        answered(clock, seen - 80_000, took_ms=100)  # of which 80 ms for the way back
        assert clock.now_us() >= seen


def test_it_follows_a_clock_that_was_set() -> None:
    clock = ServerClock(None)
    answered(clock, NOW, took_ms=1)
    for told_us in (NOW - 3_600_000_000, NOW + 3_600_000_000):
        answered(clock, told_us, took_ms=1)
        assert 0 <= clock.now_us() - told_us < 60_000_000
