"""The server's clock as a node sees it between two answers."""

from __future__ import annotations

import time

from tests.servers import mysql_execute
from tests.store.backends import SECOND, assert_lawful, join, new_job, told
from tickr.jobs import State
from tickr.store.contract import Start
from tickr.store.mysql import open_mysql
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


async def test_a_clock_that_was_set_is_noticed_by_the_statement_that_stores(mysql_url: str) -> None:
    """It asks nobody for the time before; and must not store a job for an hour from now, or for one that is over."""
    async with open_mysql(mysql_url) as store:
        await join(store, "n1")
        for step_us in (3_600_000_000, -3_600_000_000):
            store._clock._offset_us += step_us
            new = [new_job(), new_job(), new_job(delay_us=SECOND)]
            answers = await store.insert(new, start=Start("n1", frozenset([new[0].id])))
            ((now,),) = mysql_execute(mysql_url, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")
            for job, created in answers:
                assert created
                assert abs(job.created_at - int(now)) < 10 * SECOND
            assert [job.state for job, _ in answers] == [State.RUNNING, State.READY, State.READY]
            assert abs(store.now_us() - int(now)) < 10 * SECOND
        assert_lawful(await told(store))
