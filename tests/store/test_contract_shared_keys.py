"""The contract: a limit by key that counts over several queues, for every way in which a job can start."""

from __future__ import annotations

from functools import partial

import trio

from tests.store.backends import end, join, new_job, put, start
from tests.store.test_contract_queues import claim, claim_due, numbered
from tickr.jobs import Job, State
from tickr.queues import Limits
from tickr.store.contract import Start, Store

SHARED = Limits(max_running_per_key=1, shared_keys=True)


async def share(store: Store, *queues: str, most: int | None = 1) -> None:
    for queue in queues:
        await store.control(queue, limits=Limits(max_running_per_key=most, shared_keys=True))


async def test_no_more_of_a_key_run_at_once_in_all_queues_that_share_it(store: Store) -> None:
    await share(store, "a", "b")
    one, other, free = await put(
        store,
        new_job(queue="a", limit_key="k"),
        new_job(queue="b", limit_key="k"),
        new_job(queue="b", limit_key="l"),
    )
    assert {job.id for job in await claim(store, [one])} == {one.id}
    assert [job.id for job in await claim(store, [other, free])] == [free.id]
    assert await claim_due(store) == []
    found = {standing.name: (standing.running, standing.keys) for standing in await store.standings()}
    assert found == {"a": (1, {"k": 1, "l": 1}), "b": (1, {"k": 1, "l": 1})}
    assert [standing.keys for standing in await store.standings(["b"])] == [{"k": 1, "l": 1}]
    (running,) = [job for job in await store.get_many([one.id]) if job.state is State.RUNNING]
    await end(store, running, "succeeded")
    assert [job.id for job in await claim_due(store)] == [other.id]


async def test_of_one_claim_too_one_of_a_key_is_started(store: Store) -> None:
    await share(store, "a", "b", "c")
    jobs = await put(store, *(new_job(queue=queue, limit_key="k") for queue in "abcab"))
    assert len(await claim(store, jobs)) == 1
    assert await claim_due(store) == []


async def test_of_those_that_are_due_one_of_a_key_is_started(store: Store) -> None:
    await share(store, "a", "b")
    await put(store, *numbered(20, queue="a", limit_key="k"), *numbered(20, queue="b", limit_key="k"))
    behind = await put(store, new_job(queue="a", limit_key="l"), new_job(queue="b"))
    claimed = [job.id for _ in range(4) for job in await claim_due(store, 2)]
    assert {job.id for job in behind} < {*claimed}
    assert len(claimed) == 3


async def test_queues_that_do_not_share_count_for_themselves(store: Store) -> None:
    await share(store, "a", "b")
    await store.control("own", limits=Limits(max_running_per_key=1))
    jobs = await put(store, *(new_job(queue=queue, limit_key="k") for queue in ("plain", "own", "a", "b", "own")))
    assert {job.queue for job in await claim(store, jobs)} in ({"plain", "own", "a"}, {"plain", "own", "b"})


async def test_each_queue_has_a_number_of_its_own_or_none(store: Store) -> None:
    await share(store, "narrow", most=1)
    await share(store, "wide", most=3)
    await share(store, "counts", most=None)
    counted = await put(store, *(new_job(queue="counts", limit_key="k") for _ in range(2)))
    await start(store, *counted)
    jobs = await put(store, *(new_job(queue=queue, limit_key="k") for queue in ("narrow", "wide", "wide")))
    assert [job.queue for job in await claim(store, jobs)] == ["wide"]


async def test_a_job_does_not_start_with_its_submission_past_its_gate(store: Store) -> None:
    await share(store, "a", "b")
    await join(store, "n1")
    new = [new_job(queue=queue, limit_key="k") for queue in "ab"]
    answers = await store.insert(new, start=Start("n1", frozenset(one.id for one in new)))
    assert [job.state for job, _ in answers] == [State.READY, State.READY]


async def test_a_lost_job_counts_in_all_of_them_until_it_is_taken_back(store: Store) -> None:
    await share(store, "a", "b")
    lost, other = await put(store, *(new_job(queue=queue, limit_key="k") for queue in "ab"))
    await claim(store, [lost], node="n1")
    await store.deregister("n1")
    assert await claim(store, [other], node="n2") == []
    await store.reap(10)
    assert [job.id for job in await claim(store, [other], node="n2")] == [other.id]


async def test_claims_at_once_in_different_queues_start_one_of_a_key(store: Store) -> None:
    await share(store, *"abcd")
    jobs = await put(store, *(new_job(queue="abcd"[n % 4], limit_key=f"k{n % 3}") for n in range(60)))
    await join(store, "n1", "n2")
    started: list[Job] = []

    async def take(queue: str, node: str) -> None:
        ids = [job.id for job in jobs if job.queue == queue]
        started.extend(await store.claim(ids, node=node, types={"mail"}))

    async with trio.open_nursery() as nursery:
        for queue in "abcd":
            for node in ("n1", "n2"):
                nursery.start_soon(partial(take, queue, node))
    assert sorted(str(job.limit_key) for job in started) == ["k0", "k1", "k2"]
