"""The contract, for what jobs log: lines stay with their job, the newest of each, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.sealed import SECRET, secret_job
from tests.store.backends import (
    START,
    Backend,
    SteppedClock,
    end,
    join,
    logged,
    new_id,
    new_job,
    put,
    put_one,
    put_running,
    start,
    told,
)
from tickr.envelopes import new_key
from tickr.job_log import LINE_BYTES, LogLine, LogPlace
from tickr.jobs import Job, State
from tickr.sealing import Vault
from tickr.store.contract import MAX_BATCH, Resealed, Store

BOUND = 1_000


async def lines(store: Store, job: Job, **which: LogPlace | int | None) -> Sequence[LogLine]:
    parts = await store.job_log(job.id, MAX_BATCH, **which)  # type: ignore[arg-type]
    return [line for part in parts for line in part.lines()]


async def messages(store: Store, job: Job, **which: LogPlace | int | None) -> list[str | None]:
    return [line.message for line in await lines(store, job, **which)]


async def test_lines_are_kept_as_they_were_said_and_nothing_else_changes(store: Store) -> None:
    first, second, silent = await start(store, *await put(store, new_job(), new_job(), new_job()))
    before, log = await store.get(first.id), await told(store)
    text = "a 'quoted' \\ \" line\nand 漢😀"
    said = [logged(first, 2, "one", text), logged(second, 1, ""), logged(first, 3, "x" * 2_000)]
    assert await store.keep_log(said, bound=BOUND) == 3
    assert await messages(store, first) == ["one", text, "x" * 2_000]
    assert await messages(store, second) == [""]
    assert (
        await messages(store, silent) == await messages(store, Job(id=new_id(), type="t", run_at=0, created_at=0)) == []
    )
    places = [LogPlace(first.fence, number) for number in (1, 2, 3)]
    assert [(one.place, one.attempt, one.at, one.dropped) for one in await lines(store, first)] == [
        (places[0], 1, START, 0),
        (places[1], 1, START + 1, 0),
        (places[2], 1, START, 0),
    ]
    assert (await store.get(first.id), await told(store)) == (before, log)


async def test_the_same_part_again_changes_nothing(store: Store) -> None:
    job = await put_running(store)
    for _ in range(2):  # as where the answer of a COMMIT was lost
        assert await store.keep_log([logged(job, 1, "one")], bound=BOUND) == 1
    assert await messages(store, job) == ["one"]


async def test_they_are_read_from_a_place_on_by_attempt_and_no_more_than_asked_for(store: Store) -> None:
    job = await put_running(store)
    await store.keep_log([logged(job, number) for number in (1, 2, 3)], bound=BOUND)
    await end(store, job, "retried")
    (again,) = await start(store, job)
    await store.keep_log([logged(again, 2, "a", "b")], bound=BOUND)
    assert (again.fence, again.attempt) == (2, 2)
    assert await messages(store, job) == ["line 1", "line 2", "line 3", "a", "b"]
    assert await messages(store, job, after=LogPlace(1, 2)) == ["line 3", "a", "b"]
    assert await messages(store, job, after=LogPlace(2, 1)) == ["a", "b"], "the part that has more behind that place"
    assert await messages(store, job, after=LogPlace(2, 2)) == []
    assert await messages(store, job, attempt=2) == ["a", "b"]
    assert await messages(store, job, attempt=1, after=LogPlace(1, 2)) == ["line 3"]
    assert await messages(store, job, attempt=3) == []
    assert [part.last for part in await store.job_log(job.id, 2)] == [1, 2]


async def test_an_attempt_that_is_over_logs_nothing_any_more(store: Store) -> None:
    old = await put_running(store)
    await store.keep_log([logged(old, 1, "old")], bound=BOUND)
    await store.deregister("n1")
    await store.reap(10)
    assert await store.keep_log([logged(old, 2, "too late")], bound=BOUND) == 0
    (new,) = await start(store, old, node="n2")
    assert await store.keep_log([logged(old, 3, "too late"), logged(new, 1, "new")], bound=BOUND) == 1
    await end(store, new, "succeeded")
    assert await store.keep_log([logged(new, 2, "after the end")], bound=BOUND) == 0
    await store.redrive(new.id)
    assert await messages(store, new) == ["old", "new"], "it stays when the job is started over"


async def test_the_newest_are_kept_and_only_of_that_job(store: Store) -> None:
    job, other = await start(store, *await put(store, new_job(), new_job()))
    await store.keep_log([logged(one, number) for number in range(1, 21) for one in (job, other)], bound=5)
    assert len(await lines(store, job)) == 20, "until somebody has it looked at"
    await end(store, job, "retried")
    (again,) = await start(store, job)
    await store.keep_log([logged(again, 2, "a", "b", trim=True)], bound=5)
    assert await messages(store, job) == ["line 18", "line 19", "line 20", "a", "b"]
    await store.keep_log([logged(again, 5, "c", "d", "e", trim=True)], bound=4)
    assert await messages(store, job) == ["a", "b", "c", "d", "e"], "a part is kept or goes whole"
    assert len(await lines(store, other)) == 20


async def test_long_lines_are_kept_for_fewer(store: Store) -> None:
    job = await put_running(store)
    await store.keep_log([logged(job, number, "x" * LINE_BYTES * 2) for number in range(1, 11)], bound=10)
    await store.keep_log([logged(job, 11, "the last", trim=True)], bound=10)
    assert [line.place.number for line in await lines(store, job)] == [6, 7, 8, 9, 10, 11]


async def test_they_go_with_their_job(store: Store, clock: SteppedClock) -> None:
    job, stays = await start(store, *await put(store, new_job(), new_job()))
    await store.keep_log([logged(job, 1), logged(stays, 1)], bound=BOUND)
    await end(store, job, "succeeded")
    clock.advance(1)
    assert (await store.prune_jobs(State.SUCCEEDED, clock(), 10)).deleted == 1
    assert await messages(store, job) == []
    (other,) = await start(store, await put_one(store, id=job.id))
    assert await messages(store, other) == []
    assert await messages(store, stays) == ["line 1"]


async def test_a_whole_batch_of_long_ones_is_kept(store: Store) -> None:
    jobs = await start(store, *await put(store, *(new_job() for _ in range(MAX_BATCH // 10))))
    said = [logged(job, last, *["'\\" * 500] * 20) for job in jobs for last in (20, 40)]
    assert await store.keep_log(said, bound=BOUND) == len(said)
    assert {message for job in jobs[:3] for message in await messages(store, job)} == {"'\\" * 500}


async def test_they_outlive_the_program(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        job = await put_running(store)
        await store.keep_log([logged(job, 1, "one")], bound=BOUND)
    async with durable_backend.open() as store:
        assert await messages(store, job) == ["one"]


@pytest.mark.parametrize("parts", [1, 3])
async def test_they_are_given_another_key_with_their_job(store: Store, parts: int) -> None:
    old, new = Vault([("old", key := new_key())]), ("new", new_key())
    (stored,) = await put(store, secret_job(old))
    await join(store, "n1")
    (job,) = await store.claim([stored.id], node="n1", types=["mail"], keys=old.ids)
    said = [logged(job, last, SECRET, trim=True) for last in range(1, parts + 1)]
    await store.keep_log([old.seal_lines(one) for one in said], bound=BOUND)
    await end(store, job, "released")
    kept = await store.job_log(job.id, MAX_BATCH)
    assert SECRET not in str(kept)
    assert [line.message for part in kept for line in part.lines()] == [None] * parts
    both = Vault([new, ("old", key)])
    found = await store.get(job.id)
    assert found is not None
    assert await store.reseal([Resealed(found, [], None, both.reseal_log(kept, job.id))]) == 1
    anew = [Vault([new]).open_log(part, job.id) for part in await store.job_log(job.id, MAX_BATCH)]
    assert [line.message for part in anew for line in part.lines()] == [SECRET] * parts
