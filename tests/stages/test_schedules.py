"""Schedules fire at their ticks and sleep in between; after an outage by their policy; and of many schedulers one does.

All in virtual time: the store's clock is trio's, unless a test steps it.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.ports import Observed, pop_ids
from tests.stages.conftest import SECOND_US, START_US, Stage
from tickr.bell import Ring
from tickr.errors import StoreError, StoreUnavailable
from tickr.jobs import Job, NewJob
from tickr.missed import MOST_AT_ONCE
from tickr.schedule_moves import Pause, Put, Resume
from tickr.scheduler.schedules import ASIDE_S, LONGEST_SLEEP_S, MOST_JOBS, PAGE, Schedules
from tickr.schedules import Schedule
from tickr.store.contract import MAX_BATCH, Filter
from tickr.ticks import Timing
from tickr.timetable import Timetable

MINUTE = 60 * SECOND_US


async def add(stage: Stage, name: str = "s", *, every_s: float = 60, **fields: Any) -> Schedule:
    """Put a schedule and tell nobody."""
    fields.setdefault("timing", Timing(every_us=int(every_s * SECOND_US)))
    wish = Put(name=name, job=NewJob(id="", type="noop", queue=fields.pop("queue", "default")), given="{}", **fields)
    ((_, after, _),) = await stage.store.move_schedules([wish])
    assert isinstance(after, Schedule)
    return after


async def jobs(stage: Stage) -> list[Job]:
    """Return all jobs, in the order of their ticks."""
    found = (await stage.store.list_jobs(Filter(), limit=10_000)).jobs
    return sorted(found, key=lambda job: job.extras.tick or 0)


async def ticks(stage: Stage) -> list[float]:
    """Return the ticks of all jobs, in seconds since the beginning."""
    return [((job.extras.tick or 0) - START_US) / SECOND_US for job in await jobs(stage)]


def schedules(stage: Stage) -> Schedules:
    return Schedules(stage.store, stage.announcer, stage.bell)


def begin(stage: Stage, nursery: trio.Nursery) -> None:
    nursery.start_soon(schedules(stage).run)


# -- in time ----------------------------------------------------------------------------------------------------------


async def test_each_tick_makes_its_job_at_its_instant(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begun = trio.current_time()
    await add(stage, every_s=2.5)
    begin(stage, nursery)
    for number in (1, 2, 3):
        (job_id,) = await pop_ids(stage.index, ["default"], 10)
        assert trio.current_time() - begun == pytest.approx(2.5 * number)
        job = await stage.store.get(job_id)
        assert (job.run_at, job.created_at) == (job.extras.tick, job.extras.tick)
        assert job.extras.tick == START_US + round((begun + 2.5 * number) * SECOND_US)
    # One look at the start and one at each tick: nothing else was asked in between.
    assert stage.store.calls["due_schedules"] == 4


async def test_a_ring_tells_of_an_earlier_tick(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    begin(stage, nursery)
    await trio.sleep(1)  # virtual
    table = Timetable(stage.store, stage.bell, stage.announcer)
    wish = Put(name="s", timing=Timing(every_us=2 * SECOND_US), job=NewJob(id="", type="noop"), given="{}")
    await table.put(wish)
    begun = trio.current_time()
    await pop_ids(stage.index, ["default"], 10)
    assert trio.current_time() - begun == pytest.approx(2)


async def test_a_lost_ring_costs_the_net_and_no_more(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    await trio.sleep(1)  # virtual
    await add(stage, every_s=1)
    begun = trio.current_time()
    await pop_ids(stage.index, ["default"], 10)
    assert 1 <= trio.current_time() - begun <= LONGEST_SLEEP_S


async def test_a_ring_without_an_instant_wakes_nobody(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    await wait_all_tasks_blocked()
    await stage.bell.ring(Ring("schedule"))
    await wait_all_tasks_blocked()
    assert stage.store.calls["due_schedules"] == 1


async def test_what_is_paused_does_not_fire_and_what_is_resumed_makes_up_for_nothing(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await add(stage, missed="all")
    begin(stage, nursery)
    await trio.sleep(90)  # virtual
    await stage.store.move_schedules([Pause(name="s")])
    await trio.sleep(300)  # virtual
    await stage.store.move_schedules([Resume(name="s")])
    await trio.sleep(60)  # virtual
    assert await ticks(stage) == [60, 420]


async def test_very_many_at_one_instant_are_fired_in_few_transactions(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for n in range(730):
        await add(stage, f"s{n}", timing=Timing(cron="*/10 * * * *"))
    before = stage.store.calls["move_schedules"]
    begin(stage, nursery)
    await trio.sleep(700)  # virtual
    assert len(await jobs(stage)) == 730
    assert stage.store.calls["move_schedules"] - before == 8  # a page each
    assert all(job.created_at == job.run_at for job in await jobs(stage))


# -- after an outage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "expected", "counted"),
    [
        ("skip", [60, 600, 660], 8),  # that of 600 s is 20 s late
        ("once", [60, 600, 660], 8),
        ("all", [*range(60, 661, 60)], 0),
    ],
)
async def test_after_an_outage_of_the_store(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, missed: str, expected: list[int], counted: int
) -> None:
    await add(stage, missed=missed)
    begin(stage, nursery)
    await trio.sleep(70)  # virtual
    stage.store.failing["*"] = StoreUnavailable("away")
    await trio.sleep(550)  # virtual: until 620 s
    stage.store.failing.clear()
    await trio.sleep(60)  # virtual
    assert await ticks(stage) == expected
    after = await stage.store.schedule("s")
    assert after.missed_ticks == counted
    assert len(expected) + counted == 11


@pytest.mark.parametrize(
    ("missed", "expected"), [("skip", [660]), ("once", [600, 660]), ("all", [*range(60, 661, 60)])]
)
async def test_after_no_scheduler_was_there(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, missed: str, expected: list[int]
) -> None:
    await add(stage, missed=missed)
    await trio.sleep(10 * 60 + 40)  # virtual: the last tick is more than 30 s ago
    begin(stage, nursery)
    await trio.sleep(30)  # virtual
    assert await ticks(stage) == expected


async def test_more_than_a_transaction_fires_are_made_up_for_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await add(stage, missed="all", every_s=1)
    await trio.sleep(10_000.5)  # virtual
    begin(stage, nursery)
    await wait_all_tasks_blocked()
    assert await ticks(stage) == [*range(9001, 10_001)]
    after = await stage.store.schedule("s")
    assert after.missed_ticks == 1000  # counted no further
    assert stage.store.calls["move_schedules"] == 1 + 1000 / MOST_AT_ONCE


async def test_large_plans_are_split(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for n in range(20):
        await add(stage, f"s{n}", missed="all", every_s=1)
    await trio.sleep(MOST_AT_ONCE + 0.5)  # virtual
    before = stage.store.calls["move_schedules"]
    begin(stage, nursery)
    await wait_all_tasks_blocked()
    assert len(await jobs(stage)) == 20 * MOST_AT_ONCE
    assert stage.store.calls["move_schedules"] - before == 20 * MOST_AT_ONCE / MOST_JOBS


async def test_a_clock_that_is_set_on_by_an_hour_is_an_outage_and_set_back_a_pause(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await add(stage)
    begin(stage, nursery)
    await trio.sleep(90)  # virtual
    stage.step_us = 3600 * SECOND_US
    await trio.sleep(60)  # virtual: it is 1:02:30
    assert await ticks(stage) == [60, 3660, 3720]
    stage.step_us = 0
    await trio.sleep(3600)  # virtual
    assert await ticks(stage) == [60, 3660, 3720]
    await trio.sleep(60)  # virtual
    assert await ticks(stage) == [60, 3660, 3720, 3780]


# -- what cannot be dealt with ----------------------------------------------------------------------------------------


async def test_a_schedule_of_an_unknown_zone_is_set_aside_and_told(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await add(stage, "good", every_s=10)
    await add(stage, "alien", every_s=10)
    stored, alien = stage.store.port._schedules, Timing(cron="* * * * *", timezone="Mars/Olympus")
    stored["alien"] = msgspec.structs.replace(stored["alien"], timing=alien)
    with structlog.testing.capture_logs() as lines:
        begin(stage, nursery)
        await trio.sleep(ASIDE_S + 25)  # virtual
    assert [job.extras.schedule for job in await jobs(stage)] == ["good"] * 8
    told = [line for line in lines if line["event"] == "schedule.set_aside"]
    assert [line["schedule"] for line in told] == ["alien"] * 2
    assert "must be the IANA name of a time zone" in told[0]["error"]


async def test_one_that_the_store_refuses_keeps_no_other_from_its_ticks(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    for name in ("a", "bad", "c"):
        await add(stage, name, every_s=10)
    move = stage.store.port.move_schedules

    async def refusing(moves: Any) -> Any:
        if any(one.name == "bad" for one in moves):
            raise StoreError("no room for it")
        return await move(moves)

    stage.store.port.move_schedules = refusing
    with structlog.testing.capture_logs() as lines:
        begin(stage, nursery)
        await trio.sleep(25)  # virtual
    assert sorted(job.extras.schedule or "" for job in await jobs(stage)) == ["a", "a", "c", "c"]
    assert [line["schedule"] for line in lines if line["event"] == "schedule.set_aside"] == ["bad"]


async def test_the_store_away_is_told_once(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    stage.store.failing["due_schedules"] = StoreUnavailable("away")
    with structlog.testing.capture_logs() as lines:
        begin(stage, nursery)
        await trio.sleep(20)  # virtual
    assert [line["event"] for line in lines] == ["schedule.interrupted"]


# -- several at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
async def test_of_several_schedulers_that_die_and_fail_each_tick_makes_one_job(
    stage: Stage, autojump_clock: MockClock, seed: int
) -> None:
    """Three nodes, each killed at any moment and started again; their calls fail before or after their effect."""
    dice = random.Random(seed)
    await add(stage, "all", every_s=7, missed="all")
    await add(stage, "cron", timing=Timing(cron="*/2 * * * *", timezone="Europe/Berlin"), missed="all")
    await add(stage, "free", every_s=3, missed="all", overlap="skip")
    begun = START_US + round(trio.current_time() * SECOND_US)

    async def node() -> None:
        while True:
            store = Observed(_Unreliable(stage.store, dice))
            with trio.move_on_after(dice.uniform(0.1, 40)):
                await Schedules(store, stage.announcer, stage.bell).run()  # type: ignore[arg-type]
            await trio.sleep(dice.uniform(0, 5))

    with trio.move_on_after(600):
        async with trio.open_nursery() as nodes:
            for _ in range(3):
                nodes.start_soon(node)
    with trio.move_on_after(10):
        await schedules(stage).run()

    over = START_US + round(trio.current_time() * SECOND_US)
    found = await jobs(stage)
    for name, every in (("all", 7), ("free", 3)):
        made = [job.extras.tick or 0 for job in found if job.extras.schedule == name]
        schedule = await stage.store.schedule(name)
        assert len(set(made)) == len(made)
        assert len(made) + schedule.overlapped == (over - begun) // (every * SECOND_US)
        assert schedule.missed_ticks == 0
    minutes = [job.extras.tick or 0 for job in found if job.extras.schedule == "cron"]
    two = 2 * MINUTE
    assert minutes == [*range(-(-(begun + 1) // two) * two, over + 1, two)]
    assert all(job.created_at >= (job.extras.tick or 0) for job in found)


class _Unreliable:
    """A store whose moves fail now and then, before or after their effect, and take their time."""

    def __init__(self, store: Any, dice: random.Random) -> None:
        self._store = store
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def due_schedules(self, *args: Any) -> Any:
        await trio.sleep(self._dice.uniform(0, 0.3))
        return await self._store.due_schedules(*args)

    async def move_schedules(self, moves: Any) -> Any:
        await trio.sleep(self._dice.uniform(0, 0.3))
        if self._dice.random() < 0.2:
            raise StoreUnavailable("before its effect")
        answers = await self._store.move_schedules(moves)
        await trio.sleep(self._dice.uniform(0, 0.3))
        if self._dice.random() < 0.2:
            raise StoreUnavailable("after its effect", outcome_unknown=True)
        return answers


def test_a_transaction_is_no_more_than_a_store_takes_at_once() -> None:
    assert PAGE <= MAX_BATCH
    assert max(MOST_JOBS, MOST_AT_ONCE) <= MAX_BATCH
