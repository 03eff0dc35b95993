"""The contract: jobs are listed and counted by where they come from, a schedule or another job."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tests.store.backends import SteppedClock, end, new_id, new_job, put, put_one, put_running
from tests.store.linked import child_of, finish, settle_all
from tickr.jobs import Extras, Job, State
from tickr.store.answers import groups_of
from tickr.store.contract import Filter, Page, Store


async def listed(store: Store, clock: SteppedClock, which: Filter, *, look_at: int) -> list[Job]:
    """Return all jobs of a list, read in pages of two, having seen that as many are counted."""
    jobs: list[Job] = []
    before = None
    while True:
        page = await store.list_jobs(which, limit=2, before=before, look_at=look_at)
        jobs += page.jobs
        if (before := page.after) is None:
            break
    counted = await store.tally(structs.replace(which, states=which.states or tuple(State)))
    assert counted.groups == groups_of(jobs, clock())
    return jobs


async def test_jobs_are_found_by_the_schedule_that_made_them(store: Store, clock: SteppedClock) -> None:
    names = ("nightly", "night", None, "Nightly", "nightly")
    jobs = await put(store, *(new_job(extras=Extras(schedule=name, tick=name and 7)) for name in names))

    async def found(*schedules: str, **fields: Any) -> set[int]:
        ids = {job.id for job in await listed(store, clock, Filter(schedules=schedules, **fields), look_at=1)}
        return {at for at, job in enumerate(jobs) if job.id in ids}

    assert await found("nightly") == {0, 4}
    assert await found("night", "Nightly") == {1, 3}
    assert await found("none", "%") == set()
    await finish(store, jobs[0])
    assert await found("nightly", states=(State.SUCCEEDED,)) == {0}


async def test_children_are_found_by_their_parent_as_long_as_it_is_stored(store: Store, clock: SteppedClock) -> None:
    parent, other = await put_running(store), await put_one(store)
    first, second = await store.spawn(parent, [child_of(parent), child_of(parent, type="other")])
    clock.advance(1)
    (third,) = await store.spawn(parent, [child_of(parent, queue="q2")])

    async def found(of: Job = parent, **fields: Any) -> list[str]:
        return [job.id for job in await listed(store, clock, Filter(parent=of.id, **fields), look_at=1)]

    assert await found() == [third.id, *sorted((first.id, second.id), reverse=True)]
    assert await found(queues=("q2",)) == [third.id]
    assert await found(types=("other", "none")) == [second.id]
    await finish(store, first, State.FAILED)
    assert await found(states=(State.FAILED,)) == [first.id]
    assert await found(other) == []
    assert await store.list_jobs(Filter(parent=new_id()), limit=2) == Page([], None)
    for child in (second, third):
        await finish(store, child)
    attempt = await store.get(parent.id)
    assert attempt is not None
    await end(store, attempt, "succeeded")
    await settle_all(store)
    await store.delete(parent.id)
    assert await found() == []
    assert await store.get(third.id) is not None
