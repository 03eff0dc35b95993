"""Deleting old jobs keeps out of the way: on MySQL by its locks, on SQLite by how long it has the only write lock."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.store.backends import (
    SECOND,
    START,
    SqliteBackend,
    join,
    new_job,
    put,
    put_running,
    start,
    transactions_on,
)
from tickr.errors import JobNotFound
from tickr.jobs import Job, State
from tickr.reports import Outcome
from tickr.store import mysql_claims, mysql_retention, sqlite_retention
from tickr.store.contract import Filter, Pruned, Store
from tickr.store.mysql import open_mysql
from tickr.store.mysql_jobs import keys_of
from tickr.store.mysql_transactions import Transaction, Transactions

LATER = 3 * START
PROMPT_S = 2.0
"""Who waits for a lock waits ``LOCK_WAIT_S`` (5 s); whoever does not is done by then."""


async def succeeded(store: Store, count: int, **fields: int) -> list[Job]:
    jobs = await start(store, *await put(store, *(new_job(**fields) for _ in range(count))))
    await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])
    return jobs


class Pruner:
    """A transaction that has deleted jobs and is not committed until it may."""

    def __init__(self) -> None:
        self.has_deleted, self.may_commit = trio.Event(), trio.Event()
        self.pruned: Pruned | None = None

    async def run(self, transactions: Transactions) -> None:
        async def work(tx: Transaction) -> Pruned:
            pruned = await mysql_retention.prune(tx, State.SUCCEEDED, LATER, 100, None)
            self.has_deleted.set()
            await self.may_commit.wait()
            return pruned

        self.pruned = await transactions.run(work, within_s=20)


async def test_nothing_waits_for_a_pruner_but_a_wish_for_the_very_job(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as transactions:
        old = await succeeded(store, 30)
        running = [await put_running(store) for _ in range(3)]
        await put(store, *(new_job() for _ in range(5)))
        pruner, gone = Pruner(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pruner.run, transactions)
            await pruner.has_deleted.wait()
            with trio.fail_after(PROMPT_S):
                await put(store, *(new_job() for _ in range(5)))
                await join(store, "n1")
                claimed = await store.claim_due(10, node="n1", types=["mail"])
                assert len(claimed) == 10
                await store.finish([Outcome(job=job, kind="succeeded") for job in running + claimed])
                assert await store.reap(10) == []
                assert len((await store.list_jobs(Filter(states=(State.SUCCEEDED,)), limit=100)).jobs) == 43
                # Another pruner passes over what this one is at, and gets what has ended since.
                assert (await store.prune_jobs(State.SUCCEEDED, LATER, 100)).deleted == 13

            async def start_over() -> None:
                with pytest.raises(JobNotFound):
                    await store.redrive(old[0].id)
                gone.set()

            nursery.start_soon(start_over)
            pruner.may_commit.set()
        assert pruner.pruned == Pruned(30, None)
        assert gone.is_set()
        assert (await store.list_jobs(Filter(), limit=100)).jobs == []


async def test_a_pruner_waits_for_nobody_who_is_at_a_job(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as transactions:
        jobs = await succeeded(store, 10)
        held, may_end = trio.Event(), trio.Event()

        async def hold(tx: Transaction) -> None:
            await tx.run(mysql_claims.LOCK_BY_IDS, keys_of([job.id for job in jobs[:4]]))
            held.set()
            await may_end.wait()

        async def holder() -> None:
            await transactions.run(hold, within_s=20)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(holder)
            await held.wait()
            with trio.fail_after(PROMPT_S):
                assert await store.prune_jobs(State.SUCCEEDED, LATER, 100) == Pruned(6, None)
            may_end.set()
        assert await store.prune_jobs(State.SUCCEEDED, LATER, 100) == Pruned(4, None)


async def test_many_queues_are_gone_through_in_parts(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_retention, "MAX_RANGES", 3)
    async with open_mysql(mysql_url) as store:
        jobs = await start(store, *await put(store, *(new_job(queue=f"q{n:02}") for n in range(10))))
        await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])
        deleted, position = await store.prune_jobs(State.SUCCEEDED, LATER, 100)
        assert 0 < deleted <= 3
        while position is not None:
            more, position = await store.prune_jobs(State.SUCCEEDED, LATER, 100, position)
            deleted += more
        assert deleted == 10


async def test_sqlite_gives_the_write_lock_back_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_retention, "HOLD_S", -1.0)
    monkeypatch.setattr(sqlite_retention, "MAX_RANGES", 2)
    async with SqliteBackend(tmp_path / "tickr.db").open() as store:
        for priority in range(5):
            await succeeded(store, 40, priority=priority)
        deleted, position = await store.prune_jobs(State.SUCCEEDED, START + SECOND, 100)
        assert deleted == sqlite_retention.CLOCK_EVERY
        while position is not None:
            more, position = await store.prune_jobs(State.SUCCEEDED, START + SECOND, 100, position)
            assert more <= sqlite_retention.CLOCK_EVERY
            deleted += more
        assert deleted == 200
        assert (await store.list_jobs(Filter(), limit=10)).jobs == []


async def test_sqlite_deletes_only_what_is_still_as_it_was_seen(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "tickr.db")
    async with backend.open() as store:
        again, gone = await succeeded(store, 2)
        seen = await store._file.read(  # type: ignore[attr-defined]
            lambda db: sqlite_retention.look(db, State.SUCCEEDED, START + SECOND, 10, None)
        )
        assert len(seen.old) == 2
        await store.redrive(again.id)
        tried, deleted = await store._file.write(  # type: ignore[attr-defined]
            lambda db: sqlite_retention.delete(db, seen.old, START + SECOND)
        )
        assert (tried, deleted) == (2, 1)
        assert await store.get(gone.id) is None
        assert len(await store.attempts(again.id)) == 1
