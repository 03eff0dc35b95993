"""The contract, for what running attempts say: progress on the job, notes in the log, nothing once they are over."""

from __future__ import annotations

import pytest

from tests.store.backends import (
    MANY_BYTES,
    Backend,
    SteppedClock,
    assert_lawful,
    end,
    join,
    new_job,
    noted,
    put,
    put_running,
    start,
    told,
)
from tests.store.test_contract_cancellation import MOMENTS, cut
from tickr import events
from tickr.jobs import Job, Progress, State
from tickr.reports import Outcome
from tickr.store.contract import MAX_BATCH, Filter, Running, Store


async def progress_of(store: Store, job: Job) -> Progress | None:
    found = await store.get(job.id)
    assert found is not None
    return found.progress


async def test_progress_is_on_the_job_and_in_the_log(store: Store) -> None:
    first, second = await start(store, *await put(store, new_job(labels='{"a":"b"}'), new_job()))
    notes = [
        noted(first, 1, fraction=0.25, message="a 'quoted' \\ \" line\nand 漢😀"),
        noted(second, 1, fraction=0.0),
        noted(first, 2, message="a line", dropped=3),
        noted(first, 3, fraction=0.5, data='{"rows": 1.50, "漢": "\'\\\\"}'),
    ]
    assert await store.note(notes) == 4
    assert await progress_of(store, first) == Progress(0.5, None, '{"rows": 1.50, "漢": "\'\\\\"}')
    assert await progress_of(store, second) == Progress(0.0, None)
    *_, row = await told(store)
    assert row == [events.of_note(note) for note in notes]
    assert [event.id for event in row][0::2] == [f"{first.id}.2.1", f"{first.id}.2.2"]
    assert await store.note([noted(first, 4, fraction=0.75, message="späť")]) == 1
    assert await progress_of(store, first) == Progress(0.75, "späť")


async def test_a_note_changes_nothing_else(store: Store, clock: SteppedClock) -> None:
    job = await put_running(store, labels='{"a":"b"}', payload='{"x":1}')
    before = await store.get(job.id)
    clock.advance(1)
    await store.note([noted(job, 1, message="a line")])
    assert await store.get(job.id) == before
    await store.note([noted(job, 2, fraction=0.5)])
    ((listed,),) = [(await store.list_jobs(Filter(), limit=10)).jobs]
    assert listed == await store.get(job.id) != before
    assert (listed.version, listed.fence, listed.state) == (job.version, job.fence, State.RUNNING)
    assert await store.heartbeat("n1", lease_s=15) == [Running.of(job)]


async def test_what_is_over_says_nothing(store: Store) -> None:
    unknown = await put_running(store)
    jobs = await start(store, *await put(store, *(new_job() for _ in range(4))))
    done, failed, again, alive = jobs
    await end(store, done, "succeeded")
    await end(store, failed, "failed")
    await end(store, again, "released")
    (newer,) = await start(store, again)
    before = await told(store)
    over = [done, failed, again]
    assert await store.note([noted(job, 1, fraction=0.5) for job in over]) == 0
    assert await told(store) == before
    notes = [noted(job, 2, fraction=0.5) for job in (*over, alive, newer)]
    assert await store.note(notes) == 2
    assert [await progress_of(store, job) for job in over] == [None, None, Progress(0.5)]
    assert (await told(store))[len(before) :] == [[events.of_note(note) for note in notes[3:]]]
    gone = Job(id="00000000-0000-7000-8000-000000000000", type="mail", run_at=0, created_at=0, fence=1)
    assert await store.note([noted(gone, 1), noted(unknown, 1)]) == 1


async def test_a_job_that_runs_elsewhere_by_now_keeps_its_progress(store: Store) -> None:
    old = await put_running(store)
    await store.deregister("n1")
    await store.reap(10)
    (new,) = await start(store, old, node="n2")
    await store.note([noted(new, 1, fraction=0.25)])
    assert await store.note([noted(old, 7, fraction=0.75), noted(new, 2)]) == 1
    assert await progress_of(store, new) == Progress(0.25)
    assert_lawful(await told(store))


@pytest.mark.parametrize("kind", ["succeeded", "failed", "retried", "released", "cancelled"])
async def test_the_last_progress_stays_until_the_next_start(store: Store, kind: str) -> None:
    job = await put_running(store)
    await store.note([noted(job, 1, fraction=0.5, message="half")])
    await end(store, job, kind)  # by its own record, which knows of no progress
    half = Progress(0.5, "half")
    assert await progress_of(store, job) == half
    if kind in ("succeeded", "failed", "cancelled"):
        assert (await store.redrive(job.id)).progress == half
        assert await progress_of(store, job) == half
    (again,) = await start(store, job)
    assert again.progress is None
    assert await store.get(job.id) == again


async def test_a_claim_without_an_index_forgets_progress_as_well(store: Store) -> None:
    job = await put_running(store)
    await store.note([noted(job, 1, fraction=0.5)])
    await end(store, job, "released")
    (again,) = await store.claim_due(10, node="n1", types=["mail"])
    assert again.progress is None
    assert await store.get(job.id) == again


async def test_jobs_are_read_with_their_progress_however_long_it_is(store: Store) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(3))))
    said = [Progress(number / 4, "x" * 4_000 * number or None) for number in range(3)]
    notes = [noted(job, 1, fraction=one.fraction, message=one.message) for job, one in zip(jobs, said, strict=True)]
    await store.note(notes)
    for job in jobs:
        await end(store, job, "released")
    waiting = {job.id: job.progress for job in await store.still_waiting([job.id for job in jobs])}
    assert [waiting[job.id] for job in jobs] == said
    assert [await progress_of(store, job) for job in jobs] == said


async def test_a_whole_batch_is_one_row(store: Store) -> None:
    jobs = await put(store, *(new_job() for _ in range(MAX_BATCH // 2)))
    await join(store, "n1")
    running = await store.claim([job.id for job in jobs], node="n1", types=["mail"])
    notes = [noted(job, number, fraction=number / 2) for number in (1, 2) for job in running]
    assert await store.note(notes) == MAX_BATCH
    assert (await told(store))[2:] == [[events.of_note(note) for note in notes]]
    assert {job.progress for job in (await store.list_jobs(Filter(), limit=MAX_BATCH)).jobs} == {Progress(1.0)}


async def test_notes_outlive_the_store(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        job = await put_running(store)
        await store.note([noted(job, 1, fraction=0.5)])
    async with durable_backend.open() as store:
        assert await progress_of(store, job) == Progress(0.5)
        assert len(await store.event_rows(0, 10, MANY_BYTES)) == 3


@pytest.mark.parametrize("turns", MOMENTS)
async def test_notes_of_a_caller_who_left_are_whole_or_nothing(store: Store, turns: int) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(10))))
    await cut(turns, lambda: store.note([noted(job, 1, fraction=0.5) for job in jobs]))
    shown = {await progress_of(store, job) for job in jobs}
    rows = (await told(store))[2:]
    assert (shown, [len(row) for row in rows]) in (({None}, []), ({Progress(0.5)}, [10]))
    done = await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])
    assert None not in done
    assert_lawful(await told(store))
