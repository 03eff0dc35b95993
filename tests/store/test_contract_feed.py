"""The contract, for the log of events: pages, numbers, retention, histories, and who is told of a commit."""

from __future__ import annotations

import re

import pytest
import trio

from tests.store.backends import (
    MANY_BYTES,
    OOPS,
    SECOND,
    START,
    Backend,
    SteppedClock,
    a_node,
    end,
    new_job,
    noted,
    put,
    put_one,
    put_running,
    start,
    told,
)
from tests.store.test_contract_cancellation import MOMENTS, cut
from tickr import events
from tickr.errors import IllegalTransition, SchemaMismatch
from tickr.reports import Outcome
from tickr.store import mysql_feed, sqlite_feed
from tickr.store.contract import FeedState, Filter, Store

# -- pages ------------------------------------------------------------------------------------------------------------


async def test_a_page_ends_with_the_row_that_makes_it_long_enough(store: Store) -> None:
    for size in (10, 2_000, 10, 10, 3_000):
        await put_one(store, labels=f'{{"a":"{"é" * size}"}}')
    everything = await store.event_rows(0, 100, MANY_BYTES)
    assert [seq for seq, _ in everything] == [1, 2, 3, 4, 5]
    sizes = [len(body) for _, body in everything]

    async def page(after: int, max_bytes: int, limit: int = 100) -> int:
        found = await store.event_rows(after, limit, max_bytes)
        assert found == everything[after : after + len(found)]
        return len(found)

    assert await page(0, 1) == 1
    assert await page(0, sizes[0]) == 1
    assert await page(0, sizes[0] + 1) == 2
    assert await page(0, sum(sizes[:4])) == 4
    assert await page(0, sum(sizes[:4]) + 1) == 5
    assert await page(1, 1) == 1
    assert await page(2, sizes[2] + 1) == 2
    assert await page(2, MANY_BYTES, limit=1) == 1
    assert await page(4, 1) == 1
    assert await page(5, MANY_BYTES) == 0


async def test_a_reader_that_is_behind_gets_pages_by_what_it_reads(store: Store) -> None:
    for size in (10, 10, 10):
        await put_one(store, labels=f'{{"a":"{"x" * size}"}}')
    small = sum(len(body) for _, body in await store.event_rows(0, 3, MANY_BYTES))
    await put_one(store, labels=f'{{"a":"{"x" * 5_000}"}}')
    assert [seq for seq, _ in await store.event_rows(0, 10, small)] == [1, 2, 3]
    await put_one(store)
    assert [seq for seq, _ in await store.event_rows(1, 10, small)] == [2, 3, 4]


async def test_every_row_committed_before_the_call_is_seen(store: Store) -> None:
    place = 0
    for count in (1, 5, 1, 30):
        for _ in range(count):
            await put_one(store)
        assert len(await store.event_rows(place, 100, MANY_BYTES)) == count
        place += count
        assert await store.event_rows(place, 100, MANY_BYTES) == []


async def test_several_readers_see_the_same_log(store: Store) -> None:
    seen: list[list[tuple[int, str]]] = [[] for _ in range(3)]

    async def follow(mine: list[tuple[int, str]], limit: int) -> None:
        while len(mine) < 30:
            mine += await store.event_rows(len(mine), limit, MANY_BYTES)
            assert await store.number_events() >= len(mine)

    async def write() -> None:
        for _ in range(10):
            await put_one(store)

    async with trio.open_nursery() as nursery:
        for limit, mine in enumerate(seen, start=1):
            nursery.start_soon(follow, mine, limit)
            nursery.start_soon(write)
    assert seen[0] == seen[1] == seen[2]
    assert [seq for seq, _ in seen[0]] == list(range(1, 31))


# -- where the log stands ---------------------------------------------------------------------------------------------


async def test_a_new_log_is_empty_and_has_a_history_of_its_own(backend: Backend, store: Store) -> None:
    state = await store.feed_state()
    assert re.fullmatch("[0-9a-f]{12}", state.history)
    assert state == FeedState(state.history, 1, 0)
    assert await store.number_events() == 0


async def test_numbering_tells_the_head(store: Store) -> None:
    for expected in (1, 2, 3):
        await put_one(store)
        assert (await store.feed_state()).head in (expected - 1, expected)
        assert await store.number_events() == expected
        assert (await store.feed_state())[1:] == (1, expected)


async def test_a_history_ends_only_for_those_who_know_it(store: Store) -> None:
    await put_one(store)
    before = await store.event_rows(0, 10, MANY_BYTES)
    (old, *where) = await store.feed_state()
    assert await store.new_history("000000000000") == old
    new = await store.new_history(old)
    assert re.fullmatch("[0-9a-f]{12}", new)
    assert new != old
    assert await store.feed_state() == (new, *where)
    assert await store.new_history(old) == new
    assert await store.event_rows(0, 10, MANY_BYTES) == before


async def test_the_log_goes_on_where_it_was(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        await put_one(store)
        await store.number_events()
        before = await store.feed_state()
    async with durable_backend.open() as store:
        assert await store.feed_state() == before
        await put_one(store)
        assert [seq for seq, _ in await store.event_rows(1, 10, MANY_BYTES)] == [2]


# -- what is too old --------------------------------------------------------------------------------------------------


async def test_rows_go_from_the_front_and_the_numbers_go_on(store: Store, clock: SteppedClock) -> None:
    for _ in range(5):
        await put_one(store)
        clock.advance(1)
    assert await store.number_events() == 5
    rows = await store.event_rows(0, 10, MANY_BYTES)
    assert await store.prune_events(START, 10) == 0
    assert await store.prune_events(START + 1, 10) == 1
    assert (await store.feed_state())[1:] == (2, 5)
    assert await store.prune_events(START + 3 * SECOND, 1) == 1
    assert await store.prune_events(START + 3 * SECOND, 10) == 1
    assert await store.prune_events(START + 3 * SECOND, 10) == 0
    assert (await store.feed_state())[1:] == (4, 5)
    assert await store.event_rows(0, 10, MANY_BYTES) == rows[3:]
    assert await store.event_rows(0, 1, MANY_BYTES) == rows[3:4]
    assert await store.event_rows(4, 10, MANY_BYTES) == rows[4:]
    assert await store.prune_events(START + 100 * SECOND, 10) == 2
    assert (await store.feed_state())[1:] == (6, 5)
    assert await store.event_rows(0, 10, MANY_BYTES) == []
    assert await store.number_events() == 5
    await put_one(store)
    assert [seq for seq, _ in await store.event_rows(5, 10, MANY_BYTES)] == [6]
    assert (await store.feed_state())[1:] == (6, 6)


async def test_a_row_is_not_passed_over_though_one_behind_it_is_older(store: Store, clock: SteppedClock) -> None:
    await put_one(store)
    clock.advance(-100)
    await put_one(store)
    await store.number_events()
    assert await store.prune_events(START, 10) == 0
    assert await store.prune_events(START + 1, 10) == 2


async def test_the_numbers_go_on_after_everything_was_deleted(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        await put_one(store)
        await put_one(store)
        assert await store.number_events() == 2
        assert await store.prune_events(START + 1, 10) == 2
    async with durable_backend.open() as store:
        assert (await store.feed_state())[1:] == (3, 2)
        await put_one(store)
        assert [seq for seq, _ in await store.event_rows(2, 10, MANY_BYTES)] == [3]


async def test_very_many_events_go_in_several_transactions(
    durable_backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in (sqlite_feed, mysql_feed):
        monkeypatch.setattr(adapter, "MAX_PRUNED", 4)
    async with durable_backend.open() as store:
        for count in (3, 3, 1, 9, 1):
            await put(store, *(new_job() for _ in range(count)))
        await store.number_events()
        assert [await store.prune_events(START + 1, 10) for _ in range(4)] == [2, 2, 1, 0]


async def test_jobs_outlive_their_events(store: Store) -> None:
    job = await put_running(store)
    await store.number_events()
    assert await store.prune_events(START + 1, 10) == 2
    assert await end(store, job, "succeeded") == await store.get(job.id)
    ((_, body),) = await store.event_rows(2, 10, MANY_BYTES)
    assert [(event.what, event.version) for event in events.decode(body)] == [("succeeded", 3)]


# -- who is told ------------------------------------------------------------------------------------------------------


async def test_each_commit_with_events_is_told_once(store: Store, clock: SteppedClock) -> None:
    calls = 0

    def called() -> None:
        nonlocal calls
        calls += 1

    store.on_events(called)
    waiting, job, other = await put(store, new_job(delay_us=1000 * SECOND), new_job(), new_job())
    (running, lost) = await start(store, job, other)
    await store.note([noted(running, 1, fraction=0.5)])
    await end(store, running, "failed")
    await store.redrive(job.id)
    await store.cancel(job.id)
    await store.deregister("n1")
    await store.reap(10)
    assert calls == len(await told(store)) == 7
    assert await store.claim_due(1, node="n1", types=["mail"]) == []
    await store.register(a_node(id="n1"), lease_s=15)
    (again,) = await store.claim_due(1, node="n1", types=["mail"])
    assert calls == len(await told(store)) == 8
    # What tells nothing:
    await store.cancel(again.id)
    await store.insert([new_job(id=waiting.id)])
    await store.claim([waiting.id], node="n1", types=["mail"])
    await store.finish([Outcome(job=lost, kind="failed", failure=OOPS)])
    await store.note([noted(lost, 1)])
    await store.heartbeat("n1", lease_s=15)
    await store.list_jobs(Filter(), limit=10)
    await store.epoch("e")
    await store.number_events()
    await store.new_history((await store.feed_state()).history)
    clock.advance(1)
    assert await store.prune_events(clock(), 3) == 3
    await store.ping()
    assert calls == 8


async def test_only_the_last_who_asked_is_told(store: Store) -> None:
    calls: list[str] = []
    store.on_events(lambda: calls.append("first"))
    store.on_events(lambda: calls.append("last"))
    await put_one(store)
    assert calls == ["last"]


async def test_what_fails_is_not_told(durable_backend: Backend) -> None:
    calls: list[bool] = []
    async with durable_backend.open() as store:
        job = await put_one(store)
        store.on_events(lambda: calls.append(True))
        with pytest.raises(IllegalTransition):
            await store.redrive(job.id)
        durable_backend.execute("ALTER TABLE events RENAME TO elsewhere")
        with pytest.raises(SchemaMismatch):
            await store.cancel(job.id)
        durable_backend.execute("ALTER TABLE elsewhere RENAME TO events")
        assert await store.get(job.id) == job
        assert calls == []
        await store.cancel(job.id)
        assert calls == [True]


@pytest.mark.parametrize("turns", MOMENTS)
async def test_what_is_committed_is_told_although_the_caller_has_gone(store: Store, turns: int) -> None:
    calls: list[bool] = []
    running = await put_running(store)
    before = len(await told(store))
    store.on_events(lambda: calls.append(True))
    await cut(turns, lambda: store.insert([new_job()]))
    await cut(turns, lambda: store.note([noted(running, 1)]))
    await cut(turns, lambda: store.finish([Outcome(job=running, kind="succeeded")]))
    assert len(await told(store)) - before <= len(calls) <= 3
