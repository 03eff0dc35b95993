"""The log of events on a real server: readers that are cut, pruning beside writers, and who is told of a commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.faults.cutting import cut_at
from tests.faults.proxy import proxy_before
from tests.servers import mysql_execute
from tests.store.backends import (
    MANY_BYTES,
    assert_lawful,
    end,
    new_job,
    noted,
    put_one,
    put_running,
    told,
    transactions_on,
)
from tests.store.test_mysql_crossing import insert, of
from tests.waiting import eventually
from tickr import events
from tickr.errors import StoreUnavailable
from tickr.reports import Outcome
from tickr.store import mysql_claims, mysql_feed
from tickr.store.contract import wall_clock
from tickr.store.mysql import MysqlStore, open_mysql
from tickr.store.mysql_transactions import Transaction

WITHIN_S = 60.0
LOCKS_GONE_WITHIN_S = 2.0
"""Less than a lock is waited for: somebody waits for nobody."""


# -- notes ------------------------------------------------------------------------------------------------------------

LOCK_WAITERS = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"


async def beside(
    mysql_url: str, first: Callable[[Transaction], Awaitable[object]], second: Callable[[], Awaitable[object]]
) -> None:
    """Do ``first`` in a transaction that ends only when ``second``, begun meanwhile, waits for its lock."""

    async def somebody_waits() -> bool:
        return await trio.to_thread.run_sync(mysql_execute, mysql_url, LOCK_WAITERS) != [["0"]]

    async with transactions_on(mysql_url) as others, trio.open_nursery() as nursery:

        async def hold(tx: Transaction) -> None:
            await first(tx)
            nursery.start_soon(second)
            await eventually(somebody_waits)

        await others.run(hold, within_s=WITHIN_S)


async def test_an_attempt_does_not_end_before_what_it_says_is_in_the_log(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        job = await put_running(store)
        await beside(
            mysql_url,
            lambda tx: mysql_feed.note(tx, [noted(job, 1, fraction=0.5)]),
            lambda: store.finish([Outcome(job=job, kind="succeeded")]),
        )
        rows = await told(store)
        assert [event.what for row in rows for event in row] == ["created", "started", "progress", "succeeded"]
        assert_lawful(rows)


async def test_what_comes_while_its_attempt_ends_is_not_said(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        job = await put_running(store)
        kept: list[int] = []

        async def note() -> None:
            kept.append(await store.note([noted(job, 1, fraction=0.5)]))

        await beside(mysql_url, lambda tx: mysql_claims.finish(tx, [Outcome(job=job, kind="succeeded")]), note)
        assert kept == [0]
        assert [event.what for row in await told(store) for event in row] == ["created", "started", "succeeded"]


# -- numbering --------------------------------------------------------------------------------------------------------


async def test_a_reader_that_dies_in_the_middle_of_numbering_has_numbered_nothing(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as others:
        jobs = [await put_one(store) for _ in range(3)]
        with trio.CancelScope() as scope:

            async def work(tx: Transaction) -> None:
                assert (await mysql_feed.number_new(tx)).head == 3
                assert (await store.feed_state()).head == 0  # nobody else sees it
                scope.cancel()
                await trio.lowlevel.checkpoint()

            await others.run(work, within_s=WITHIN_S)
        assert scope.cancelled_caught
        assert (await store.feed_state()).head == 0
        with trio.fail_after(LOCKS_GONE_WITHIN_S):
            rows = await store.event_rows(0, 10, MANY_BYTES)
        assert [(seq, of(events.decode(body))) for seq, body in rows] == [
            (seq, [(job.id, 1, 0)]) for seq, job in enumerate(jobs, start=1)
        ]


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_numbers_are_given_once_though_their_connection_is_cut(mysql_url: str, cut: str) -> None:
    async with open_mysql(mysql_url) as store, proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as reader:
        for _ in range(3):
            await put_one(store)
        proxy.at = mysql_feed.NUMBER[:20].encode()
        proxy.cut = cut  # type: ignore[assignment]
        rows = await reader.event_rows(0, 10, MANY_BYTES)
        assert proxy.cuts == 1
        assert [seq for seq, _ in rows] == [1, 2, 3]
        assert await store.event_rows(0, 10, MANY_BYTES) == rows
        proxy.cut = cut  # type: ignore[assignment]
        await put_one(store)
        assert await reader.number_events() == 4
        assert await store.number_events() == 4


async def test_a_log_that_nobody_read_is_numbered_in_several_transactions(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_feed, "NUMBERED_AT_ONCE", 4)
    monkeypatch.setattr(mysql_feed, "NEXT_AT_ONCE", 2)
    async with open_mysql(mysql_url) as store:
        jobs = [await put_one(store) for _ in range(10)]
        assert len(await store.event_rows(0, 4, MANY_BYTES)) == 4
        assert (await store.feed_state()).head == 6
        assert await store.number_events() == 10
        assert [event.job for (event,) in await told(store)] == [job.id for job in jobs]


# -- pruning ----------------------------------------------------------------------------------------------------------


async def test_a_row_without_a_number_stays_however_old_it_is(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        await put_one(store)
        far = wall_clock() * 2
        assert await store.prune_events(far, 10) == 0
        assert await store.number_events() == 1
        assert await store.prune_events(far, 10) == 1


async def test_pruning_and_writing_wait_for_each_other_in_no_way(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, transactions_on(mysql_url) as others:
        for _ in range(10):
            await put_one(store)
        await store.number_events()
        far = wall_clock() * 2

        async def write_and_hold(tx: Transaction) -> None:
            await insert(tx, new_job())
            with trio.fail_after(LOCKS_GONE_WITHIN_S):
                assert await store.prune_events(far, 3) == 3

        await others.run(write_and_hold, within_s=WITHIN_S)

        async def prune_and_hold(tx: Transaction) -> None:
            assert await mysql_feed.prune(tx, far, 100) == 7  # all that has a number
            with trio.fail_after(LOCKS_GONE_WITHIN_S):
                job = await put_running(store)
                await store.note([noted(job, 1)])
                await end(store, job, "succeeded")
                assert await store.number_events() == 15
                assert [seq for seq, _ in await store.event_rows(11, 10, MANY_BYTES)] == [12, 13, 14, 15]

        await others.run(prune_and_hold, within_s=WITHIN_S)
        assert (await store.feed_state())[1:] == (11, 15)


async def test_several_may_prune_at_once(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store, open_mysql(mysql_url) as other:
        for _ in range(40):
            await put_one(store)
        await store.number_events()
        deleted: list[int] = []

        async def prune(at: MysqlStore) -> None:
            while (await at.feed_state()).oldest <= 40:
                deleted.append(await at.prune_events(wall_clock() * 2, 3))

        async with trio.open_nursery() as nursery:
            for at in (store, other, store):
                nursery.start_soon(prune, at)
        assert sum(deleted) == 40
        assert (await store.feed_state())[1:] == (41, 40)


# -- who is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_that_was_cut_is_told_when_it_stands(mysql_url: str, cut: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as store:
        calls: list[int] = []
        job = await put_running(store)
        store.on_events(lambda: calls.append(proxy.cuts))
        for cuts, call in enumerate((lambda: store.insert([new_job()]), lambda: store.note([noted(job, 1)])), start=1):
            proxy.cut = cut  # type: ignore[assignment]
            await call()
            assert calls == list(range(1, cuts + 1))  # once each, and only after the cut
        assert len(await told(store)) == 4


async def test_what_may_have_been_committed_is_told(mysql_url: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url, asked_within_s=1.5) as store:
        calls: list[bool] = []
        store.on_events(lambda: calls.append(True))
        proxy.cut = "late"
        with pytest.raises(StoreUnavailable) as caught:
            await store.insert([new_job()])
        assert caught.value.outcome_unknown
        assert calls == [True]
        proxy.let_go.set()


async def test_whoever_is_cancelled_wherever_what_stands_is_told(mysql_url: str) -> None:
    async with open_mysql(mysql_url) as store:
        calls: list[bool] = []
        job = await put_running(store)
        rows = await store.number_events()
        store.on_events(lambda: calls.append(True))
        parks, too_late = 0, False
        while not too_late:
            parks += 1
            inserted = await cut_at(parks, lambda: store.insert([new_job()]))
            written = await cut_at(parks, lambda n=parks: store.note([noted(job, n)]))  # type: ignore[misc]
            too_late = inserted and written
            before, rows = rows, await store.number_events()
            assert len(calls) == rows - before, f"cut at await {parks}"
            calls.clear()
        assert parks > 5
