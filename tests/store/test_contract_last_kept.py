"""The contract, for keeping only the last so many: which these are, and that the others go, page by page."""

from __future__ import annotations

import pytest

from tests.store.backends import SECOND, SteppedClock, end, new_job, put, put_final, put_one, put_running, start
from tests.store.linked import put_dependent, settle
from tickr.jobs import FINAL, Extras, Job, State
from tickr.reports import Outcome
from tickr.store import mysql_last_kept, mysql_retention, sqlite_retention
from tickr.store.contract import Edge, Filter, ScanPosition, Store


async def keep_last(store: Store, state: State, count: int, page: int = 100) -> int:
    """Delete what is too many; return how many that were."""
    edge, total, position = await store.last_beyond(state, count), 0, None
    while edge is not None:
        deleted, position = await store.prune_beyond(state, edge, page, position)
        assert deleted <= page
        total += deleted
        if position is None:
            break
    return total


async def left(store: Store) -> set[str]:
    return {job.id for job in (await store.list_jobs(Filter(), limit=1000)).jobs}


async def succeeded(store: Store, clock: SteppedClock, count: int) -> list[Job]:
    """Jobs of several queues and priorities that were due one after the other, three at each instant."""
    new = [new_job(queue=f"q{n % 3}", priority=n % 2, run_at=clock() + n // 3) for n in range(count)]
    jobs = await put(store, *new)
    clock.advance(1)
    await store.finish([Outcome(job=job, kind="succeeded") for job in await start(store, *jobs)])
    return sorted(jobs, key=lambda job: (job.run_at, job.id))


@pytest.mark.parametrize("count", [0, 1, 7, 39, 40, 41])
async def test_the_last_stay_whatever_queue_and_priority(store: Store, clock: SteppedClock, count: int) -> None:
    jobs = await succeeded(store, clock, 40)
    others = [await put_one(store), await put_running(store), await put_final(store, State.FAILED)]
    assert await keep_last(store, State.SUCCEEDED, count) == max(0, 40 - count)
    last = jobs[40 - count :] if count < 40 else jobs
    assert await left(store) == {job.id for job in (*last, *others)}
    assert await store.last_beyond(State.SUCCEEDED, count) is None


async def test_each_state_has_its_own_number(store: Store, clock: SteppedClock) -> None:
    for _ in range(3):
        for state in FINAL:
            await put_final(store, state)
    assert [await keep_last(store, state, n) for n, state in enumerate(sorted(FINAL))] == [3, 2, 1]


async def test_a_page_is_as_long_as_it_may_be_and_ranges_are_gone_through_in_parts(
    store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_last_kept, "PAGE", 4)
    monkeypatch.setattr(mysql_retention, "MAX_RANGES", 2)
    monkeypatch.setattr(sqlite_retention, "MAX_RANGES", 2)
    jobs = await succeeded(store, clock, 100)
    assert await keep_last(store, State.SUCCEEDED, 31, page=7) == 69
    assert await left(store) == {job.id for job in jobs[69:]}


async def test_when_its_last_attempt_was_due_counts(store: Store, clock: SteppedClock) -> None:
    """Not when it was made: one that was tried again, or started over, is a young one."""
    first, second = await put(store, new_job(), new_job())
    await end(store, (await start(store, first))[0], "retried", delay_us=10 * SECOND)
    await end(store, (await start(store, second))[0], "failed")
    clock.advance(20)
    await end(store, (await start(store, first))[0], "failed")
    assert await keep_last(store, State.FAILED, 1) == 1
    assert await left(store) == {first.id}


async def test_one_that_was_started_over_since_stays(store: Store, clock: SteppedClock) -> None:
    job, _ = [await put_final(store, State.FAILED) for _ in range(2)]
    edge = await store.last_beyond(State.FAILED, 0)
    assert edge is not None
    clock.advance(1)
    again = await store.redrive(job.id)
    assert (await store.prune_beyond(State.FAILED, edge, 10)).deleted == 1
    clock.advance(1)
    await end(store, (await start(store, again))[0], "failed")
    assert (await store.prune_beyond(State.FAILED, edge, 10)).deleted == 0
    assert await left(store) == {job.id}


async def test_what_has_an_age_of_its_own_counts_and_stays(store: Store, clock: SteppedClock) -> None:
    own = await put_final(store, State.SUCCEEDED, extras=Extras(keep_us=SECOND))
    clock.advance(2)
    plain = [await put_final(store, State.SUCCEEDED) for _ in range(2)]
    assert await keep_last(store, State.SUCCEEDED, 1) == 1
    assert await left(store) & {job.id for job in (own, *plain)} == {own.id, max(plain, key=lambda job: job.id).id}
    assert (await store.remove_due(10)).deleted == 1


async def test_what_another_job_has_yet_to_hear_of_stays(store: Store, clock: SteppedClock) -> None:
    first = await put_running(store)
    waiter = await put_dependent(store, first)
    await end(store, first, "succeeded")
    assert await keep_last(store, State.SUCCEEDED, 0) == 0
    await settle(store, first)
    assert await keep_last(store, State.SUCCEEDED, 0) == 1
    assert await left(store) == {waiter.id}


async def test_an_edge_in_the_middle_of_an_instant(store: Store, clock: SteppedClock) -> None:
    at = clock()
    jobs = await put(store, *(new_job(run_at=at) for _ in range(9)))
    for job in jobs:
        await store.cancel(job.id)
    ids = sorted(job.id for job in jobs)
    assert await store.last_beyond(State.CANCELLED, 5) == Edge(at, ids[3])
    position: ScanPosition | None = None
    for gone in (2, 4):
        _, position = await store.prune_beyond(State.CANCELLED, Edge(at, ids[3]), 2, position)
        assert await left(store) == set(ids[gone:])
