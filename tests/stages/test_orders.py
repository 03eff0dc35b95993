"""Orders: what a node is told, by whichever node, it does within a second; what runs is left in peace."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import NODE, Stage
from tests.stages.living import Living
from tickr.errors import NodeNotFound, StoreUnavailable, TakesNoOrders
from tickr.orders import NET_S, Orders
from tickr.store.contract import Node
from tickr.store.orders import Order


async def test_a_quiet_node_ends_what_it_has_and_takes_nothing_until_it_is_resumed(
    stage: Stage, autojump_clock: MockClock
) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        (running,) = await stage.submit()
        await node.pass_by()
        told = await node.give(quiet=True)
        assert (told.state, told.changed, told.obeyed) == ("quiet", 1, 0)
        assert (await node.row()).obeyed == 1, "heard at once, by the bell"
        (waiting,) = await stage.submit()
        node.gate.set()
        await node.pass_by(60)
        assert node.started == [running.id]
        assert [(await stage.get(job)).state for job in (running, waiting)] == ["succeeded", "ready"]
        assert await stage.indexed() == (1, 0), "it is there for others"
        await node.give(quiet=False)
        assert node.started == [running.id, waiting.id]
        assert (await node.row()).state == "running"
        nursery.cancel_scope.cancel()


async def test_what_was_taken_early_goes_back_when_a_node_gets_quiet(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        (soon,) = await stage.submit(delay_us=2_000)
        await stage.index.promote(now=stage.wall_clock() + 2_000, limit=10)
        await wait_all_tasks_blocked()
        await node.give(quiet=True)
        await node.pass_by(10)
        assert node.started == []
        assert sum(await stage.indexed()) == 1
        assert (await stage.get(soon)).attempt == 0
        nursery.cancel_scope.cancel()


async def test_an_order_whose_ring_was_lost_is_heard_within_a_second(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await stage.store.order_node(node.lease.node_id, Order(quiet=True, slots=7, stop=True))
        await node.pass_by(NET_S)
        assert node.stopped.is_set()
        row = await node.row()
        assert (row.changed, row.obeyed) == (3, 3)
        assert (node.own.about.quiet, node.own.about.slots) == (True, 7)
        nursery.cancel_scope.cancel()


async def test_orders_for_others_are_not_obeyed_but_looked_at_by_nobody_too_often(
    stage: Stage, autojump_clock: MockClock
) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await stage.store.register(Node(id=NODE, host="h", pid=2, version="0", slots=1), lease_s=15)
        looks = stage.store.calls["node"]
        for _ in range(20):
            await node.orders.give(NODE, Order(quiet=True, stop=True))
            await node.orders.give(NODE, Order(quiet=False))
        await node.pass_by(0.5)
        assert (stage.store.calls["node"] - looks, node.own.about.quiet, node.stopped.is_set()) == (0, False, False)
        nursery.cancel_scope.cancel()


async def test_more_and_fewer_workers_without_a_restart(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage, slots=2)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await stage.submit(12)
        await node.pass_by(2)
        assert len(node.started) == 2
        await node.give(slots=6)
        await node.pass_by(2)
        assert len(node.started) == 6
        await node.give(slots=1)
        await node.pass_by(60)
        assert len(node.started) == 6, "what runs beyond that goes on, and nothing comes beside it"
        assert len(await stage.store.at_work(100)) == 6
        node.gate.set()
        await node.pass_by(2)
        assert (await node.row()).slots == 1
        assert not await stage.store.at_work(100)
        nursery.cancel_scope.cancel()


async def test_one_at_a_time_after_the_order_for_one(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage, slots=5)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await node.give(slots=1)
        await stage.submit(3)
        await node.pass_by(5)
        assert len(node.started) == 1
        nursery.cancel_scope.cancel()


async def test_what_a_node_was_told_holds_under_its_next_id(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await node.give(quiet=True, slots=9)
        first = node.lease.node_id
        await node.lease.register()
        assert node.lease.node_id != first
        row = await node.row()
        assert (row.quiet, row.slots, row.changed) == (True, 9, 0)
        nursery.cancel_scope.cancel()


async def test_a_node_tells_itself_at_once_and_the_others_when_the_store_is_back(
    stage: Stage, autojump_clock: MockClock
) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        stage.store.failing["*"] = StoreUnavailable("away")
        nursery.start_soon(node.orders.tell_self, node.own, Order(quiet=True))
        await node.pass_by(5)
        assert node.own.about.quiet
        stage.store.failing.clear()
        await node.pass_by(2 * NET_S)
        row = await node.row()
        assert (row.quiet, row.changed, row.obeyed) == (True, 1, 1)
        nursery.cancel_scope.cancel()


async def test_a_node_that_hears_no_store_obeys_when_it_is_back(stage: Stage, autojump_clock: MockClock) -> None:
    node = Living(stage)
    async with trio.open_nursery() as nursery:
        await node.live(nursery)
        await stage.store.order_node(node.lease.node_id, Order(quiet=True))
        stage.store.failing["*"] = StoreUnavailable("away")
        await node.pass_by(10)
        assert not node.own.about.quiet
        stage.store.failing.clear()
        await node.pass_by(NET_S)
        assert node.own.about.quiet
        nursery.cancel_scope.cancel()


async def test_nobody_is_told_who_is_not_there_or_has_no_workers(stage: Stage, autojump_clock: MockClock) -> None:
    orders = Orders(stage.store, stage.bell)
    with pytest.raises(NodeNotFound):
        await orders.give(NODE, Order(quiet=True))
    await stage.register()
    with pytest.raises(TakesNoOrders):
        await orders.give(NODE, Order(quiet=True))
