"""The contract: what functions have told of a schedule's ticks is kept, and is due in every store."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.store.backends import SECOND, START, Backend, SteppedClock, told
from tests.store.test_contract_schedules import add, move, planned
from tickr.foresight import Foresight
from tickr.schedule_moves import Foresee, Pause
from tickr.schedules import Schedule
from tickr.store.contract import Filter, Store
from tickr.ticks import BY_FUNCTION, Timing

MINUTE = 60 * SECOND
BY = Timing(cron=BY_FUNCTION, timezone="Europe/Stockholm", function="nights.at_sunset", code="c0de")


def foresee(schedule: Schedule, *numbers: int, **fields: Any) -> Foresee:
    assert schedule.foreseen is not None
    horizon = schedule.foreseen.horizon
    ticks = tuple(START + number * MINUTE for number in numbers)
    given = {"version": schedule.version, "horizon": horizon, "after": horizon, "ticks": ticks}
    return Foresee(**{"name": schedule.name, **given, **fields})


async def test_what_was_told_is_kept_and_due(store: Store, clock: SteppedClock) -> None:
    schedule = await add(store, timing=BY)
    assert (schedule.timing, schedule.next_at, schedule.foreseen) == (BY, None, Foresight(START))
    assert (await store.due_schedules(10)).next_at is None
    after = await move(store, foresee(schedule, 1, 2))
    assert after is not None
    assert after == await store.schedule("nightly")
    assert after.foreseen == Foresight(START, (START + MINUTE, START + 2 * MINUTE))
    assert (await store.due_schedules(10)).next_at == START + MINUTE
    clock.advance(60)
    assert (await store.due_schedules(10)).found == [after]
    ((_, fired, (job,)),) = await store.move_schedules([planned(after, clock.now)])
    assert fired is not None
    assert (job.run_at, job.extras.schedule, job.extras.tick) == (START + MINUTE, "nightly", START + MINUTE)
    assert (fired.next_at, fired.foreseen) == (START + 2 * MINUTE, Foresight(START + MINUTE, (START + 2 * MINUTE,)))


async def test_it_is_there_after_a_restart(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        kept = await move(store, foresee(await add(store, timing=BY), 1, 2, fault="f raised ValueError: é 😀 \\ '"))
    async with durable_backend.open() as store:
        assert await store.schedule("nightly") == kept
        assert kept is not None
        assert (await store.due_schedules(10)).next_at == kept.next_at == START + MINUTE


async def test_of_many_who_tell_at_once_one_is_first(store: Store) -> None:
    schedule = await add(store, timing=BY)

    async def tell(number: int) -> None:
        await store.move_schedules([foresee(schedule, number, number + 1)])

    async with trio.open_nursery() as nursery:
        for number in range(1, 9):
            nursery.start_soon(tell, number)
    kept = await store.schedule("nightly")
    assert kept is not None
    assert kept.foreseen is not None
    first, second = kept.foreseen.ticks
    assert second == first + MINUTE


async def test_of_many_who_tell_and_fire_at_once_each_tick_makes_a_job(store: Store, clock: SteppedClock) -> None:
    """Everybody tells two more whenever none is left, and fires what is due."""
    await add(store, timing=BY, missed="all")
    clock.advance(601)

    async def live() -> None:
        while True:
            schedule = await store.schedule("nightly")
            assert schedule is not None
            assert schedule.foreseen is not None
            if schedule.next_at is not None and schedule.next_at <= clock.now:
                await store.move_schedules([planned(schedule, clock.now)])
            elif schedule.next_at is None:
                number = (schedule.foreseen.horizon - START) // MINUTE
                await store.move_schedules([foresee(schedule, number + 1, number + 2)])
            else:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(live)
    jobs = (await store.list_jobs(Filter(), limit=100)).jobs
    assert sorted(job.extras.tick or 0 for job in jobs) == [START + number * MINUTE for number in range(1, 11)]


async def test_what_is_told_makes_no_event_but_the_end(store: Store) -> None:
    schedule = await add(store, timing=BY)
    after = await move(store, foresee(schedule, fault="it hangs"))
    assert after is not None
    await move(store, foresee(after, no_more=True))
    assert [[event.what for event in commit] for commit in await told(store)] == [
        ["schedule.created"],
        ["schedule.ended"],
    ]
    ended = await store.schedule("nightly")
    assert ended is not None
    assert (ended.ended, ended.version) == ("function", 1)


@pytest.mark.parametrize("stale", ["version", "horizon", "gone"])
async def test_what_was_told_of_another_schedule_changes_nothing(store: Store, stale: str) -> None:
    schedule = await add(store, timing=BY)
    wish = foresee(schedule, 1)
    if stale == "version":
        await move(store, Pause(name="nightly"))
    elif stale == "horizon":
        await move(store, foresee(schedule, 5))
    else:
        wish = Foresee(name="other", version=1, horizon=START, after=START, ticks=(START + MINUTE,))
    before = await store.schedule(wish.name)
    ((was, now, jobs),) = await store.move_schedules([wish])
    assert (was, now, jobs, await store.schedule(wish.name)) == (before, before, [], before)
