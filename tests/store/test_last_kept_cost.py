"""Which are the last so many is found by reading about so many entries of an index, however many jobs there are."""

from __future__ import annotations

from tests.store.backends import new_job, put, start, transactions_on
from tickr.jobs import State
from tickr.reports import Outcome
from tickr.store import mysql_last_kept
from tickr.store.contract import MAX_BATCH
from tickr.store.mysql import open_mysql
from tickr.store.mysql_transactions import Transaction

RANGES = 6


async def index_reads(tx: Transaction) -> int:
    found = (await tx.run("SHOW SESSION STATUS LIKE 'Handler_read%%'")).rows
    return sum(int(value or 0) for name, value in found if name in (b"Handler_read_prev", b"Handler_read_key"))


async def test_as_many_entries_are_read_as_are_kept(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as transactions:
        for _ in range(3):
            new = (new_job(queue=f"q{n % 3}", priority=n % 2) for n in range(MAX_BATCH))
            jobs = await start(store, *await put(store, *new))
            await store.finish([Outcome(job=job, kind="succeeded") for job in jobs])

        async def measure(tx: Transaction) -> list[int]:
            reads = []
            for count in (0, 100, 1000):
                before = await index_reads(tx)
                assert await mysql_last_kept.last_beyond(tx, State.SUCCEEDED, count) is not None
                reads.append(await index_reads(tx) - before)
            return reads

        none, few, many = await transactions.run(measure, within_s=20)
        assert none <= 10 * RANGES
        assert few <= 2 * 100 + 10 * RANGES
        assert many <= 2 * 1000 + 10 * RANGES
