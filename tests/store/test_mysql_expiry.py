"""Ending what has expired on MySQL: it waits for nobody's locks, nobody for its own, and plain jobs pay nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from tests.store.backends import OOPS, SECOND, join, new_job, put, start, transactions_on
from tickr.jobs import Extras, Job, State
from tickr.reports import Outcome
from tickr.store import mysql_claims, mysql_expiry
from tickr.store.contract import Expired, Start
from tickr.store.mysql import open_mysql
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_jobs import keys_of
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import Parameter, Result

PROMPT_S = 2.0
"""Who waits for a lock waits ``LOCK_WAIT_S`` (5 s); whoever does not is done by then."""
LONG_AGO = Extras(expires_at=SECOND)


async def test_it_passes_over_jobs_that_others_hold_and_comes_back_for_them(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as transactions:
        jobs = await put(store, *(new_job(extras=LONG_AGO) for _ in range(10)))
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
                ended, next_at = await store.end_expired(100)
            assert sorted(job.id for job in ended) == sorted(job.id for job in jobs[4:])
            assert next_at == SECOND, "there is more to do"
            may_end.set()
        assert len((await store.end_expired(100)).jobs) == 4
        assert await store.end_expired(100) == Expired([], None)


async def test_nothing_waits_for_it_but_a_wish_for_the_very_job(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as transactions:
        late = await put(store, *(new_job(extras=LONG_AGO) for _ in range(10)))
        fine = await put(store, *(new_job(expires_in_us=3600 * SECOND) for _ in range(10)))
        await join(store, "n1")
        has_ended, may_commit = trio.Event(), trio.Event()

        async def work(tx: Transaction) -> Expired:
            ended = await mysql_expiry.end(tx, 100)
            has_ended.set()
            await may_commit.wait()
            return ended

        async def ender() -> None:
            assert len((await transactions.run(work, within_s=20)).jobs) == 10

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ender)
            await has_ended.wait()
            with trio.fail_after(PROMPT_S):
                claimed = await store.claim([job.id for job in (*late, *fine)], node="n1", types=["mail"])
                assert sorted(job.id for job in claimed) == sorted(job.id for job in fine)
                await store.finish([Outcome(job=job, kind="retried", failure=OOPS) for job in claimed])
                await put(store, *(new_job(extras=LONG_AGO) for _ in range(5)))
                assert len((await store.end_expired(100)).jobs) == 5
            may_commit.set()
        assert {job.state for one in late if (job := await store.get(one.id))} == {State.CANCELLED}


async def test_no_statement_about_plain_jobs_knows_of_it(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    execute = Connection.execute

    async def recorded(connection: Connection, sql: str, *parameters: Parameter) -> Result:
        sent.append(sql)
        return await execute(connection, sql, *parameters)

    async def live(jobs: Sequence[Job]) -> None:
        kinds = ["succeeded", "retried", "failed", "released", "cancelled"]
        outcomes = [
            Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)  # type: ignore[arg-type]
            for job, kind in zip(await start(store, *jobs), kinds, strict=True)
        ]
        await store.finish(outcomes)
        await store.cancel(jobs[1].id)
        await store.redrive(jobs[1].id)

    async with open_mysql(mysql_url) as store:
        await join(store, "n1")
        started = new_job()
        plain = await put(store, *(new_job() for _ in range(5)))
        others = await put(store, *(new_job(expires_in_us=SECOND * 3600) for _ in range(5)))
        monkeypatch.setattr(Connection, "execute", recorded)
        await store.insert([started], start=Start("n1", frozenset([started.id])))
        await live(plain)
        assert sent
        assert not [sql for sql in sent if "expiries" in sql]
        await live(others)
        assert [sql for sql in sent if "expiries" in sql]
