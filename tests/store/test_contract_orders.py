"""The contract, of nodes as an operator sees them: one node, what all of them run, and what they are told to do."""

from __future__ import annotations

import msgspec
import pytest
import trio

from tests.store.backends import MANY_BYTES, SECOND, START, SteppedClock, a_node, new_job, put_running
from tickr import events
from tickr.errors import NodeNotFound, TakesNoOrders
from tickr.events import ThingEvent
from tickr.store.contract import AtWork, Store
from tickr.store.orders import Order


async def told(store: Store) -> list[ThingEvent]:
    """Return what was told of nodes, in order."""
    rows = await store.event_rows(0, 1000, MANY_BYTES)
    return [event for _, body in rows for event in events.decode(body) if isinstance(event, ThingEvent)]


async def test_a_node_is_found_by_its_id_while_it_has_a_row(store: Store) -> None:
    node = a_node(slots=4)
    assert await store.node(node.id) is None
    await store.register(node, lease_s=15)
    assert [await store.node(node.id)] == await store.nodes()
    await store.deregister(node.id)
    assert await store.node(node.id) is None


async def test_an_order_changes_the_row_tells_of_it_and_counts(store: Store, clock: SteppedClock) -> None:
    node = a_node(slots=4, roles=("worker",))
    await store.register(node, lease_s=15)
    clock.advance(1)
    after = await store.order_node(node.id, Order(quiet=True))
    assert (after.quiet, after.state, after.slots, after.changed, after.obeyed) == (True, "quiet", 4, 1, 0)
    assert await store.node(node.id) == after
    (event,) = await told(store)
    assert (event.what, event.name, event.time, event.id) == (
        "node.quieted",
        node.id,
        START + SECOND,
        f"node/{node.id}/1",
    )
    assert msgspec.json.decode(event.data)["node"] == {
        "id": node.id,
        "host": "here",
        "pid": 1,
        "version": "0",
        "roles": ["worker"],
        "slots": 4,
        "state": "quiet",
    }


async def test_what_is_so_already_is_not_told_again(store: Store) -> None:
    node = a_node(slots=4)
    await store.register(node, lease_s=15)
    first = await store.order_node(node.id, Order(quiet=True, slots=9))
    assert await store.order_node(node.id, Order(quiet=True, slots=9)) == first
    assert await store.order_node(node.id, Order(obeyed=2)) == msgspec.structs.replace(first, obeyed=2)
    assert await store.order_node(node.id, Order(obeyed=1)) == msgspec.structs.replace(first, obeyed=2)
    assert [event.what for event in await told(store)] == ["node.quieted", "node.changed"]
    await store.order_node(node.id, Order(quiet=False))
    last = await store.order_node(node.id, Order(stop=True))
    assert (last.state, last.changed, last.obeyed, last.slots) == ("stopping", 4, 2, 9)
    assert [event.what for event in await told(store)][2:] == ["node.resumed", "node.stopping"]


async def test_a_heartbeat_keeps_what_was_ordered(store: Store, clock: SteppedClock) -> None:
    node = a_node(slots=4)
    await store.register(node, lease_s=15)
    await store.order_node(node.id, Order(quiet=True))
    clock.advance(5)
    await store.heartbeat(node.id, lease_s=15)
    known = await store.node(node.id)
    assert known is not None
    assert (known.quiet, known.lease_until, known.lease_s) == (True, clock() + 15 * SECOND, 15.0)
    await store.order_node(node.id, Order(obeyed=1))
    assert (await store.nodes())[0].lease_until == clock() + 15 * SECOND
    assert await store.expire(node.id, lease_until=clock() + 15 * SECOND), "an order is no renewal"


async def test_who_is_not_there_or_has_no_workers_cannot_be_told(store: Store) -> None:
    with pytest.raises(NodeNotFound):
        await store.order_node(a_node().id, Order(stop=True))
    node = a_node(roles=("api",))
    await store.register(node, lease_s=15)
    for order in (Order(quiet=True), Order(slots=3), Order(quiet=False, stop=True)):
        with pytest.raises(TakesNoOrders):
            await store.order_node(node.id, order)
    assert (await store.order_node(node.id, Order(stop=True))).stopping
    assert [event.what for event in await told(store)] == ["node.stopping"]


async def test_remote_workers_take_no_orders(store: Store) -> None:
    lease = a_node(roles=("remote",), slots=3)
    await store.register(lease, lease_s=15)
    for order in (Order(quiet=True), Order(slots=4), Order(stop=True)):
        with pytest.raises(TakesNoOrders):
            await store.order_node(lease.id, order)
    assert await told(store) == []


async def test_orders_given_at_once_are_all_kept(store: Store) -> None:
    node = a_node(slots=1)
    await store.register(node, lease_s=15)
    async with trio.open_nursery() as nursery:
        for slots in range(2, 12):
            nursery.start_soon(store.order_node, node.id, Order(slots=slots))
        nursery.start_soon(store.order_node, node.id, Order(quiet=True))
    known = await store.node(node.id)
    assert known is not None
    assert (known.quiet, known.changed) == (True, 11)
    assert [event.mark for event in await told(store)] == [str(n) for n in range(1, 12)]


async def test_what_runs_is_told_of_all_nodes_or_of_one(store: Store, clock: SteppedClock) -> None:
    mine, others = a_node(slots=4), a_node(slots=4)
    await store.register(mine, lease_s=15)
    await store.register(others, lease_s=15)
    clock.advance(2)
    first = await put_running(store, node=mine.id)
    second = await put_running(store, "other", queue="a", node=others.id)
    await store.insert([new_job()])
    await store.cancel(first.id)
    a = AtWork(second.id, "other", "a", 1, second.started_at, others.id, False)
    b = AtWork(first.id, first.type, "default", 1, START + 2 * SECOND, mine.id, True)
    assert await store.at_work(10) == [a, b]
    assert await store.at_work(1) == [a]
    assert await store.at_work(10, node=mine.id) == [b]
    await store.deregister(mine.id)
    assert await store.at_work(10) == [a, b], "what is lost is there until it is taken back"
    await store.reap(10)
    assert await store.at_work(10) == [a]
