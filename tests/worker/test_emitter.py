"""What a handler may emit, how fast, and what becomes of it when nobody waits."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.worker.attempts import claimed
from tickr.reports import Lines, Note
from tickr.worker.emitter import EMITTED_A_SECOND, Emitter
from tickr.worker.notes import Notepad, Notes
from tickr.worker.speech import MAX_DATA_BYTES
from tickr.worker.view import Job


class Line:
    """Stands for the line to the store: what goes in, and when; it is stored at once unless ``slow``."""

    stop_reason = shared = None

    def __init__(self) -> None:
        self.told: list[tuple[float, str | None, str | None]] = []
        self.unstored: list[trio.Event] = []
        self.slow = False
        self.pad: Notepad = Notes(lambda: 0, self.put).open(claimed("t"))
        self._emitter = Emitter(self.pad, trio.lowlevel.current_trio_token())

    def put(self, said: Sequence[Note | Lines]) -> trio.Event:
        stored = trio.Event()
        now = trio.current_time()
        self.told += [(now, one.message, one.data) for one in said if isinstance(one, Note)]
        self.unstored.append(stored)
        if not self.slow:
            stored.set()
        return stored

    def open_emitter(self) -> Emitter:
        return self._emitter

    @property
    def job(self) -> Job:
        return Job(claimed("t"), self)  # type: ignore[arg-type]


async def test_it_is_over_when_it_is_stored() -> None:
    line = Line()
    line.slow = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.job.emit, "sent", {"id": 7})
        await wait_all_tasks_blocked()
        assert [told[1:] for told in line.told] == [("sent", '{"id":7}')]
        assert nursery.child_tasks
        line.unstored[0].set()


async def test_what_was_said_before_is_told_before(autojump_clock: MockClock) -> None:
    line = Line()
    line.pad.say(None, "a line")
    await line.job.emit("sent")
    assert [told[1:] for told in line.told] == [("a line", None), ("sent", "null")]


async def test_who_is_too_fast_waits_and_nothing_is_left_out(autojump_clock: MockClock) -> None:
    line, began = Line(), trio.current_time()
    for number in range(3 * EMITTED_A_SECOND):
        await line.job.emit("sent", number)
    assert [data for _, _, data in line.told] == [str(number) for number in range(3 * EMITTED_A_SECOND)]
    instants = [at - began for at, _, _ in line.told]
    assert max(sum(1 for other in instants if 0 <= other - one < 0.999) for one in instants) <= EMITTED_A_SECOND
    assert instants[-1] == pytest.approx(2.0)


async def test_while_the_store_is_away_one_is_on_its_way_however_many_gave_up(autojump_clock: MockClock) -> None:
    line = Line()
    line.slow = True
    for number in range(5):
        with trio.move_on_after(1) as gave_up:
            await line.job.emit("sent", number)
        assert gave_up.cancelled_caught
    assert [data for _, _, data in line.told] == ["0"]
    line.slow = False
    line.unstored[0].set()
    await line.job.emit("sent", 5)
    assert [data for _, _, data in line.told] == ["0", "5"]


async def test_after_the_end_it_says_so() -> None:
    line = Line()
    line.pad.close()
    with pytest.raises(RuntimeError, match="this attempt has ended"):
        await line.job.emit("sent")
    assert line.told == []


async def test_a_forgotten_await_is_told_of() -> None:
    line = Line()
    with pytest.warns(RuntimeWarning, match="'Emitter.job_emit' was never awaited"):
        line.job.emit("sent")


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        (7, None, "TypeError: emit takes a name that is a str, not 7"),
        ("", None, "ValueError: an event's name has up to 100 letters"),
        ("a b", None, "ValueError: an event's name has up to 100 letters"),
        ("a\n", None, "ValueError: an event's name has up to 100 letters"),
        ("x" * 101, None, "ValueError: an event's name has up to 100 letters"),
        ("a", math.inf, "TypeError: emit takes data that JSON can hold: it is inf"),
        ("a", "x" * MAX_DATA_BYTES, f"ValueError: the data of emit has {MAX_DATA_BYTES + 2} bytes"),
    ],
)
async def test_what_cannot_be_told(name: Any, data: Any, fault: str) -> None:
    line = Line()
    with pytest.raises((TypeError, ValueError)) as raised:
        await line.job.emit(name, data)
    assert f"{type(raised.value).__name__}: {raised.value}".startswith(fault)
    assert line.told == []


async def test_a_copy_in_another_process_says_where_it_works() -> None:
    copy = pickle.loads(pickle.dumps(Line().job))
    with pytest.raises(RuntimeError, match="in async handlers and in threads, not in other processes"):
        copy.emit("sent")
