"""The contract, for deleting jobs that have ended: only the old ones, with their attempts, in nobody's way."""

from __future__ import annotations

import pytest
import trio

from tests.store.backends import (
    SECOND,
    START,
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
from tickr.errors import JobNotFound
from tickr.jobs import FINAL, Job, State
from tickr.reports import Outcome
from tickr.store.contract import Filter, ScanPosition, Store


async def prune(store: Store, state: State, before: int, limit: int = 100) -> int:
    """Go through everything once; return how many jobs went."""
    deleted, position = await store.prune_jobs(state, before, limit)
    total = deleted
    while position is not None:
        deleted, position = await store.prune_jobs(state, before, limit, position)
        total += deleted
    return total


async def left(store: Store) -> set[str]:
    return {job.id for job in (await store.list_jobs(Filter(), limit=1000)).jobs}


async def test_only_what_ended_so_and_before_goes(store: Store, clock: SteppedClock) -> None:
    old = {state: await put_final(store, state) for state in FINAL}
    others = [await put_one(store), await put_running(store), await put_one(store, delay_us=3600 * SECOND)]
    retrying = await end(store, await put_running(store), "retried", delay_us=3600 * SECOND)
    assert retrying is not None
    clock.advance(10)
    young = [await put_final(store, state) for state in FINAL]
    kept = {job.id for job in (*others, retrying, *young)}
    for state in FINAL:
        assert await prune(store, state, START) == 0
        assert await prune(store, state, START + SECOND) == 1
        assert await prune(store, state, START + SECOND) == 0
        assert await store.get(old[state].id) is None
    assert await left(store) == kept
    for state in FINAL:
        assert await prune(store, state, clock() + 1) == 1
    assert await left(store) == kept - {job.id for job in young}


async def test_when_it_ended_counts_and_not_when_it_was_made_or_due(store: Store, clock: SteppedClock) -> None:
    early = await put_one(store)
    clock.advance(100)
    (early,) = await start(store, early)
    await end(store, early, "succeeded")
    assert await prune(store, State.SUCCEEDED, clock()) == 0
    assert await prune(store, State.SUCCEEDED, clock() + 1) == 1


async def test_one_that_was_cancelled_before_it_was_due_goes_as_well(store: Store, clock: SteppedClock) -> None:
    far = await put_one(store, delay_us=10**9 * SECOND)
    await store.cancel(far.id)
    assert await prune(store, State.CANCELLED, clock() + 1) == 1
    assert await store.get(far.id) is None


async def test_its_attempts_go_with_it_and_others_stay(backend: Backend, clock: SteppedClock) -> None:
    async with backend.open() as store:
        gone, kept = [await end(store, await put_running(store), "retried") for _ in range(2)]
        assert gone is not None
        assert kept is not None
        await end(store, (await start(store, gone))[0], "failed")
        assert len(await store.attempts(gone.id)) == 2
        assert await prune(store, State.FAILED, clock() + 1) == 1
        with pytest.raises(JobNotFound):
            await store.attempts(gone.id)
        again = await put_one(store, id=gone.id)  # the same id is a new job now, with no past
        assert (again.version, await store.attempts(again.id)) == (1, [])
        assert len(await store.attempts(kept.id)) == 1


async def test_a_job_that_is_gone_can_neither_be_started_over_nor_cancelled(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.SUCCEEDED)
    assert await prune(store, State.SUCCEEDED, clock() + 1) == 1
    for change in (store.redrive, store.cancel):
        with pytest.raises(JobNotFound):
            await change(job.id)


async def test_nothing_is_told(store: Store, clock: SteppedClock) -> None:
    await put_final(store, State.FAILED)
    before = await told(store)
    assert await prune(store, State.FAILED, clock() + 1) == 1
    assert await told(store) == before


async def test_it_goes_by_pages_through_queues_and_priorities(store: Store, clock: SteppedClock) -> None:
    new = [new_job(queue=f"q{n % 3}", priority=n % 2) for n in range(60)]
    await store.finish([Outcome(job=job, kind="succeeded") for job in await start(store, *await put(store, *new))])
    clock.advance(1)
    young = await start(store, *await put(store, *(new_job(queue=f"q{n % 4}") for n in range(20))))
    clock.advance(1)
    await store.finish([Outcome(job=job, kind="succeeded") for job in young])
    position: ScanPosition | None = None
    pages = []
    while True:
        deleted, position = await store.prune_jobs(State.SUCCEEDED, START + SECOND, 7, position)
        assert deleted <= 7
        pages.append(deleted)
        if position is None:
            break
    assert sum(pages) == 60
    assert len(pages) >= 9
    assert await left(store) == {job.id for job in young}


async def test_a_queue_of_deleted_jobs_stays_known(store: Store, clock: SteppedClock) -> None:
    await put_final(store, State.SUCCEEDED, queue="once")
    await prune(store, State.SUCCEEDED, clock() + 1)
    assert await store.queue_names() == ["once"]


async def test_two_at_once_delete_each_job_once(backend: Backend, clock: SteppedClock) -> None:
    counts: list[int] = []

    async def go(store: Store) -> None:
        counts.append(await prune(store, State.SUCCEEDED, clock() + 1, 20))

    async with backend.open() as store:
        jobs = await start(store, *await put(store, *(new_job(priority=n % 3) for n in range(200))))
        await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(go, store)
        assert sum(counts) + await prune(store, State.SUCCEEDED, clock() + 1) == 200
        assert await left(store) == set()


async def test_a_job_started_over_meanwhile_is_never_lost(store: Store, clock: SteppedClock) -> None:
    """Either it was deleted and the wish is answered so, or it is ready again; whoever comes first."""
    jobs = await start(store, *await put(store, *(new_job() for _ in range(60))))
    await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])
    again: set[str] = set()
    gone: set[str] = set()

    async def redrive(some: list[Job]) -> None:
        for job in some:
            try:
                await store.redrive(job.id)
            except JobNotFound:
                gone.add(job.id)
            else:
                again.add(job.id)

    async with trio.open_nursery() as nursery:
        for part in range(4):
            nursery.start_soon(redrive, jobs[part::4])
        nursery.start_soon(prune, store, State.SUCCEEDED, clock() + 1, 5)
    assert again | gone == {job.id for job in jobs}
    assert await left(store) == again
    assert {job.id for job in await store.still_waiting(again)} == again
