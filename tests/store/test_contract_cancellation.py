"""The contract when a caller is cancelled: every method happens whole or not at all, and the store stays usable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.store.backends import (
    MANY_BYTES,
    OOPS,
    START,
    Backend,
    assert_lawful,
    join,
    new_job,
    put,
    put_running,
    start,
    told,
)
from tickr.jobs import State
from tickr.reports import Outcome
from tickr.store.contract import MAX_BATCH, Filter, Store

MOMENTS = [0, 1, 2, 3, 5, 8, 13, 30]
"""After how many turns of the event loop the caller is cancelled."""


async def cut(turns: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Call and cancel the caller some turns later. Return whether it got its answer."""
    answered = False

    async def caller() -> None:
        nonlocal answered
        with scope:
            await call()
            answered = True

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller)
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        scope.cancel()
    return answered


@pytest.mark.parametrize("turns", MOMENTS)
async def test_an_insert_is_whole_or_nothing(store: Store, turns: int) -> None:
    new = [new_job(queue="cut") for _ in range(20)]
    answered = await cut(turns, lambda: store.insert(new))
    stored = (await store.list_jobs(Filter(), limit=100)).jobs
    assert len(stored) in ((20,) if answered else (0, 20))
    assert [len(commit) for commit in await told(store)] == ([20] if stored else [])
    assert await store.queue_names() == (["cut"] if stored else [])
    again = await store.insert(new)
    assert [created for _, created in again] == [not stored] * 20


@pytest.mark.parametrize("turns", MOMENTS)
async def test_claims_and_outcomes_are_whole_or_nothing(store: Store, turns: int) -> None:
    jobs = await put(store, *(new_job() for _ in range(20)))
    running = await start(store, *jobs[:10], node="gone")
    await store.deregister("gone")
    await join(store, "n1")
    waiting = [job.id for job in jobs[10:]]
    await cut(turns, lambda: store.finish([Outcome(job=job, kind="failed", failure=OOPS) for job in running]))
    await cut(turns, lambda: store.claim(waiting, node="n1", types=["mail"]))
    await cut(turns, lambda: store.reap(100))
    now = {job.id: job for job in (await store.list_jobs(Filter(), limit=100)).jobs}
    assert len({now[job.id].state for job in running}) == 1
    assert len({now[id_].state for id_ in waiting}) == 1
    commits = await told(store)
    assert_lawful(commits)
    versions: dict[str, int] = {}
    for commit in commits:
        versions.update((event.job, event.version) for event in commit)
    assert versions == {job.id: job.version for job in now.values()}
    for job in running:
        assert [one.outcome for one in await store.attempts(job.id)] in (["running"], ["failed"], ["released"])


async def test_a_caller_cancelled_beforehand_changes_nothing(store: Store) -> None:
    job = await put_running(store)
    await store.deregister("n1")
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.insert([new_job()])
    assert scope.cancelled_caught
    for call in (store.reap(10), store.cancel(job.id), store.epoch("mine")):
        with trio.CancelScope() as scope:
            scope.cancel()
            await call
        assert scope.cancelled_caught
    assert [one.state for one in (await store.list_jobs(Filter(), limit=10)).jobs] == [State.RUNNING]
    assert await store.get(job.id) == job
    assert await store.epoch("other") == "other"


async def test_a_store_closed_by_a_cancellation_has_whole_transactions(durable_backend: Backend) -> None:
    batches = [[new_job() for _ in range(MAX_BATCH // 10)] for _ in range(20)]

    with trio.CancelScope() as scope:
        async with durable_backend.open() as store, trio.open_nursery() as nursery:
            for batch in batches:
                nursery.start_soon(store.insert, batch)
            while not await store.event_rows(2, 1, MANY_BYTES):
                await trio.lowlevel.checkpoint()
            scope.cancel()
    async with durable_backend.open() as store:
        stored = {job.id for job in [job for one in batches for job in await store.still_waiting([j.id for j in one])]}
        for batch in batches:
            assert len({new.id in stored for new in batch}) == 1
        commits = await told(store)
        assert sorted(event.job for commit in commits for event in commit) == sorted(stored)
        assert len(commits) >= 3
        assert all(event.time == START for commit in commits for event in commit)
