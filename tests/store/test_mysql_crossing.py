"""Commits that cross, with readers between them: nothing is skipped, repeated, or told out of a job's order.

The control is a reader that follows the ids of the rows, as one must not: what it misses shows that the trial is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from tests.faults.proxy import Proxy, proxy_before
from tests.store.backends import (
    MANY_BYTES,
    OOPS,
    assert_lawful,
    end,
    join,
    new_job,
    noted,
    put_one,
    put_running,
    told,
    transactions_on,
)
from tickr import events
from tickr.events import Change, Event
from tickr.jobs import Job, NewJob, created
from tickr.reports import Outcome
from tickr.store import mysql_claims, mysql_feed, mysql_jobs
from tickr.store.contract import Filter
from tickr.store.mysql import MysqlStore, open_mysql
from tickr.store.mysql_claims import Claimant
from tickr.store.mysql_transactions import Transaction, Transactions
from tickr.store.mysql_values import number, text

WITHIN_S = 60.0
EVERYTHING = Filter()

Told = tuple[str, int, int]
"""One event: its job, version and note."""


def of(row: Sequence[Event]) -> list[Told]:
    return [(event.job, event.version, event.note) for event in row]


async def insert(tx: Transaction, new: NewJob) -> Job:
    """Do what ``Store.insert`` does for one job, in a transaction that the test holds."""
    job = created(new, tx.now)
    await mysql_jobs.insert(tx, [job])
    await mysql_jobs.tell(tx, [Change(None, job)])
    return job


class ById:
    """Follows the ids of the rows: the control."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self.last = 0
        self.seen: set[Told] = set()

    async def read(self) -> int:
        """Return how many rows were new."""
        sql = "SELECT id, body FROM events WHERE id > %s ORDER BY id"
        found = (await self._transactions.run(lambda tx: tx.run(sql, self.last), within_s=WITHIN_S)).rows
        for key, body in found:
            self.last = number(key)
            self.seen.update(of(events.decode(text(body))))
        return len(found)


# -- commits that cross -----------------------------------------------------------------------------------------------


async def test_who_is_first_to_insert_and_last_to_commit_is_told_last(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as others:
        by_id = ById(others)
        inserted, go_on = trio.Event(), trio.Event()
        late = new_job()

        async def hold(tx: Transaction) -> None:
            await insert(tx, late)
            inserted.set()
            await go_on.wait()

        async def first() -> None:
            await others.run(hold, within_s=WITHIN_S)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await inserted.wait()
            second = await put_one(store)
            ((seq, body),) = await store.event_rows(0, 10, MANY_BYTES)
            assert (seq, of(events.decode(body))) == (1, [(second.id, 1, 0)])
            assert await by_id.read() == 1
            assert await store.event_rows(1, 10, MANY_BYTES) == []
            go_on.set()
        ((seq, body),) = await store.event_rows(1, 10, MANY_BYTES)
        assert (seq, of(events.decode(body))) == (2, [(late.id, 1, 0)])
        assert await by_id.read() == 0  # for whoever follows the ids it never was
        third = await put_one(store)
        assert await by_id.read() == 1
        assert by_id.seen == {(second.id, 1, 0), (third.id, 1, 0)}


class Follower:
    """Follows the log as the feed does. ``turns``: how often it has read."""

    def __init__(self, store: MysqlStore, limit: int) -> None:
        self._store, self._limit = store, limit
        self.rows: list[list[Event]] = []
        self.turns = 0

    async def follow(self, over: trio.Event, moved: Callable[[], None]) -> None:
        while True:
            last = over.is_set()
            page = await self._store.event_rows(len(self.rows), self._limit, MANY_BYTES)
            for seq, body in page:
                self.rows.append(events.decode(body))
                assert seq == len(self.rows)
            self.turns += 1
            moved()
            if last and not page:
                return


class Storm:
    """Writers whose commits cross, readers between them, and readers that are cut in the middle of numbering.

    Three writers hold each of their transactions, its row of events inserted, until the control has seen a row behind
    that one and a real reader has read since. One writer goes straight on, so that they need not wait for ever.
    """

    LIVES = 14  # of each writer that holds: three commits each

    def __init__(self, store: MysqlStore, held: Transactions, by_id: ById, follower: Follower) -> None:
        self._store, self._held, self._by_id, self._follower = store, held, by_id, follower
        self._moved = trio.Event()
        self._holding = 3
        self.crossed: set[Told] = set()
        self.jobs: list[str] = []
        self.over = trio.Event()

    def moved(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    async def hold(self, work: Callable[[Transaction], Awaitable[Job]]) -> Job:
        async def transaction(tx: Transaction) -> Job:
            job = await work(tx)
            assert tx.receipt is not None
            turns = self._follower.turns
            while self._by_id.last <= tx.receipt.event_id or self._follower.turns <= turns + 1:
                await self._moved.wait()
            return job

        job = await self._held.run(transaction, within_s=WITHIN_S)
        self.crossed.add((job.id, job.version, 0))
        return job

    async def write_crossing(self) -> None:
        for _ in range(self.LIVES):
            new = new_job()
            await self.hold(lambda tx, new=new: insert(tx, new))  # type: ignore[misc]
            self.jobs.append(new.id)

            async def claim(tx: Transaction, new: NewJob = new) -> Job:
                return (await mysql_claims.claim(tx, [new.id], Claimant("n1", ["mail"], None)))[0]

            running = await self.hold(claim)

            async def finish(tx: Transaction, running: Job = running) -> Job:
                (done,) = await mysql_claims.finish(tx, [Outcome(job=running, kind="retried", failure=OOPS)])
                assert done is not None
                return done

            await self.hold(finish)
        self._holding -= 1

    async def write_straight(self) -> None:
        while self._holding:
            job = await put_running(self._store)
            self.jobs.append(job.id)
            assert await self._store.note([noted(job, 1, fraction=0.5), noted(job, 2)]) == 2
            await end(self._store, job, "succeeded")
        self.over.set()

    async def read_by_id(self) -> None:
        while not self.over.is_set():
            await self._by_id.read()
            self.moved()
        await self._by_id.read()

    async def number_and_be_cut(self, transactions: Transactions) -> None:
        """Number, again and again, and lose the connection each time before COMMIT."""
        while not self.over.is_set():
            with trio.CancelScope() as scope:

                async def work(tx: Transaction, scope: trio.CancelScope = scope) -> None:
                    await mysql_feed.number_new(tx)
                    scope.cancel()
                    await trio.lowlevel.checkpoint()

                await transactions.run(work, within_s=WITHIN_S)
            await self._turns_of(self._follower)

    async def cut_numbering(self, proxy: Proxy, follower: Follower) -> None:
        """Cut the connection of a reader at its numbering, by turns before it arrives and after it was answered."""
        proxy.at = mysql_feed.NUMBER[:20].encode()
        while not self.over.is_set():
            proxy.cut = "before" if proxy.cuts % 2 else "after"
            await self._turns_of(follower)
        proxy.cut = None

    async def _turns_of(self, follower: Follower) -> None:
        """Wait for a few turns of ``follower``, or the end."""
        turns = follower.turns
        while follower.turns <= turns + 3 and not self.over.is_set():
            await self._moved.wait()


async def test_a_storm_of_writers_and_readers_loses_and_repeats_nothing(mysql_url: str) -> None:
    async with (
        open_mysql(mysql_url, asked_within_s=20, worked_within_s=20) as store,
        proxy_before(mysql_url) as proxy,
        open_mysql(proxy.url, asked_within_s=20, worked_within_s=20) as behind_proxy,
        transactions_on(mysql_url) as others,
    ):
        await join(store, "n1")
        by_id, followers = ById(others), [Follower(store, 7), Follower(behind_proxy, 3)]
        storm = Storm(store, others, by_id, followers[0])
        with trio.fail_after(WITHIN_S):
            async with trio.open_nursery() as nursery:
                for follower in followers:
                    nursery.start_soon(follower.follow, storm.over, storm.moved)
                nursery.start_soon(storm.read_by_id)
                for _ in range(3):
                    nursery.start_soon(storm.write_crossing)
                nursery.start_soon(storm.write_straight)
                nursery.start_soon(storm.number_and_be_cut, others)
                nursery.start_soon(storm.cut_numbering, proxy, followers[1])
        rows = followers[0].rows
        assert rows == followers[1].rows == await told(store)
        seen = [one for row in rows for one in of(row)]
        assert len(set(seen)) == len(seen)
        assert_lawful(rows)
        versions = {job.id: job.version for job in (await store.list_jobs(EVERYTHING, limit=1000)).jobs}
        assert versions.keys() == set(storm.jobs)
        expected = {(job, n, 0) for job, version in versions.items() for n in range(1, version + 1)}
        assert {one for one in seen if not one[2]} == expected
        # The trial was one: each of these commits crossed others, and the control has missed them all.
        assert len(storm.crossed) == 3 * 3 * Storm.LIVES
        assert set(seen) - by_id.seen >= storm.crossed
        assert proxy.cuts >= 3
