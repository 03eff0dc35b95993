"""The contract, between nodes: leases, heartbeats and the reaper."""

from __future__ import annotations

import msgspec
import pytest
import trio

from tests.store.backends import (
    OOPS,
    SECOND,
    START,
    SteppedClock,
    a_node,
    assert_lawful,
    end,
    new_job,
    put,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tickr.jobs import Job, State
from tickr.store.contract import Running, Store


async def test_a_registered_node_is_seen_by_all(store: Store, clock: SteppedClock) -> None:
    first = a_node(
        id="ffffffff-0000-7000-8000-000000000000", roles=("api", "worker"), types=("mail", "a/b"), slots=4, process="p"
    )
    await store.register(first, lease_s=15)
    clock.advance(1)
    second = a_node(id="00000000-0000-7000-8000-000000000000")
    await store.register(second, lease_s=0.5)
    assert await store.nodes() == [
        msgspec.structs.replace(first, started_at=START, lease_until=START + 15 * SECOND, lease_s=15.0),
        msgspec.structs.replace(second, started_at=clock(), lease_until=clock() + SECOND // 2, lease_s=0.5),
    ]


STEPS_S = [3600, -3600, 0, 14, 100_000_000]


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_step_of_the_clock_costs_nobody_his_lease(store: Store, clock: SteppedClock, step_s: int) -> None:
    node = a_node()
    await store.register(node, lease_s=15)
    job = await put_running(store, node=node.id)
    clock.advance(step_s)
    assert await store.reap(10) == []
    assert [one.id for one in await store.nodes()] == [node.id]
    assert await store.heartbeat(node.id, lease_s=20) == [Running.of(job)]
    (known,) = await store.nodes()
    assert (known.lease_until, known.lease_s) == (clock() + 20 * SECOND, 15.0)
    assert await store.get(job.id) == job


async def test_a_row_goes_only_if_it_was_not_renewed(store: Store, clock: SteppedClock) -> None:
    node, other = a_node(), a_node()
    await store.register(node, lease_s=15)
    await store.register(other, lease_s=15)
    job = await put_running(store, node=node.id)
    seen = START + 15 * SECOND
    clock.advance(5)
    assert await store.heartbeat(node.id, lease_s=15) is not None
    assert not await store.expire(node.id, lease_until=seen)
    assert await store.reap(10) == []
    assert await store.expire(node.id, lease_until=seen + 5 * SECOND)
    assert not await store.expire(node.id, lease_until=seen + 5 * SECOND)
    assert not await store.expire(a_node().id, lease_until=seen)
    assert [one.id for one in await store.nodes()] == [other.id]
    assert await store.heartbeat(node.id, lease_s=15) is None
    assert [one.id for one in await store.reap(10)] == [job.id]


async def test_of_several_who_expire_a_node_one_does(store: Store) -> None:
    node = a_node()
    await store.register(node, lease_s=15)
    answers: list[bool] = []

    async def expire() -> None:
        answers.append(await store.expire(node.id, lease_until=START + 15 * SECOND))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(expire)
    assert sorted(answers) == [False, False, False, True]


async def test_nothing_is_claimed_for_a_node_without_a_row(store: Store) -> None:
    job = await put_one(store)
    node, other = a_node(), a_node()
    await store.register(other, lease_s=15)
    for _ in range(2):
        assert await store.claim([job.id], node=node.id, types=["mail"]) == []
        assert await store.claim_due(10, node=node.id, types=["mail"]) == []
        assert await store.get(job.id) == job
        await store.register(node, lease_s=15)
        await store.deregister(node.id)
    await store.register(node, lease_s=15)
    assert [one.id for one in await store.claim_due(10, node=node.id, types=["mail"])] == [job.id]


async def test_two_heartbeats_at_one_instant_both_hold(store: Store) -> None:
    node = a_node()
    await store.register(node, lease_s=15)
    assert await store.heartbeat(node.id, lease_s=15) == []
    assert await store.heartbeat(node.id, lease_s=15) == []


async def test_a_node_nobody_knows_has_no_heartbeat(store: Store) -> None:
    assert await store.heartbeat(a_node().id, lease_s=15) is None


async def test_a_heartbeat_tells_what_the_store_thinks_runs(store: Store) -> None:
    node, other = a_node(), a_node()
    await store.register(node, lease_s=15)
    first, second, over = [await put_running(store, node=node.id) for _ in range(3)]
    await put_running(store, node=other.id)
    await store.cancel(second.id)
    await end(store, over, "succeeded")
    found = await store.heartbeat(node.id, lease_s=15)
    assert found is not None
    asked = Running.of(second)._replace(cancel_requested=True)
    assert sorted(found) == sorted([Running.of(first), asked])
    assert asked[3:] == (START, second.timeout_us, 0)


async def test_only_the_jobs_of_a_node_without_a_row_are_taken_back(store: Store) -> None:
    node, other = a_node(), a_node()
    await store.register(node, lease_s=15)
    job = await put_running(store, node=node.id)
    kept = await put_running(store, node=other.id)
    assert await store.reap(10) == []
    assert await store.get(job.id) == job
    await store.deregister(node.id)
    (after,) = await store.reap(10)
    assert await store.get(kept.id) == kept
    assert after == await store.get(job.id)
    assert (after.state, after.crashes, after.attempt, after.version) == (State.READY, 1, 0, 3)
    ((event,),) = (await told(store))[4:]
    assert event.what == "released"
    assert event.error is not None
    assert event.error.kind == "lease_lost"
    assert await end(store, job, "succeeded") is None


async def test_a_node_that_left_is_forgotten_and_its_jobs_are_lost_at_once(store: Store) -> None:
    node = a_node()
    await store.register(node, lease_s=15)
    job = await put_running(store, node=node.id)
    await store.deregister(node.id)
    await store.deregister(node.id)
    assert await store.nodes() == []
    assert await store.heartbeat(node.id, lease_s=15) is None
    assert [one.id for one in await store.reap(10)] == [job.id]


async def test_reaping_leaves_the_nodes_alone(store: Store, clock: SteppedClock) -> None:
    node = a_node()
    await store.register(node, lease_s=1)
    clock.advance(5)
    assert await store.reap(10) == []
    assert [one.id for one in await store.nodes()] == [node.id]


async def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(store: Store) -> None:
    job = await put_running(store)
    await store.cancel(job.id)
    await store.deregister("n1")
    (after,) = await store.reap(10)
    assert (after.state, after.cancel_requested) == (State.CANCELLED, False)
    assert await told_of(store, job) == ["created", "started", "cancelled"]


async def test_reaping_is_bounded_and_goes_on(store: Store) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(7))))
    await store.deregister("n1")
    await put_one(store)
    found: list[Job] = []
    for expected in (3, 3, 1, 0):
        page = await store.reap(3)
        assert len(page) == expected
        found += page
    assert sorted(job.id for job in found) == sorted(job.id for job in jobs)


async def test_nothing_to_reap_makes_no_event_row(store: Store) -> None:
    await put_one(store)
    assert await store.reap(10) == []
    assert len(await told(store)) == 1


async def test_several_reapers_take_each_job_back_once(store: Store) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(40))))
    await store.deregister("n1")
    taken: list[str] = []

    async def reaper() -> None:
        for _ in range(6):
            taken.extend(job.id for job in await store.reap(15))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(reaper)
    assert sorted(taken) == sorted(job.id for job in jobs)
    assert_lawful(await told(store))


@pytest.mark.parametrize("kind", ["succeeded", "failed", "retried"])
async def test_an_outcome_and_a_reaper_at_the_same_time_settle_on_one(store: Store, kind: str) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(12))))
    await store.deregister("n1")
    finished: list[str] = []
    reaped: list[str] = []

    async def finish(job: Job) -> None:
        if await end(store, job, kind, failure=None if kind == "succeeded" else OOPS) is not None:
            finished.append(job.id)

    async def reap() -> None:
        for _ in range(6):
            reaped.extend(job.id for job in await store.reap(2))

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(finish, job)
        nursery.start_soon(reap)
    assert sorted(finished + reaped) == sorted(job.id for job in jobs)
    assert_lawful(await told(store))
