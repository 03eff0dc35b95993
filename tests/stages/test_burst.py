"""Burst: a node that works until nothing is left for it, and what it does not wait for."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, Stage
from tests.stages.living import Living
from tickr.errors import StoreUnavailable
from tickr.jobs import NewJob
from tickr.queues import Limits
from tickr.schedule_moves import Put
from tickr.ticks import Timing
from tickr.worker.burst import NET_S, TICKS_S


class Bursting(Living):
    """A node that says when nothing is left: ``over``, ``took_s`` after it began."""

    def __init__(self, stage: Stage, slots: int = 2, *, schedules: bool = False) -> None:
        super().__init__(stage, slots)
        self.over, self.took_s, self._schedules = trio.Event(), 0.0, schedules

    async def live(self, nursery: trio.Nursery) -> None:
        await super().live(nursery)
        nursery.start_soon(self._burst)
        await wait_all_tasks_blocked()

    async def _burst(self) -> None:
        began = trio.current_time()
        await self.worker.wait_nothing_left(schedules=self._schedules)
        self.took_s = trio.current_time() - began
        self.over.set()


async def test_nothing_to_do_is_over_at_once(stage: Stage, autojump_clock: MockClock) -> None:
    node = Bursting(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        assert node.over.is_set()
        nursery.cancel_scope.cancel()


async def test_all_that_is_due_is_run_more_than_there_are_slots_and_unknown_to_the_index(
    stage: Stage, autojump_clock: MockClock
) -> None:
    jobs = await stage.insert(7)
    node = Bursting(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await node.pass_by(30)
        assert not node.over.is_set(), "two of them run"
        assert len(node.started) == 2
        node.gate.set()
        await node.over.wait()
        assert sorted(node.started) == sorted(job.id for job in jobs)
        assert {(await stage.get(job)).state for job in jobs} == {"succeeded"}
        nursery.cancel_scope.cancel()


async def test_jobs_made_meanwhile_are_run_as_well(stage: Stage, autojump_clock: MockClock) -> None:
    (first,) = await stage.submit()
    node = Bursting(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        (second,) = await stage.insert()
        node.gate.set()
        await node.over.wait()
        assert node.started == [first.id, second.id]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["delayed", "of another type", "paused", "limited", "running elsewhere"])
async def test_what_it_may_not_start_now_is_not_waited_for(stage: Stage, autojump_clock: MockClock, what: str) -> None:
    fields = {"delayed": {"delay_us": 1_000_000}, "of another type": {"type": "foreign"}}.get(what, {"queue": "q"})
    jobs = await stage.submit(2, **fields)
    if what == "running elsewhere":
        for job in jobs:
            await stage.run_elsewhere(job)
    if what == "paused":
        await stage.store.control("q", paused=True)
    if what == "limited":
        await stage.store.control("q", limits=Limits(max_running=1))
        await stage.register()
        await stage.store.claim([jobs[0].id], node=NODE, types={"noop"})
    node = Bursting(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        assert node.over.is_set()
        assert (node.started, node.took_s) == ([], 0)
        nursery.cancel_scope.cancel()


async def test_what_a_node_that_is_gone_has_left_is_run(stage: Stage, autojump_clock: MockClock) -> None:
    (job,) = await stage.submit()
    await stage.run_elsewhere(job)
    await stage.store.deregister(NODE)
    node = Bursting(stage)
    node.gate.set()
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await node.over.wait()
        assert node.started == [job.id]
        assert (await stage.get(job)).crashes == 1
        nursery.cancel_scope.cancel()


async def test_ticks_that_are_due_are_jobs_first(stage: Stage, autojump_clock: MockClock) -> None:
    put = Put(name="s", timing=Timing(every_us=10**6), job=NewJob(id="", type="noop"), given="{}")
    await stage.store.move_schedules([put])
    await trio.sleep(1.5)  # virtual
    node = Bursting(stage, schedules=True)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        assert not node.over.is_set()
        await node.over.wait()
        assert TICKS_S <= node.took_s <= TICKS_S + NET_S, "nobody fires it here: it is given up"
        nursery.cancel_scope.cancel()


async def test_a_store_that_is_away_is_waited_for(stage: Stage, autojump_clock: MockClock) -> None:
    node = Bursting(stage)
    node.gate.set()
    (job,) = await stage.insert()
    stage.store.failing |= dict.fromkeys(("reap", "claim", "claim_due"), StoreUnavailable("away"))
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await node.pass_by(60)
        assert (node.over.is_set(), node.started) == (False, [])
        stage.store.failing.clear()
        await node.over.wait()
        assert node.started == [job.id]
        nursery.cancel_scope.cancel()
