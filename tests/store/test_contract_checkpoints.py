"""The contract, for checkpoints: what an attempt keeps is there for the next one, and gone when the job begins anew."""

from __future__ import annotations

import json

import pytest

from tests.store.backends import (
    Backend,
    SteppedClock,
    end,
    new_id,
    new_job,
    put,
    put_one,
    put_running,
    start,
    told,
)
from tickr.jobs import Job, State
from tickr.reports import Checkpoint
from tickr.store.changes import CHECKPOINT_LOOK_US
from tickr.store.contract import MAX_BATCH, Store

LOOK_S = CHECKPOINT_LOOK_US / 1_000_000


def kept(job: Job, value: object) -> Checkpoint:
    return Checkpoint(job=job, value=json.dumps(value, ensure_ascii=False))


async def keep(store: Store, job: Job, value: object) -> int:
    return await store.keep_checkpoints([kept(job, value)])


async def test_the_last_of_each_job_is_kept_as_it_was_said_and_nothing_else_changes(store: Store) -> None:
    first, second, third = await start(store, *await put(store, new_job(), new_job(), new_job()))
    before, log = await store.get(first.id), await told(store)
    text = "a 'quoted' \\ \" line\nand 漢😀\0"
    some = [kept(first, 1), kept(second, [None, 1.5]), kept(first, {"page": text})]
    assert await store.keep_checkpoints(some) == 2
    assert await store.checkpoint(first) == some[2].value
    assert await store.checkpoint(second) == "[null, 1.5]"
    assert await store.checkpoint(third) is None
    assert await keep(store, second, "x" * 65_000) == 1
    assert await store.checkpoint(second) == json.dumps("x" * 65_000)
    assert (await store.get(first.id), await told(store)) == (before, log)


@pytest.mark.parametrize("kind", ["retried", "released"])
async def test_it_stays_over_retries_hand_backs_and_lost_nodes(store: Store, kind: str) -> None:
    job = await put_running(store)
    await keep(store, job, 7)
    await end(store, job, kind)
    (again,) = await start(store, job)
    assert await store.checkpoint(again) == "7"
    await store.deregister("n1")
    assert [lost.state for lost in await store.reap(10)] == [State.READY]
    (again,) = await start(store, again, node="n2")
    assert await store.checkpoint(again) == "7"


async def test_an_attempt_that_is_over_keeps_nothing_any_more(store: Store) -> None:
    old = await put_running(store)
    await keep(store, old, "old")
    await store.deregister("n1")
    await store.reap(10)
    assert await keep(store, old, "too late") == 0
    (new,) = await start(store, old, node="n2")
    assert await store.keep_checkpoints([kept(new, "new"), kept(old, "too late")]) == 1
    assert await store.checkpoint(new) == '"new"'
    await end(store, new, "succeeded")
    assert await keep(store, new, "after the end") == 0
    assert await keep(store, Job(id=new_id(), type="mail", run_at=0, created_at=0, fence=1), 1) == 0


@pytest.mark.parametrize("kind", ["succeeded", "failed", "cancelled"])
async def test_who_is_started_over_begins_at_the_beginning(store: Store, kind: str) -> None:
    job, other = await start(store, *await put(store, new_job(), new_job()))
    await store.keep_checkpoints([kept(job, 7), kept(other, 8)])
    await end(store, job, kind)
    await store.redrive(job.id)
    (again,) = await start(store, job)
    assert await store.checkpoint(again) is None
    assert await store.checkpoint(other) == "8"


async def test_those_of_jobs_that_have_ended_are_deleted_in_time(store: Store, clock: SteppedClock) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(4))))
    await store.keep_checkpoints([kept(job, n) for n, job in enumerate(jobs)])
    done, failed, waits, _ = jobs
    for job, kind in ((done, "succeeded"), (failed, "failed"), (waits, "retried")):
        await end(store, job, kind)
    assert await store.prune_checkpoints(10) == 0
    clock.advance(LOOK_S)
    assert [await store.prune_checkpoints(3), await store.prune_checkpoints(3)] == [3, 1]
    assert [await store.checkpoint(job) for job in jobs] == [None, None, "2", "3"]
    assert await store.prune_checkpoints(10) == 0
    clock.advance(LOOK_S)
    assert await store.prune_checkpoints(10) == 2


async def test_a_job_that_has_the_id_of_one_that_was_deleted_does_not_get_its_checkpoint(
    store: Store, clock: SteppedClock
) -> None:
    job = await put_running(store)
    await keep(store, job, 7)
    await end(store, job, "succeeded")
    clock.advance(1)
    assert (await store.prune_jobs(State.SUCCEEDED, clock(), 10)).deleted == 1
    (other,) = await start(store, await put_one(store, id=job.id))
    assert await store.checkpoint(other) is None
    await keep(store, other, 8)
    assert await store.checkpoint(other) == "8"


async def test_a_whole_batch_of_the_longest_is_kept(store: Store) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(MAX_BATCH // 10))))
    assert await store.keep_checkpoints([kept(job, "'\\" * 30_000) for job in jobs for _ in range(2)]) == len(jobs)
    assert {await store.checkpoint(job) for job in jobs[:3]} == {json.dumps("'\\" * 30_000)}


async def test_they_outlive_the_program(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        job = await put_running(store)
        await keep(store, job, {"page": 7})
    async with durable_backend.open() as store:
        assert await store.checkpoint(job) == '{"page": 7}'
