"""Retention by ages of their own: each goes soon after its time, whatever the settings; outages are outlived."""

from __future__ import annotations

import math

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.stages.conftest import NODE, SECOND_US, Stage
from tickr.errors import StoreUnavailable
from tickr.jobs import Extras, Job
from tickr.reports import Outcome
from tickr.scheduler.retention import REMOVALS_BATCH, REMOVALS_PAUSE_S, JobRetention, OwnAgeRetention
from tickr.store.contract import Filter


async def succeeded(stage: Stage, count: int, keep_s: float) -> list[Job]:
    jobs = await stage.submit(count, extras=Extras(keep_us=int(keep_s * SECOND_US)))
    await stage.register(NODE)
    claimed = await stage.store.claim([job.id for job in jobs], node=NODE, types={"noop"})
    await stage.store.finish([Outcome(job=job, kind="succeeded") for job in claimed])
    return jobs


async def left(stage: Stage) -> set[str]:
    return {job.id for job in (await stage.store.list_jobs(Filter(), limit=10_000)).jobs}


async def test_each_goes_when_its_own_time_is_over(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(OwnAgeRetention(stage.store).run)
    nursery.start_soon(JobRetention(stage.store, keep_succeeded_s=60, keep_failed_s=math.inf).run)
    brief, long = [await succeeded(stage, 1, keep_s) for keep_s in (20, 500)]
    await trio.sleep(19.9)  # virtual
    assert await left(stage) == {brief[0].id, long[0].id}
    await trio.sleep(REMOVALS_PAUSE_S + 0.2)  # virtual
    assert await left(stage) == {long[0].id}
    await trio.sleep(470)  # virtual
    assert await left(stage) == {long[0].id}
    await trio.sleep(10)  # virtual
    assert await left(stage) == set()


async def test_many_go_in_small_batches_with_pauses(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await succeeded(stage, 4 * REMOVALS_BATCH + 1, 0)
    with capture_logs() as logs:
        nursery.start_soon(OwnAgeRetention(stage.store).run)
        await trio.sleep(0.01)  # virtual
        assert len(await left(stage)) == 3 * REMOVALS_BATCH + 1
        await trio.sleep(1)  # virtual
        assert await left(stage) == set()
    assert [entry["by_own_age"] for entry in logs] == [4 * REMOVALS_BATCH + 1]


async def test_where_there_is_nothing_it_looks_every_few_seconds(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(OwnAgeRetention(stage.store, stretch=2).run)
    await trio.sleep(20 * REMOVALS_PAUSE_S)  # virtual
    assert 10 <= stage.store.calls["remove_due"] <= 11


async def test_two_nodes_and_an_outage(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for _ in range(2):
        nursery.start_soon(OwnAgeRetention(stage.store).run)
    stage.store.failing["*"] = StoreUnavailable("away")
    await trio.sleep(60)  # virtual
    stage.store.failing.clear()
    await succeeded(stage, 500, 1)
    await trio.sleep(2 * REMOVALS_PAUSE_S + 1)  # virtual
    assert await left(stage) == set()
