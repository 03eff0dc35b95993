"""The contract, for the age of the backlog over time: the greatest of each step and queue, and of no step unseen."""

from __future__ import annotations

import pytest
import trio

from tests.store.backends import SECOND, START, SteppedClock, end, new_job, put, put_one, put_running, start
from tickr.store import backlog
from tickr.store.backlog import REST, AgePlace
from tickr.store.contract import Span, Store
from tickr.tallies import Step

EVER = 2**60
MINUTE = 60 * SECOND
FIRST = Step.MINUTE.begin(START)


async def placed(store: Store, step: Step = Step.MINUTE, page: int = 1000, *queues: str) -> list[tuple[AgePlace, int]]:
    found: list[tuple[AgePlace, int]] = []
    while more := await store.backlog(Span(step, 0, EVER, queues), page, found[-1][0] if found else None):
        found += more
    return found


async def ages(store: Store, step: Step = Step.MINUTE, *queues: str) -> dict[tuple[int, str], float]:
    """Return the ages in seconds, by how many steps after the first, and queue."""
    first = step.begin(START)
    return {
        ((place.at - first) // step.length_us, place.queue): age / SECOND
        for place, age in await placed(store, step, 1000, *queues)
    }


async def test_the_age_is_that_of_the_oldest_job_that_is_due_and_waits(store: Store, clock: SteppedClock) -> None:
    await put_one(store, queue="old", priority=9)
    await put(store, new_job(queue="later", delay_us=30 * SECOND))
    clock.advance(2)
    await put(store, new_job(queue="old", priority=1), new_job(queue="young"))
    await put_running(store, queue="runs")
    failed = await put_running(store, queue="again")
    await end(store, failed, "retried")
    done = await put_running(store, queue="done")
    await end(store, done, "succeeded")
    cancelled = await put_one(store, queue="cancelled")
    await store.cancel(cancelled.id)
    clock.advance(3)
    assert await store.look_at_backlog(0)
    found = await ages(store)
    assert {queue: age for (_, queue), age in found.items() if queue != "again"} == {"old": 5, "young": 3, REST: 0}
    clock.advance(26)
    assert await store.look_at_backlog(0)
    assert (await ages(store))[0, "later"] == 1
    assert {"runs", "done", "cancelled"}.isdisjoint(queue for _, queue in await ages(store))


async def test_one_that_is_tried_again_counts_from_when_it_was_due_again(store: Store, clock: SteppedClock) -> None:
    again = await end(store, await put_running(store, queue="again"), "retried")
    assert again is not None
    clock.advance((again.run_at - START) / SECOND - 1)
    assert await store.look_at_backlog(0)
    assert list(await ages(store)) == [((again.run_at - SECOND - FIRST) // MINUTE, REST)]
    clock.advance(4)
    assert await store.look_at_backlog(0)
    assert (await ages(store, Step.DAY))[0, "again"] == 3


async def test_each_step_keeps_the_greatest_age_seen_in_it(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, queue="a")
    for _ in range(2):
        clock.advance(10)
        assert await store.look_at_backlog(0)
    await start(store, job)
    assert await store.look_at_backlog(0)
    await put_one(store, queue="a")
    clock.advance(60)
    assert await store.look_at_backlog(0)
    first, second = ((START + seconds * SECOND - FIRST) // MINUTE for seconds in (20, 80))
    assert await ages(store) == {(first, "a"): 20, (first, REST): 0, (second, "a"): 60, (second, REST): 0}
    assert await ages(store, Step.HOUR) == {(0, "a"): 60, (0, REST): 0}
    assert await ages(store, Step.DAY) == {(0, "a"): 60, (0, REST): 0}


async def test_a_step_in_which_nobody_looked_has_no_age(store: Store, clock: SteppedClock) -> None:
    assert await store.look_at_backlog(0)
    await put_one(store, queue="a")
    clock.advance(180)
    assert await store.look_at_backlog(0)
    assert await ages(store) == {(0, REST): 0, (3, REST): 0, (3, "a"): 180}


async def test_of_several_who_look_one_does(store: Store, clock: SteppedClock) -> None:
    did: list[bool] = []

    async def look() -> None:
        did.append(await store.look_at_backlog(4 * SECOND))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(look)
    assert sorted(did) == [False, False, False, True]
    clock.advance(3.9)
    assert not await store.look_at_backlog(4 * SECOND)
    clock.advance(0.1)
    assert await store.look_at_backlog(4 * SECOND)


async def test_a_clock_that_was_set_back_stops_nobody_from_looking(store: Store, clock: SteppedClock) -> None:
    clock.advance(3600)
    assert await store.look_at_backlog(4 * SECOND)
    clock.advance(-1800)
    assert await store.look_at_backlog(4 * SECOND)
    assert not await store.look_at_backlog(4 * SECOND)


async def test_too_many_queues_share_an_age(store: Store, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MAX_QUEUES", 2)
    for name in "abcd":
        await put_one(store, queue=name)
        clock.advance(1)
    assert await store.look_at_backlog(0)
    assert await ages(store) == {(0, "a"): 4, (0, "b"): 3, (0, REST): 2}
    await put_one(store, queue="Z")
    clock.advance(1)
    assert await store.look_at_backlog(0)
    assert await ages(store) == {(0, "a"): 5, (0, "b"): 4, (0, REST): 3}


async def test_ages_come_in_pages_of_some_queues(store: Store, clock: SteppedClock) -> None:
    await put(store, *(new_job(queue=name) for name in ("b", "a", "B", "z.1")))
    for _ in range(3):
        clock.advance(60)
        assert await store.look_at_backlog(0)
    whole = await placed(store)
    assert [place.queue for place, _ in whole] == [REST, "B", "a", "b", "z.1"] * 3
    assert whole == sorted(whole)
    for page in (1, 2, 5):
        assert await placed(store, Step.MINUTE, page) == whole
    some = await placed(store, Step.MINUTE, 2, "b", "none")
    assert [place.queue for place, _ in some] == [REST, "b"] * 3
    one = await store.backlog(Span(Step.MINUTE, FIRST + 2 * MINUTE, FIRST + 3 * MINUTE), 1000)
    assert one == whole[5:10]


async def test_old_ages_are_deleted_by_step(store: Store, clock: SteppedClock) -> None:
    await put_one(store, queue="a")
    for _ in range(4):
        assert await store.look_at_backlog(0)
        clock.advance(60)
    assert await store.prune_backlog(Step.MINUTE, FIRST + 2 * MINUTE, 3) == 3
    assert await store.prune_backlog(Step.MINUTE, FIRST + 2 * MINUTE, 3) == 1
    assert await store.prune_backlog(Step.MINUTE, FIRST + 2 * MINUTE, 3) == 0
    assert {at for at, _ in await ages(store)} == {2, 3}
    assert await ages(store, Step.HOUR) != {}
