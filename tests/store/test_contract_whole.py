"""The contract: ``insert(…, whole=True)`` stores all or nothing."""

from __future__ import annotations

import pytest

from tests.store.backends import SteppedClock, new_id, new_job, put_one, put_running, told, told_of
from tickr.errors import DuplicateJob
from tickr.store.contract import MAX_BATCH, Filter, Store


async def test_all_new_jobs_are_stored_in_one_transaction(store: Store) -> None:
    new = [new_job(queue=f"q{number % 3}") for number in range(MAX_BATCH)]
    answers = await store.insert(new, whole=True)
    assert [(job.id, created) for job, created in answers] == [(one.id, True) for one in new]
    assert await store.queue_names() == ["q0", "q1", "q2"]
    assert await told_of(store, answers[-1][0]) == ["created"]


@pytest.mark.parametrize("place", [0, 2, 4])
async def test_nothing_is_stored_if_one_id_belongs_to_another_job(store: Store, place: int) -> None:
    taken = await put_one(store, payload='{"a":1}')
    before = await told(store)
    new = [new_job(queue="new") for _ in range(4)]
    new.insert(place, new_job(id=taken.id, payload='{"a":2}', queue="new"))
    with pytest.raises(DuplicateJob) as refused:
        await store.insert(new, whole=True)
    assert refused.value.job_id == taken.id
    assert (await told(store), await store.queue_names()) == (before, ["default"])
    assert await store.get(taken.id) == taken
    assert [await store.get(one.id) for one in new if one.id != taken.id] == [None] * 4


async def test_nothing_is_stored_if_it_contradicts_itself(store: Store) -> None:
    name = new_id()
    with pytest.raises(DuplicateJob):
        await store.insert([new_job(), new_job(id=name), new_job("other", id=name)], whole=True)
    assert (await store.list_jobs(Filter(), limit=10)).jobs == []


async def test_jobs_that_are_stored_already_are_no_obstacle(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store)
    clock.advance(1)
    again = new_job(running.type, id=running.id, delay_us=5)  # instants are no content
    twice = new_job()
    answers = await store.insert([twice, again, twice], whole=True)
    assert [(job.id, created) for job, created in answers] == [(twice.id, True), (running.id, False), (twice.id, False)]
    assert await store.get(running.id) == running
