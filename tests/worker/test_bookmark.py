"""What a handler may keep for the next attempt, how, and from where: two methods of ``tickr.Job`` by themselves."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from tests.worker.attempts import claimed
from tickr import jobs as records
from tickr.reports import Checkpoint
from tickr.worker.bookmark import MAX_CHECKPOINT_BYTES, Bookmark
from tickr.worker.view import Job


class Line:
    """Stands for the line to the store: what goes in, and when it is stored."""

    def __init__(self, stored: str | None = None) -> None:
        self.kept: list[Checkpoint] = []
        self.done: list[trio.Event] = []
        self.asked = 0
        self.slow = False
        self._stored = stored

    def keep(self, checkpoint: Checkpoint) -> trio.Event:
        self.kept.append(checkpoint)
        self.done.append(trio.Event())
        if not self.slow:
            self.done[-1].set()
        return self.done[-1]

    async def recall(self, job: records.Job) -> str | None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self._stored

    @property
    def values(self) -> Sequence[str]:
        return [one.value for one in self.kept]


class Listener:
    stop_reason = None
    shared = None

    def __init__(self, bookmark: Bookmark) -> None:
        self._bookmark = bookmark

    def say(self, fraction: float | None, message: str | None, data: str | None = None) -> None: ...

    def open_bookmark(self) -> Bookmark:
        return self._bookmark


def job_with(line: Line, fence: int = 2) -> tuple[Job, Bookmark]:
    record = claimed("t", fence=fence)
    bookmark = Bookmark(record, line, trio.lowlevel.current_trio_token())
    return Job(record, Listener(bookmark)), bookmark


async def test_a_value_is_kept_when_its_await_is_over() -> None:
    job, _ = job_with(line := Line())
    line.slow = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: job.checkpoint({"page": 7}))
        await trio.testing.wait_all_tasks_blocked()
        assert line.values == ['{"page":7}']
        assert nursery.child_tasks
        line.done[0].set()
    assert await job.resume() == {"page": 7}
    assert line.asked == 0


async def test_of_many_at_once_one_is_on_its_way_and_the_last_counts_for_all_that_wait() -> None:
    job, bookmark = job_with(line := Line())
    line.slow = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: job.checkpoint("first"))
        await trio.testing.wait_all_tasks_blocked()
        for n in range(100):
            nursery.start_soon(lambda n=n: job.checkpoint(n))  # type: ignore[misc]
        await trio.testing.wait_all_tasks_blocked()
        assert len(line.kept) == 1
        line.done[0].set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(line.kept) == 2
        last = await job.resume()
        assert line.values[1] == str(last)
        line.done[1].set()
    bookmark.close()
    assert len(line.kept) == 2


async def test_who_does_not_wait_keeps_no_more_on_its_way_and_the_end_has_the_last_word() -> None:
    job, bookmark = job_with(line := Line())
    line.slow = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: job.checkpoint("first"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    for n in range(1000):
        with trio.move_on_after(0):
            await job.checkpoint(n)
    assert line.values == ['"first"']
    bookmark.close()
    assert line.values == ['"first"', "999"]


async def test_before_the_first_start_there_was_nothing_and_nobody_is_asked() -> None:
    first, _ = job_with(line := Line("7"), fence=1)
    with trio.testing.assert_checkpoints():
        assert await first.resume() is None
    assert await first.resume(default=3) == 3
    assert line.asked == 0
    again, _ = job_with(line)
    assert await again.resume(default=3) == 7
    empty, _ = job_with(Line())
    assert await empty.resume(default=3) == 3
    assert await empty.resume() is None


async def test_null_is_a_value_too() -> None:
    job, _ = job_with(Line("null"))
    assert await job.resume(default=3) is None


async def test_in_a_thread_both_are_over_when_they_return() -> None:
    job, _ = job_with(line := Line("[1]"))

    def handler() -> None:
        assert job.resume() == [1]
        for n in range(3):
            job.checkpoint(n)
        own = threading.Thread(target=lambda: job.checkpoint("from a thread of its own"))
        own.start()
        own.join()

    await trio.to_thread.run_sync(handler)
    assert line.values == ["0", "1", "2", '"from a thread of its own"']
    assert await job.resume() == "from a thread of its own"


@pytest.mark.parametrize(
    "value", [math.nan, {"a": [math.inf]}, object(), {1j: 2}, "\ud800", {"a": {"b": b"\xff"}, "c": set}]
)
async def test_what_json_does_not_have_is_refused(value: Any) -> None:
    job, _ = job_with(line := Line())
    with pytest.raises(TypeError, match="checkpoint takes what JSON can hold: "):
        await job.checkpoint(value)
    assert line.kept == []


async def test_a_checkpoint_has_64_kib_at_most() -> None:
    job, _ = job_with(line := Line())
    await job.checkpoint("x" * (MAX_CHECKPOINT_BYTES - 2))
    with pytest.raises(ValueError, match=f"the checkpoint has 65537 bytes; at most {MAX_CHECKPOINT_BYTES} are kept"):
        await job.checkpoint("x" * (MAX_CHECKPOINT_BYTES - 1))
    assert len(line.kept) == 1


async def test_another_process_can_neither_keep_nor_ask() -> None:
    job, _ = job_with(Line())
    mute = pickle.loads(pickle.dumps(job))
    for call in (lambda: mute.checkpoint(1), mute.resume):
        with pytest.raises(RuntimeError, match="in async handlers and in threads, not in other processes"):
            call()
