"""The contract, for jobs that have an age of their own: they go when that has come, and by nothing else."""

from __future__ import annotations

import pytest

from tests.store.backends import (
    SECOND,
    Backend,
    SteppedClock,
    end,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
)
from tests.store.linked import put_dependent, settle
from tickr.jobs import FINAL, Extras, Job, State
from tickr.reports import Outcome
from tickr.store import deletions, sqlite_retention
from tickr.store.contract import Filter, Removed, Store
from tickr.store.written import removal, written

NOTHING = Removed(0, None)


def kept(seconds: float) -> Extras:
    return Extras(keep_us=int(seconds * SECOND))


async def left(store: Store) -> set[str]:
    return {job.id for job in (await store.list_jobs(Filter(), limit=1000)).jobs}


async def succeed(store: Store, *jobs: Job) -> None:
    await store.finish([Outcome(job=job, kind="succeeded") for job in await start(store, *jobs)])


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_it_goes_when_it_has_been_final_for_so_long(store: Store, clock: SteppedClock, state: State) -> None:
    job = await put_final(store, state, extras=kept(10))
    before = await told(store)
    clock.advance(9.999999)
    assert await store.remove_due(10) == NOTHING
    clock.advance(0.000001)
    assert await store.remove_due(10) == Removed(1, None)
    assert await store.get(job.id) is None
    assert await told(store) == before
    assert await store.remove_due(10) == NOTHING


async def test_no_setting_takes_it_sooner_nor_keeps_it_longer(store: Store, clock: SteppedClock) -> None:
    long, plain = await put(store, new_job(extras=kept(100)), new_job(extras=Extras(traceparent="t")))
    await succeed(store, long, plain)
    clock.advance(50)
    assert (await store.prune_jobs(State.SUCCEEDED, clock(), 10)).deleted == 1
    assert await left(store) == {long.id}
    clock.advance(50)
    assert await store.remove_due(10) == Removed(1, None)


async def test_zero_goes_at_once_and_what_has_not_ended_never(store: Store, clock: SteppedClock) -> None:
    waiting = await put_one(store, extras=kept(0))
    running = await put_running(store, extras=kept(0))
    retrying = await end(store, await put_running(store, extras=kept(0)), "retried")
    assert retrying is not None
    clock.advance(1000)
    assert await store.remove_due(10) == NOTHING
    await end(store, running, "failed")
    assert await store.remove_due(10) == Removed(1, None)
    assert await left(store) == {waiting.id, retrying.id}


async def test_started_over_it_is_kept_until_it_has_ended_again(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED, extras=kept(10))
    clock.advance(8)
    again = await store.redrive(job.id)
    assert again.extras.keep_us == 10 * SECOND
    clock.advance(100)
    assert await store.remove_due(10) == NOTHING
    await succeed(store, again)
    clock.advance(9)
    assert await store.remove_due(10) == NOTHING
    clock.advance(1)
    assert await store.remove_due(10) == Removed(1, None)


async def test_it_goes_by_pages_the_first_first(store: Store, clock: SteppedClock) -> None:
    jobs = await put(store, *(new_job(extras=kept(n)) for n in range(1, 8)))
    await succeed(store, *jobs)
    clock.advance(5)
    deleted, place = await store.remove_due(3)
    assert (deleted, await left(store)) == (3, {job.id for job in jobs[3:]})
    assert await store.remove_due(3, place) == Removed(2, None)
    assert await left(store) == {job.id for job in jobs[5:]}


async def test_what_another_job_has_yet_to_hear_of_stays_and_is_passed_over(store: Store, clock: SteppedClock) -> None:
    first = await put_running(store, extras=kept(0))
    waiter = await put_dependent(store, first)
    await end(store, first, "succeeded")
    clock.advance(1)
    other = await put_final(store, State.SUCCEEDED, extras=kept(0))
    deleted, place = await store.remove_due(1)
    assert deleted == 0
    assert await store.remove_due(1, place) == Removed(1, (clock(), other.id))
    await settle(store, first)
    assert await store.remove_due(10) == Removed(1, None)
    assert await left(store) == {waiter.id}


async def test_its_attempts_go_with_it_and_its_id_is_free(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store, extras=kept(0))
    await end(store, running, "failed")
    assert (await store.remove_due(10)).deleted == 1
    again = await put_one(store, id=running.id)
    assert (again.version, again.extras.keep_us, await store.attempts(again.id)) == (1, None, [])


async def test_one_that_was_deleted_before_is_not_removed_under_its_id_when_it_comes_again(
    store: Store, clock: SteppedClock
) -> None:
    running = await put_running(store, extras=kept(10))
    await end(store, running, "succeeded")
    await store.delete(running.id)
    again = await put_one(store, id=running.id)
    clock.advance(11)
    assert await store.remove_due(10) == NOTHING
    assert await left(store) == {again.id}


async def test_what_is_deleted_leaves_no_row_behind(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store, extras=kept(10))
    ended, waits = await end(store, running, "succeeded"), await put_one(store, extras=kept(10))
    assert ended is not None
    of_ended = written(deletions.delete(ended, None, (), clock(), cancel=False), clock())
    assert (of_ended.removals, of_ended.spared) == ([], [removal(ended)])
    of_waiting = written(deletions.delete(waits, None, (), clock(), cancel=True), clock())
    assert (of_waiting.removals, of_waiting.spared) == ([], [])


async def test_rows_that_stand_for_nothing_go_with_the_others(backend: Backend, clock: SteppedClock) -> None:
    """As a node leaves them that knows nothing of ages: it starts a job over, or writes it without."""
    if not backend.durable:
        pytest.skip("all nodes of a memory store are of one version")
    async with backend.open() as store:
        jobs = await put(store, *(new_job(extras=kept(n)) for n in range(4)))
        await succeed(store, *jobs)
        backend.execute("UPDATE jobs SET extras = NULL")
        clock.advance(60)
        assert (await store.remove_due(10)).deleted == 0
        assert await store.remove_due(10) == NOTHING
        backend.execute("INSERT INTO removals (remove_at, job_id) SELECT 1, id FROM jobs")
        assert (await store.remove_due(10)).deleted == 0
        assert len(await left(store)) == 4


async def test_sqlite_gives_the_write_lock_back_soon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_retention, "HOLD_S", -1.0)
    if store.name != "sqlite":
        pytest.skip("others have no such lock")
    for n in range(40):
        await store.cancel((await put_one(store, extras=kept(0), priority=n % 5)).id)
    place, pages = None, []
    while not pages or place is not None:
        deleted, place = await store.remove_due(100, place)
        pages.append(deleted)
    assert pages == [16, 16, 8]


async def test_a_plain_job_has_no_row(backend: Backend) -> None:
    async with backend.open() as store:
        await put_final(store, State.SUCCEEDED)
        assert await store.remove_due(10) == NOTHING
