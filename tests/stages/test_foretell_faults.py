"""What functions do wrong is told, tried again, and holds nobody else up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tests.stages.foretelling import Patience, every, fault, known, node, patience, program, until
from tests.stages.test_schedules import begin, ticks
from tickr import declared
from tickr.errors import StoreError, StoreUnavailable
from tickr.foresight import FEW
from tickr.scheduler import foretell
from tickr.scheduler.foretell import ANSWER_S, LONGEST_AGAIN_S, Foretell

__all__ = ["patience"]


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
