"""Pauses with an end: jobs start at the very instant at which they are over, on every node, without looking often."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.stages.conftest import SECOND_US, Stage
from tests.stages.nodes import Slots
from tests.stages.test_gates import OTHER, Node, control
from tickr.scheduler.promote import promote


class Busy(Slots):
    """A node whose service wants a rest at every first attempt.

    Attributes:
      begun: the instants of all starts, in seconds.
    """

    def __init__(self, stage: Stage, ending: Exception, here: Mapping[str, int | None] | None = None) -> None:
        super().__init__(stage, self.work, slots=1, here=here)
        self.ending = ending
        self.begun: list[float] = []

    async def work(self, job: tickr.Job) -> None:
        if job.queue == "free":
            return
        self.begun.append(trio.current_time())
        if len(self.begun) == 1:
            raise self.ending

    async def start(self, nursery: trio.Nursery) -> None:
        await self.run(nursery)
        nursery.start_soon(promote, self.stage.store, self.stage.index, self.stage.bell)
        await self.claim(nursery)


async def test_what_waits_starts_when_the_pause_is_over_on_every_node(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = [Node(stage, slots=2), Node(stage, slots=2)]
    await nodes[0].start(nursery)
    await nodes[1].start(nursery, OTHER)
    await control(stage, "default", paused=True, until=stage.wall_clock() + 7_300_000)
    await stage.submit(4)
    await trio.sleep(7.29)  # virtual
    assert not nodes[0].runs
    assert not nodes[1].runs
    await trio.sleep(0.02)  # virtual
    assert (len(nodes[0].runs), len(nodes[1].runs)) == (2, 2)
    assert await stage.store.standings() == [], "and the queue is plain again"


async def test_a_handler_holds_up_its_queue_and_all_goes_on_when_it_said(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Busy(stage, tickr.RetryLater(30, "429", hold_queue=True))
    jobs = await stage.submit(3, max_attempts=2)
    elsewhere = (await stage.submit(queue="free"))[0]
    await node.start(nursery)
    await wait_all_tasks_blocked()
    assert (await stage.get(elsewhere)).state == "succeeded", "other queues go on"
    held = len(node.begun)
    await trio.sleep(29.9)  # virtual
    assert len(node.begun) == held
    await trio.sleep(0.11)  # virtual
    assert {(await stage.get(job)).state for job in jobs} == {"succeeded"}
    assert sorted([(await stage.get(job)).attempt for job in jobs]) == [1, 1, 2]


async def test_a_snooze_holds_up_as_well_and_costs_no_attempt(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Busy(stage, tickr.Snooze(30, hold_queue=True))
    jobs = await stage.submit(2, max_attempts=1)
    await node.start(nursery)
    await trio.sleep(29)  # virtual
    assert len(node.begun) == 1
    await trio.sleep(1.01)  # virtual
    assert [(one.state, one.attempt) for one in [await stage.get(job) for job in jobs]] == [("succeeded", 1)] * 2


async def test_a_node_that_hears_nothing_of_a_hold_starts_nothing_either(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    await stage.store.control("default", paused=True, until=stage.wall_clock() + 5 * SECOND_US)  # and no ring
    await stage.submit(2)
    await trio.sleep(4.99)  # virtual
    assert not node.runs
    await trio.sleep(0.02)  # virtual
    assert len(node.runs) == 2


async def test_a_pause_that_is_lifted_before_its_end_is_lifted(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    await control(stage, "default", paused=True, until=stage.wall_clock() + 60 * SECOND_US)
    await stage.submit(1)
    await trio.sleep(1)  # virtual
    await control(stage, "default", paused=False)
    assert len(node.runs) == 1


async def test_a_job_that_is_put_into_another_queue_runs_where_that_is_worked_on(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    here = Busy(stage, tickr.RetryLater(5, queue="slow", priority=1), here={"default": None})
    there = Node(stage, here={"slow": None})
    await here.start(nursery)
    await there.start(nursery, OTHER)
    (job,) = await stage.submit()
    await trio.sleep(4.99)  # virtual
    assert (here.begun, there.runs) == ([0.0], {})
    await trio.sleep(0.02)  # virtual
    assert [*there.runs] == [job.id]
    found = await stage.get(job)
    assert (found.queue, found.priority, found.attempt) == ("slow", 1, 2)
