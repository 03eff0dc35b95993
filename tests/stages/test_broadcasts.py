"""Queues of single nodes: each node takes what is for itself, before all else, and what is for a lost one is ended."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, Stage
from tests.stages.test_gates import OTHER, Node
from tickr.names import queue_of_node
from tickr.scheduler.reap import Reaper


async def test_each_node_runs_what_is_for_itself(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    here, there = Node(stage), Node(stage, here={"special": 1})
    await here.start(nursery)
    await there.start(nursery, OTHER)
    (mine,) = await stage.submit(queue=queue_of_node(NODE))
    (its,) = await stage.submit(queue=queue_of_node(OTHER))
    await wait_all_tasks_blocked()
    assert ([*here.runs], [*there.runs]) == ([mine.id], [its.id]), "also one that is for certain queues only"


async def test_it_comes_before_all_that_waits(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = Node(stage, slots=1, order=(("urgent", None),))
    await stage.submit(5, queue="urgent", priority=0)
    (mine,) = await stage.submit(queue=queue_of_node(NODE))
    await node.start(nursery)
    assert [*node.runs] == [mine.id]


async def test_without_an_index_as_well(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    node = Node(stage, here={"special": 1})
    jobs = await stage.insert(queue=queue_of_node(NODE))
    await stage.insert(queue=queue_of_node(OTHER))
    await node.start(nursery)
    await node.claimer.claim_from_store(NODE)
    await wait_all_tasks_blocked()
    assert [*node.runs] == [jobs[0].id]


async def test_what_waits_for_a_lost_node_is_ended_and_leaves_nothing_behind(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Node(stage)
    await node.start(nursery)
    await stage.register(OTHER, lease_s=15)
    (its,) = await stage.submit(queue=queue_of_node(OTHER))
    nursery.start_soon(Reaper(stage.store, stage.announcer).run)
    await trio.sleep(14)  # virtual
    assert (await stage.get(its)).state == "ready"
    await trio.sleep(3)  # virtual
    ended = await stage.get(its)
    assert (ended.state, ended.error and ended.error.kind) == ("cancelled", "node_gone")
    assert (node.runs, await stage.indexed()) == ({}, (0, 0))
    assert await stage.store.queue_names() == []
