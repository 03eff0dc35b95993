"""The contract, for the feed: one row of events for each commit that moved jobs, none for any other."""

from __future__ import annotations

import trio

from tests.store.backends import (
    MANY_BYTES,
    SECOND,
    START,
    SteppedClock,
    a_node,
    assert_lawful,
    end,
    join,
    new_job,
    put,
    put_one,
    put_running,
    told,
)
from tickr import events
from tickr.jobs import State
from tickr.store.contract import Filter, Store


async def test_each_commit_is_one_row_and_tells_what_it_moved(store: Store, clock: SteppedClock) -> None:
    first, second = await put(store, new_job(labels='{"a":"b"}'), new_job(delay_us=SECOND))
    clock.advance(2)
    await join(store, "n1")
    running, _ = await store.claim([first.id, second.id], node="n1", types=["mail"])
    await end(store, running, "succeeded", result="[1]")
    created, started, (done,) = await told(store)
    assert [(one.what, one.job, one.version, one.state, one.previous_state) for one in created] == [
        ("created", first.id, 1, State.READY, None),
        ("created", second.id, 1, State.SCHEDULED, None),
    ]
    assert [(one.what, one.job, one.version, one.state, one.previous_state) for one in started] == [
        ("started", first.id, 2, State.RUNNING, State.READY),
        ("started", second.id, 2, State.RUNNING, State.READY),
    ]
    assert (done.what, done.version, done.result, done.node, done.labels) == ("succeeded", 3, "[1]", "n1", '{"a":"b"}')
    assert (done.time, done.attempt, done.run_at) == (START + 2 * SECOND, 1, START)


async def test_what_moves_nothing_tells_nothing(store: Store) -> None:
    waiting, running = await put_one(store, delay_us=SECOND), await put_running(store)
    before = await told(store)
    node = a_node()
    await store.register(node, lease_s=15)
    await store.heartbeat(node.id, lease_s=15)
    await store.cancel(running.id)
    await store.claim([waiting.id, running.id], node="n1", types=["mail"])
    await store.claim_due(10, node="n1", types=["mail"])
    await store.insert([new_job(id=waiting.id)])
    await store.epoch("e")
    await store.list_jobs(Filter(), limit=10)
    await store.deregister(node.id)
    assert await told(store) == before


async def test_rows_are_read_in_pages_from_any_place(store: Store) -> None:
    for _ in range(7):
        await put_one(store)
    everything = await store.event_rows(0, 100, MANY_BYTES)
    assert [seq for seq, _ in everything] == [1, 2, 3, 4, 5, 6, 7]
    assert await store.event_rows(0, 3, MANY_BYTES) == everything[:3]
    assert await store.event_rows(3, 2, MANY_BYTES) == everything[3:5]
    assert await store.event_rows(7, 10, MANY_BYTES) == []
    assert len(events.decode(everything[0][1])) == 1


async def test_a_reader_that_follows_misses_nothing_and_sees_each_once(store: Store) -> None:
    ids: list[str] = []
    seen: list[tuple[str, int]] = []

    async def write() -> None:
        for _ in range(6):
            jobs = await put(store, *(new_job() for _ in range(3)))
            ids.extend(job.id for job in jobs)
            for job in await store.claim_due(2, node="n1", types=["mail"]):
                await end(store, job, "succeeded")

    async def follow(done: trio.Event) -> None:
        place = 0
        while True:
            last = done.is_set()
            for seq, body in await store.event_rows(place, 5, MANY_BYTES):
                assert seq == place + 1
                place = seq
                seen.extend((event.job, event.version) for event in events.decode(body))
            if last and not await store.event_rows(place, 1, MANY_BYTES):
                return

    await join(store, "n1")
    done = trio.Event()
    async with trio.open_nursery() as readers:
        readers.start_soon(follow, done)
        async with trio.open_nursery() as writers:
            for _ in range(3):
                writers.start_soon(write)
        done.set()
    assert len(set(seen)) == len(seen)
    assert {job for job, version in seen if version == 1} == set(ids)
    commits = await told(store)
    assert [(event.job, event.version) for commit in commits for event in commit] == seen
    assert_lawful(commits)
