"""Claims and outcomes in SQLite go by statements for whole batches: what they write is what the records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.backends import OOPS, join, new_job, put, start, told_of
from tickr.reports import Outcome
from tickr.store.sqlite import open_sqlite
from tickr.store.sqlite_claims import INLINE, SHARED_SUCCESS_MIN

NASTY = '"\\u0000 \\\\ \' é漢😀"'


@pytest.mark.parametrize("size", [1, INLINE - 2, INLINE - 1, INLINE, 300_000])
async def test_long_texts_are_claimed_as_they_are(tmp_path: Path, size: int) -> None:
    async with open_sqlite(tmp_path / "tickr.db") as store:
        long = [new_job(payload=f'"{"x" * size}"', labels='{"a":"b"}') for _ in range(3)]
        short = [new_job(payload=NASTY) for _ in range(3)]
        claimed = await start(store, *await put(store, *long, *short))
        assert [job.payload for job in claimed] == [one.payload for one in (*long, *short)]
        assert claimed == [await store.get(job.id) for job in claimed]


async def test_successes_alike_and_apart_are_stored_with_what_they_are(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "tickr.db") as store:
        jobs = await start(store, *await put(store, *(new_job() for _ in range(4 * SHARED_SUCCESS_MIN))))
        await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in jobs[::2]])
        again = await start(store, *jobs[::2])
        jobs = [again[n // 2] if n % 2 == 0 else job for n, job in enumerate(jobs)]  # of two versions and fences
        results = [None, NASTY, *(f'"{n}"' for n in range(7))]
        outcomes = [Outcome(job=job, kind="succeeded", result=results[n % 9]) for n, job in enumerate(jobs)]
        done = await store.finish(outcomes)
        assert done == [await store.get(job.id) for job in jobs]
        assert [job and job.result for job in done] == [outcome.result for outcome in outcomes]
        assert await told_of(store, jobs[0]) == ["created", "started", "retrying", "started", "succeeded"]


async def test_one_stale_success_costs_the_others_nothing(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "tickr.db") as store:
        jobs = await start(store, *await put(store, *(new_job() for _ in range(30))))
        await store.finish([Outcome(job=jobs[0], kind="released", failure=OOPS)])
        await start(store, jobs[0])
        kinds = ["retried" if n % 10 == 9 else "succeeded" for n in range(30)]
        done = await store.finish(
            [
                Outcome(job=job, kind=kind, result=None, failure=OOPS if kind == "retried" else None)  # type: ignore[arg-type]
                for job, kind in zip(jobs, kinds, strict=True)
            ]
        )
        assert done[0] is None
        assert [job and job.state.value for job in done[1:]] == [
            "retrying" if kind == "retried" else kind for kind in kinds[1:]
        ]
        assert done[1:] == [await store.get(job.id) for job in jobs[1:]]
        assert (await told_of(store, jobs[0]))[-1] == "started"


async def test_nothing_is_claimed_for_a_node_without_a_row(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "tickr.db") as store:
        jobs = await put(store, new_job())
        assert await store.claim([jobs[0].id], node="n1", types=["mail"]) == []
        await join(store, "n1")
        assert await store.claim(["", "nonsense", "00" * 16], node="n1", types=["mail"]) == []
