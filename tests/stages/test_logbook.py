"""What attempts log, on its way to be kept with the job: in batches, whole, and not in the way of anybody."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.stages.conftest import Stage
from tests.stages.test_notes import Node
from tests.worker.attempts import claimed
from tickr.errors import StoreUnavailable
from tickr.job_log import KEPT_LINES, LINE_BYTES, MOST_IN_PART, LogLine
from tickr.jobs import Job
from tickr.store.contract import MAX_BATCH
from tickr.worker import handlers
from tickr.worker.logbook import MAX_IN_LINE, MAX_WAITING, Logbook


async def kept(stage: Stage, job: Job) -> list[LogLine]:
    return [line for part in await stage.store.job_log(job.id, MAX_BATCH) for line in part.lines()]


def add(book: Logbook, first: int, last: int, message: str = "") -> None:
    for number in range(first, last + 1):
        book.add(number, 1_000 + number, message or f"line {number}")


def test_lines_go_in_parts_and_what_had_no_room_is_counted() -> None:
    book = Logbook(claimed("t"), KEPT_LINES)
    assert book.take() == book.take(ended=True) == []
    add(book, 1, 250)
    assert [(one.part.last, one.part.count) for one in book.take()] == [(100, 100), (200, 100), (250, 50)]
    add(book, 251, 300 + MAX_WAITING)
    parts = book.take()
    assert len(parts) == MAX_WAITING // MOST_IN_PART == MAX_IN_LINE // 2
    lines = [line for one in parts for line in one.part.lines()]
    assert [line.dropped for line in lines] == [50, *[0] * (MAX_WAITING - 1)]
    assert (lines[0].place.number, lines[0].message, lines[0].at) == (251, "line 301", 1_301)
    assert lines[-1].message == f"line {300 + MAX_WAITING}"


def test_what_is_too_old_is_looked_for_now_and_then_and_at_the_end() -> None:
    book = Logbook(claimed("t"), 80)
    trims = []
    for number in range(1, 31):
        add(book, number, number)
        trims += [one.trim for one in book.take()]
    assert [number for number, trim in enumerate(trims, 1) if trim] == [10, 20, 30]
    add(book, 31, 31, "x" * 10 * LINE_BYTES)
    assert [one.trim for one in book.take()] == [True], "long ones sooner"
    add(book, 32, 32)
    assert [one.trim for one in book.take(ended=True)] == [True]


def test_nothing_is_collected_where_nothing_is_kept() -> None:
    book = Logbook(claimed("t"), 0)
    add(book, 1, 10)
    assert book.take(ended=True) == []


async def test_they_are_stored_in_rounds_and_never_a_line_at_a_time(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        for number in range(4_000):
            await job.log(str(number))
            await trio.sleep(0.001)  # virtual
        await trio.sleep_forever()

    node = Node(stage, handler)
    jobs = await node.start(nursery, 5)
    await trio.sleep(10)  # virtual
    assert stage.store.calls["keep_log"] <= 4 * 8 + 1
    for job in jobs:
        lines = await kept(stage, job)
        assert KEPT_LINES <= len(lines) <= KEPT_LINES * 9 // 8 + MOST_IN_PART
        assert [line.message for line in lines] == [str(number) for number in range(4_000 - len(lines), 4_000)]


async def test_a_job_that_logs_nothing_costs_nothing(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def handler(job: handlers.Job) -> None:
        await job.progress(0.5)

    await Node(stage, handler).run(nursery)
    assert stage.store.calls["keep_log"] == 0


@pytest.mark.parametrize("ends", ["returns", "raises"])
async def test_the_last_words_are_kept_before_the_end_also_over_an_outage(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, ends: str
) -> None:
    stage.store.failing["keep_log"] = StoreUnavailable("away")

    async def handler(job: handlers.Job) -> None:
        for number in range(300):
            await job.log(str(number))
        if ends == "raises":
            raise RuntimeError("no")

    node = Node(stage, handler)
    (job,) = await node.start(nursery)
    await trio.sleep(60)  # virtual
    await wait_all_tasks_blocked()
    assert (await stage.get(job)).state == "running", "its outcome waits behind them"
    stage.store.failing.clear()
    await trio.sleep(1)  # virtual
    assert (await stage.get(job)).state != "running"
    assert [line.message for line in await kept(stage, job)] == [str(number) for number in range(300)]
