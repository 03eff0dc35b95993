"""A watch on one job: what wakes it, what it costs, and what is left of it. Virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.feed.conftest import LONG_S, Log
from tests.store.backends import end, start
from tickr.feed.watch import Watch
from tickr.reports import Note


async def wakes(watch: Watch, within_s: float = LONG_S) -> bool:
    with trio.move_on_after(within_s):
        await watch.wait()
        return True
    return False


async def test_it_wakes_for_its_own_job_alone(log: Log, autojump_clock: MockClock) -> None:
    one, other = await log.write(2)
    async with log.feed.watch(one.id) as watch:
        await log.store.cancel(other.id)
        assert not await wakes(watch)
        await log.store.cancel(one.id)
        assert await wakes(watch)
        assert not await wakes(watch)


async def test_what_a_job_says_while_it_runs_wakes_nobody(log: Log, autojump_clock: MockClock) -> None:
    (job,) = await log.write()
    (run,) = await start(log.memory, job)
    async with log.feed.watch(job.id) as watch:
        assert await log.store.note([Note(job=run, kind="progress", number=1, at=1, fraction=0.5)]) == 1
        assert not await wakes(watch)
        assert await end(log.memory, run, "succeeded")
        assert await wakes(watch)


async def test_a_deaf_bell_costs_a_second(log: Log, autojump_clock: MockClock) -> None:
    (job,) = await log.write()
    async with log.feed.watch(job.id) as watch:
        await wait_all_tasks_blocked()
        log.deafen()
        await log.store.cancel(job.id)
        assert await wakes(watch, 1.5)


async def test_a_thousand_watches_read_what_one_reads(log: Log, autojump_clock: MockClock) -> None:
    jobs = await log.write(1000)
    async with AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(log.feed.watch(job.id)) for job in jobs]
        await wait_all_tasks_blocked()
        before = log.store.calls["event_rows"]
        await log.store.cancel(jobs[7].id)
        await wait_all_tasks_blocked()
        assert log.store.calls["event_rows"] == before + 1
        assert [watch for watch in watches if await wakes(watch, 1)] == [watches[7]]
    assert log.feed._tail._groups == {}


async def test_a_log_that_cannot_be_followed_ends_it(log: Log, autojump_clock: MockClock) -> None:
    (job,) = await log.write()
    async with log.feed.watch(job.id) as watch:
        await wait_all_tasks_blocked()
        log.deafen()
        await log.write(3)
        await log.store.prune_events(log.wall_clock() + 1, 10)
        assert await wakes(watch)
        assert watch.lost
