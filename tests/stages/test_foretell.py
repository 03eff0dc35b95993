"""Functions are asked on the nodes that have them, in advance; what they do wrong is told, and holds nobody else up.

In virtual time: what hangs is left behind as soon as all others wait.
"""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.stages.conftest import SECOND_US, START_US, Stage
from tests.stages.test_schedules import begin, ticks
from tests.store.backends import new_id
from tickr import declared
from tickr.errors import StoreError, StoreUnavailable
from tickr.foresight import AHEAD, FEW
from tickr.next_ticks import NextTick
from tickr.scheduler import foretell
from tickr.scheduler.foretell import ANSWER_S, LONGEST_AGAIN_S, NET_S, Foretell
from tickr.schedules import Schedule
from tickr.store.contract import Node
from tickr.timetable import Timetable


class Patience:
    """Holds the virtual clock while a function is in its thread, as long as none of them hangs for good."""

    def __init__(self, clock: MockClock) -> None:
        self._clock, self._at_work, self._given_up = clock, 0, 0

    def move(self, by: int) -> None:
        self._at_work += by
        self._clock.autojump_threshold = math.inf if self._at_work > self._given_up else 0

    def give_up(self) -> None:
        """From within a function: it will not come back by itself."""
        self._given_up += 1
        self.move(0)


@pytest.fixture(autouse=True)
def patience(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Patience:
    held, real = Patience(autojump_clock), trio.to_thread.run_sync

    async def run_sync(work: Any, *, limiter: trio.CapacityLimiter, **more: Any) -> Any:
        if limiter.borrowed_tokens:  # by one that hangs
            return await real(work, limiter=limiter, **more)
        held.move(1)
        try:
            return await real(work, limiter=limiter, **more)
        finally:
            held.move(-1)
            held._given_up = 0

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    return held


def every(seconds: float) -> NextTick:
    return lambda after: after + timedelta(seconds=seconds)


def program(function: Callable[[Any], Any], name: str = "s", **wish: Any) -> tickr.Jobs:
    jobs = tickr.Jobs()
    jobs.schedules.add(name, "noop", next_tick=function, **wish)
    return jobs


@asynccontextmanager
async def node(stage: Stage, *programs: tickr.Jobs) -> AsyncIterator[Foretell]:
    """A block in which a node with those declarations lives, as far as those go."""
    found = [one for jobs in programs for one in declared.read(jobs, stage.store.now_us())]
    about = Node(id=new_id(), host="h", pid=1, version="1", declared=tuple(one.mark for one in found))
    await stage.store.register(about, lease_s=1e6)
    foretold = Foretell(declared.told(found), stage.store, stage.bell)
    async with trio.open_nursery() as nursery:
        timetable = Timetable(stage.store, stage.bell, stage.announcer)
        await nursery.start(declared.keep, found, stage.store, timetable)
        nursery.start_soon(foretold.run)
        yield foretold
        nursery.cancel_scope.cancel()
    await stage.store.deregister(about.id)


async def look(stage: Stage, name: str = "s") -> Schedule:
    found = await stage.store.schedule(name)
    assert isinstance(found, Schedule)
    return found


async def known(stage: Stage, name: str = "s") -> list[float]:
    """Return the ticks that are known, in seconds since the beginning."""
    foreseen = (await look(stage, name)).foreseen
    return [(tick - START_US) / SECOND_US for tick in foreseen.ticks] if foreseen else []


async def fault(stage: Stage, name: str = "s") -> str | None:
    foreseen = (await look(stage, name)).foreseen
    return foreseen.fault if foreseen else None


async def until(holds: Callable[[], Any]) -> None:
    """Wait until the awaitable that ``holds`` gives says yes; in virtual time, so nothing is lost by looking often."""
    with trio.fail_after(1000):
        while not await holds():  # noqa: ASYNC110
            await trio.sleep(0.01)  # virtual


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
        f"{__name__}.every.<locals>.<lambda>",
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


# -- what functions do wrong ------------------------------------------------------------------------------------------


async def test_a_fault_is_shown_logged_and_tried_again_with_pauses(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    begin(stage, nursery)
    broken = [True]

    def function(after: datetime) -> datetime:
        if broken:
            raise ValueError("no sun today")
        return after + timedelta(seconds=10)

    with structlog.testing.capture_logs() as lines:
        async with node(stage, program(function, "s"), program(every(10), "other")):
            await trio.sleep(1000)  # virtual
            told = await fault(stage)
            assert told is not None
            assert told.endswith("function raised ValueError: no sun today")
            assert len(await known(stage, "other")) >= FEW
            assert set(await ticks(stage)), "others are not held up"
            broken.clear()
            await until(lambda: known(stage))
            assert await fault(stage) is None
    failed = [line for line in lines if line["event"] == "schedule.function_failed"]
    assert [line["for_s"] for line in failed] == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_AGAIN_S, LONGEST_AGAIN_S][
        : len(failed)
    ]
    assert len(failed) in (10, 11)
    assert {(line["schedule"], line["error"], line["log_level"]) for line in failed} == {("s", told, "error")}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda after: after.replace(tzinfo=None), "which has no time zone"),
        (lambda after: after, "which is not later than"),
        (lambda after: after + timedelta(microseconds=1), "which is not at least a second later than"),
        (lambda after: "soon", "gave 'soon', which is neither a datetime nor None"),
    ],
)
async def test_an_answer_that_is_none_is_a_fault(
    stage: Stage, autojump_clock: MockClock, function: Callable[[Any], Any], words: str
) -> None:
    async with node(stage, program(function)):
        await until(lambda: fault(stage))
        assert words in (await fault(stage) or "")


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_one_that_hangs_holds_its_own_thread_and_nothing_else(
    stage: Stage, autojump_clock: MockClock, let_go: threading.Event, patience: Patience
) -> None:
    calls: list[datetime] = []

    def hangs(after: datetime) -> datetime:
        calls.append(after)
        if not let_go.is_set():
            trio.from_thread.run_sync(patience.give_up)
        let_go.wait()
        return after + timedelta(seconds=10)

    async with node(stage, program(hangs, "s"), program(every(10), "other")) as foretold:
        await until(lambda: known(stage, "other"))
        began = trio.current_time()
        await until(lambda: fault(stage))
        assert trio.current_time() - began <= ANSWER_S + 0.1
        assert (await fault(stage) or "").endswith(f"gave no answer within {ANSWER_S:g} s")
        await trio.sleep(1000)  # virtual
        assert (len(calls), foretold.at_work) == (1, 1), "it is not called again before that call is over"
        assert len(await known(stage, "other")) >= FEW
        let_go.set()
        await until(lambda: known(stage))
        assert await fault(stage) is None


async def test_what_was_told_stays_when_a_new_node_cannot_tell(stage: Stage, autojump_clock: MockClock) -> None:
    def function(after: datetime) -> datetime:
        if not _WORKS[0]:
            raise ValueError
        return after + timedelta(seconds=60)

    async with node(stage, program(function)):
        await until(lambda: known(stage))
    before = await known(stage)
    _WORKS[0] = False
    try:
        async with node(stage, program(function)):
            await until(lambda: fault(stage))
            assert await known(stage) == before
    finally:
        _WORKS[0] = True


_WORKS = [True]


async def test_a_slow_one_gets_ahead_step_by_step(
    stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foretell, "STRIDE_S", 0.0)
    async with node(stage, program(every(60))):
        await trio.sleep(1)  # virtual
        assert len(await known(stage)) == FEW


async def test_a_store_that_is_away_is_asked_again(
    stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(stage, program(every(5))):
        await until(lambda: known(stage))
        with monkeypatch.context() as patched:

            async def away(*_: Any) -> Any:
                raise StoreUnavailable("away")

            patched.setattr(stage.store.port, "schedule", away)
            await trio.sleep(500)  # virtual
        await trio.sleep(5)  # virtual
        assert (await known(stage))[-1] > trio.current_time() + 50


async def test_what_the_store_refuses_is_tried_again(
    stage: Stage, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = declared.read(program(every(60)), stage.store.now_us())
    await stage.store.move_schedules([found[0].wish])

    async def refuse(*_: Any) -> Any:
        raise StoreError("no")

    with structlog.testing.capture_logs() as lines, monkeypatch.context() as patched:
        patched.setattr(stage.store.port, "move_schedules", refuse)
        foretold = Foretell(declared.told(found), stage.store, stage.bell)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(foretold.run)
            await trio.sleep(2.5)  # virtual
            patched.undo()
            await until(lambda: known(stage))
            nursery.cancel_scope.cancel()
    assert [line["error"] for line in lines if line["event"] == "schedule.function_failed"] == ["no", "no"]


async def test_where_nothing_is_declared_nothing_runs(stage: Stage, autojump_clock: MockClock) -> None:
    await Foretell([], stage.store, stage.bell).run()
    await wait_all_tasks_blocked()
    assert not stage.store.calls["schedule"]
