"""Functions are asked in advance, on the nodes that have them; the others go on with what is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import structlog
import trio
from trio.testing import MockClock

from tests.stages.conftest import SECOND_US, START_US, Stage
from tests.stages.foretelling import every, known, look, node, patience, program, until
from tests.stages.test_schedules import begin, ticks
from tickr.foresight import AHEAD, FEW
from tickr.next_ticks import name_of
from tickr.scheduler.foretell import NET_S
from tickr.timetable import Timetable

__all__ = ["patience"]


# -- when all is well -------------------------------------------------------------------------------------------------


async def test_its_ticks_are_told_in_advance_and_fired(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    async with node(stage, program(every(10))):
        await until(lambda: known(stage))
        assert len(await known(stage)) == AHEAD
        await trio.sleep(305)  # virtual
        fired = await ticks(stage)
        assert len(fired) == 30
        assert {round(later - at, 6) for at, later in pairwise(fired)} == {10}
        assert FEW <= len(await known(stage)) <= AHEAD


async def test_it_is_asked_when_few_are_left_and_not_before(stage: Stage, autojump_clock: MockClock) -> None:
    asked: list[datetime] = []

    def function(after: datetime) -> datetime:
        asked.append(after)
        return after + timedelta(days=1)

    async with node(stage, program(function)):
        await until(lambda: known(stage))
        assert len(asked) == AHEAD
        await trio.sleep(5 * 86_400)  # virtual
        assert len(asked) == AHEAD


async def test_of_several_nodes_one_tells(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    begin(stage, nursery)
    begin(stage, nursery)
    jobs = program(every(3))
    async with node(stage, jobs), node(stage, jobs), node(stage, jobs):
        await trio.sleep(100)  # virtual
        fired = await ticks(stage)
        assert len(fired) == len(set(fired)) == 33
        assert len(await known(stage)) <= 2 * AHEAD


async def test_what_is_resumed_or_put_anew_is_asked_for_at_once(stage: Stage, autojump_clock: MockClock) -> None:
    timetable = Timetable(stage.store, stage.bell, stage.announcer)
    async with node(stage, program(every(60))):
        await until(lambda: known(stage))
        await timetable.pause("s")
        await trio.sleep(86_400)  # virtual
        await timetable.resume("s")
        began = trio.current_time()
        await until(lambda: known(stage))
        assert trio.current_time() - began < 0.1 < NET_S
        assert (await known(stage))[0] == pytest.approx(began + 60, abs=0.1)


async def test_a_function_that_ends_its_schedule_ends_it(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    last = datetime.fromtimestamp(START_US / SECOND_US).astimezone() + timedelta(hours=1)
    async with node(stage, program(lambda after: last if after < last else None)):
        await until(lambda: known(stage))
        await trio.sleep(4000)  # virtual
        assert (await look(stage)).ended == "function"
        assert await ticks(stage) == [3600]


async def test_after_an_outage_all_that_was_missed_is_asked_for_first(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with node(stage, program(every(60))):
        await until(lambda: known(stage))
    await trio.sleep(86_400)  # virtual: nobody was there
    begin(stage, nursery)
    await trio.sleep(20)  # virtual: a scheduler alone leaves it to the function
    assert await ticks(stage) == []
    async with node(stage, program(every(60))):
        await until(lambda: ticks(stage))
        await trio.sleep(1)  # virtual
        schedule = await look(stage)
        assert (schedule.fired, schedule.missed_ticks) == (1, 1000)
        assert (await ticks(stage))[0] == pytest.approx(trio.current_time(), abs=61)


# -- nodes that have it and nodes that do not -------------------------------------------------------------------------


async def test_without_a_node_that_has_it_the_known_ticks_come_and_then_it_is_said(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    async with node(stage, program(every(10))):
        await until(lambda: known(stage))
    with structlog.testing.capture_logs() as lines:
        await trio.sleep(1000)  # virtual
    assert len(await ticks(stage)) == AHEAD
    schedule = await look(stage)
    assert (schedule.next_at, schedule.ended) == (None, None)
    (line,) = [line for line in lines if line["event"] == "schedule.not_foretold"]
    assert (line["schedule"], line["log_level"], line["function"]) == (
        "s",
        "warning",
        name_of(every(10)),
    )
    async with node(stage, program(every(10))):
        await trio.sleep(15)  # virtual
        assert len(await ticks(stage)) in (AHEAD + 2, AHEAD + 3), "one for all that were missed, and the next"


async def test_another_code_is_asked_from_the_next_start_on(stage: Stage, autojump_clock: MockClock) -> None:
    async with node(stage, program(every(60))):
        await until(lambda: known(stage))
        async with node(stage, program(every(7))):
            await trio.sleep(1)  # virtual
            first = await known(stage)
            assert first[1] - first[0] == 7
            await trio.sleep(300)  # virtual: the older one is asked for nothing
            later = await known(stage)
            assert {round(two - one, 6) for one, two in pairwise(later)} == {7}


async def test_what_a_function_reads_elsewhere_counts_from_the_next_start_on(
    stage: Stage, autojump_clock: MockClock
) -> None:
    def function(after: datetime) -> datetime:
        return after + timedelta(seconds=_STEP[0])

    async with node(stage, program(function)):
        await until(lambda: known(stage))
        before = await known(stage)
    _STEP[0] = 7.0
    try:
        async with node(stage, program(function)):
            await trio.sleep(1)  # virtual
            after = await known(stage)
    finally:
        _STEP[0] = 60.0
    assert (before[1] - before[0], after[1] - after[0]) == (60, 7)


_STEP = [60.0]
