"""Suspects, jobs that one more lost node would end, are started singly: what ran beside poison is not blamed for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.stages.conftest import NODE, Stage
from tests.worker.attempts import claimed, running_pool
from tickr.index.heap import open_heap
from tickr.jobs import SUSPECT_CRASHES, Job
from tickr.queues import Limits
from tickr.scheduler.promote import promote
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs
from tickr.worker.suspect import SUSPECT_S

OTHER = "22222222-2222-7222-8222-222222222222"
MOST_CLAIMS = 200
"""Those that wait are tried about twice a second, not all the time."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_heap() as index:
        yield Stage(index)


async def test_a_suspect_is_watched_until_it_ends_or_has_done_no_harm_for_a_while(autojump_clock: MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs, slots=3) as bench:
        bench.pool.start([claimed("t", crashes=SUSPECT_CRASHES - 1)])
        assert not bench.pool.has_suspect
        first, second = (claimed("t", crashes=SUSPECT_CRASHES) for _ in range(2))
        bench.pool.start([first])
        assert bench.pool.has_suspect
        bench.pool.stop(first.id, StopReason.CANCELLED)
        await bench.outcomes.next()
        assert not bench.pool.has_suspect
        bench.pool.start([second])
        assert bench.pool.has_suspect
        await trio.sleep(SUSPECT_S)  # virtual
        assert not bench.pool.has_suspect
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_of_jobs_that_crashed_together_one_at_a_time_is_started(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs, gates = Jobs(), dict[str, trio.Event]()

    @jobs.handler("noop")
    async def noop(job: tickr.Job) -> None:
        gates[job.id] = trio.Event()
        await gates[job.id].wait()

    suspects = {job.id for job in await crashed(stage, 3)}
    others = {job.id for job in await stage.submit(2)}
    await stage.register(NODE, types=("noop",))
    async with running_pool(jobs, slots=10) as bench:
        nursery.start_soon(promote, stage.store, stage.index, stage.bell)
        claimer = stage.claimer(bench.pool, jobs.types)
        nursery.start_soon(claimer.run, NODE)
        for left in (3, 2, 1):
            await trio.sleep(SUSPECT_S / 2)  # virtual
            (running,) = gates.keys() - others
            assert (await stage.store.queues())[0].ready == left - 1
            gates.pop(running).set()
            await stage.store.finish([await bench.outcomes.next()])
            suspects.remove(running)
        assert not suspects
        assert gates.keys() == others
        assert stage.store.calls["claim"] < MOST_CLAIMS
        claimer.close()
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_of_several_claims_at_once_one_may_bring_a_suspect(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs, begun = Jobs(), list[str]()

    @jobs.handler("noop")
    async def noop(job: tickr.Job) -> None:
        begun.append(job.id)
        await trio.sleep_forever()

    suspects = await crashed(stage, 3)
    await stage.index.remove([job.entry() for job in suspects])
    soon = stage.wall_clock() + 1_000_000
    await stage.register(NODE, types=("noop",))
    async with running_pool(jobs, slots=10) as bench:
        nursery.start_soon(promote, stage.store, stage.index, stage.bell)
        claimer = stage.claimer(bench.pool, jobs.types)
        nursery.start_soon(claimer.run, NODE)
        await trio.sleep(0.5)  # virtual: what is due has been put to the front, and one of them runs
        bench.pool.stop_all(StopReason.CANCELLED)
        await stage.store.finish([await bench.outcomes.next()])
        others = [job for job in suspects if job.id not in begun]
        stage.slow_down_claims(0.003)
        for at_us, job in enumerate(others):
            await stage.index.remove([job.entry()])
            await stage.index.park([job.entry()], until=soon + 1_000 * at_us)
        await trio.sleep(0.6)  # virtual
        assert stage.store.calls["claim"] >= 3
        assert len(begun) == 2
        claimer.close()
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_suspects_of_a_limited_queue_wait_their_time_though_places_get_free_all_the_time(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs = Jobs()
    jobs.handler("noop")(trio.sleep_forever)
    await stage.store.control("default", limits=Limits(max_running=100))
    await crashed(stage, 3)
    await stage.register(NODE, types=("noop",))
    stage.slow_down_claims(0.003)
    gates = stage.gates()

    async def end_others() -> None:
        while True:
            await trio.sleep(0.001)  # virtual
            await gates.ended([])

    async with running_pool(jobs, slots=10) as bench:
        nursery.start_soon(promote, stage.store, stage.index, stage.bell)
        claimer = stage.claimer(bench.pool, jobs.types, gates)
        nursery.start_soon(claimer.run, NODE)
        nursery.start_soon(end_others)
        await trio.sleep(SUSPECT_S / 2)  # virtual
        assert 3 < stage.store.calls["claim"] < MOST_CLAIMS
        claimer.close()
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def crashed(stage: Stage, count: int) -> list[Job]:
    """Have ``count`` jobs lost together with their node, as often as makes suspects of them, and submit them anew."""
    jobs = await stage.insert(count)
    for _ in range(SUSPECT_CRASHES):
        await stage.register(OTHER)
        await stage.store.claim([job.id for job in jobs], node=OTHER, types={"noop"})
        await stage.store.deregister(OTHER)
        await stage.store.reap(count)
    await stage.announcer.announce([job.entry() for job in jobs], at=stage.wall_clock())
    return jobs
