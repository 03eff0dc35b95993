"""What a handler may say, how, and from where: the two methods of ``tickr.Job`` by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import trio
import trio.testing

from tests.worker.attempts import Outcomes, claimed, running_pool
from tickr import jobs as records
from tickr.reports import Note
from tickr.worker.attempt import RunningJob
from tickr.worker.endings import GiveUp
from tickr.worker.handlers import Jobs
from tickr.worker.notes import MAX_LOG_MESSAGE, MAX_PROGRESS_MESSAGE, Notepad
from tickr.worker.speech import MAX_DATA_BYTES
from tickr.worker.view import Job


class Ear:
    """Hears what is said."""

    def __init__(self) -> None:
        self.heard: list[tuple[float | None, str | None]] = []
        self.data: list[str | None] = []

    def say(self, fraction: float | None, message: str | None, data: str | None = None) -> None:
        self.heard.append((fraction, message))
        self.data.append(data)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def job(ear: Ear) -> Job:
    return Job(claimed("t"), ear)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, 2, 50, math.nan, math.inf, -math.inf, 10**400, Fraction(-1, 3)])
async def test_a_fraction_is_from_0_to_1(job: Job, ear: Ear, fraction: Any) -> None:
    with pytest.raises(ValueError, match="progress takes a number from 0 to 1, not "):
        await job.progress(fraction)
    assert ear.heard == []


@pytest.mark.parametrize("fraction", [None, "0.5", True, 0.5j, [0.5], Decimal("0.5")])
async def test_a_fraction_is_a_number(job: Job, ear: Ear, fraction: Any) -> None:
    with pytest.raises(TypeError, match="progress takes a number from 0 to 1, not "):
        await job.progress(fraction)
    assert ear.heard == []


@pytest.mark.parametrize("message", [5, b"bytes", {"a"}, object()])
async def test_a_message_is_text(job: Job, ear: Ear, message: Any) -> None:
    with pytest.raises(TypeError, match="progress takes a message that is a str, not "):
        await job.progress(0.5, message)
    with pytest.raises(TypeError, match="log takes a message that is a str, not "):
        await job.log(message)
    with pytest.raises(TypeError, match="log takes a message that is a str, not None"):
        await job.log(None)  # type: ignore[arg-type]
    assert ear.heard == []


async def test_what_is_good_arrives_as_floats_and_text(job: Job, ear: Ear) -> None:
    fractions: list[Any] = [0, 1, 0.25, Fraction(1, 2), -0.0]
    for fraction in fractions:
        await job.progress(fraction, "")
    await job.progress(0.5)
    await job.log("two\nlines")
    assert repr(ear.heard) == repr(
        [(0.0, ""), (1.0, ""), (0.25, ""), (0.5, ""), (0.0, ""), (0.5, None), (None, "two\nlines")]
    )


async def test_data_is_json_of_any_shape_beside_the_words_or_in_their_place(job: Job, ear: Ear) -> None:
    await job.progress(0.4, {"rows": 1200, "file": "a.csv"})
    await job.progress(0.4, "reading", {"rows": [1, 2.5, None]})
    await job.progress(0.4, ["a\0\u20ac"])
    await job.progress(0.4, data="text")
    await job.progress(0.4, data=0)
    await job.progress(0.4, data="x" * (MAX_DATA_BYTES - 2))
    assert ear.heard == [(0.4, None), (0.4, "reading"), *[(0.4, None)] * 4]
    told = ['{"rows":1200,"file":"a.csv"}', '{"rows":[1,2.5,null]}', '["a\\u0000\u20ac"]', '"text"', "0"]
    assert ear.data[:-1] == told


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (({"a": 1}, {"b": 2}), "TypeError: progress takes data once"),
        (({"at": object()},), "TypeError: progress takes data that JSON can hold: /at "),
        ((None, [math.nan]), "TypeError: progress takes data that JSON can hold: /0 is nan"),
        ((None, "\ud800"), "TypeError: progress takes data that JSON can hold: it holds half of a surrogate pair"),
        ((None, "x" * (MAX_DATA_BYTES - 1)), f"ValueError: the data of progress has {MAX_DATA_BYTES + 1} bytes"),
    ],
)
async def test_data_that_can_not_be_told(job: Job, ear: Ear, arguments: tuple[Any, ...], fault: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        await job.progress(0.5, *arguments)
    assert f"{type(raised.value).__name__}: {raised.value}".startswith(fault)
    assert ear.heard == []


async def test_long_messages_are_cut_and_what_nobody_can_store_is_replaced(job: Job, ear: Ear) -> None:
    for size in (MAX_PROGRESS_MESSAGE, MAX_PROGRESS_MESSAGE + 1, 100_000):
        await job.progress(0, "p" * size)
    for size in (MAX_LOG_MESSAGE, MAX_LOG_MESSAGE + 1, 100_000):
        await job.log("l" * size)
    progress, lines = [said for _, said in ear.heard[:3]], [said for _, said in ear.heard[3:]]
    assert progress == ["p" * 500, "p" * 499 + "…", "p" * 499 + "…"]
    assert lines == ["l" * 2_000, "l" * 1_999 + "…", "l" * 1_999 + "…"]
    await job.log("a\ud800b\0c\x1b😀")
    await job.progress(0, "\0\udfff")
    assert ear.heard[-2:] == [(None, "a?b?c\x1b😀"), (0.0, "??")]


async def test_both_are_checkpoints_and_what_was_said_stays_said(job: Job, ear: Ear) -> None:
    with trio.testing.assert_checkpoints():
        await job.log("a")
    with trio.CancelScope() as scope:
        scope.cancel()
        await job.progress(0.5)
        raise AssertionError("it was no checkpoint")
    with trio.CancelScope() as scope:
        scope.cancel()
        await job.log("b")
        raise AssertionError("it was no checkpoint")
    assert ear.heard == [(None, "a"), (0.5, None), (None, "b")]


async def test_a_forgotten_await_is_told_of_and_loses_nothing(job: Job, ear: Ear) -> None:
    with pytest.warns(RuntimeWarning, match="'job_progress_or_log' was never awaited"):
        job.progress(0.5)
    assert ear.heard == [(0.5, None)]


async def test_in_a_thread_they_are_called_awaited_or_run_and_nothing_warns(job: Job, ear: Ear) -> None:
    async def in_asyncio() -> None:
        await job.progress(0.4, "awaited in another loop")

    def in_thread() -> None:
        job.progress(0.1, "called")
        job.log("called")
        trio.from_thread.run(job.progress, 0.2, "run")
        trio.from_thread.run(job.log, "run")
        trio.run(job.progress, 0.3, "in a trio of its own")
        asyncio.run(in_asyncio())
        with pytest.raises(ValueError, match="from 0 to 1"):
            job.progress(1.1)
        gc.collect()

    await trio.to_thread.run_sync(in_thread)
    assert ear.heard == [
        *((0.1, "called"), (None, "called"), (0.2, "run"), (None, "run")),
        *((0.3, "in a trio of its own"), (0.4, "awaited in another loop")),
    ]


async def test_many_threads_of_one_handler_may_speak_at_once() -> None:
    jobs, threads = Jobs(), 8

    @jobs.handler("t")
    def handler(job: Job) -> None:
        together = threading.Barrier(threads)

        def speak(who: int) -> None:
            together.wait()
            for number in range(50):
                job.log(f"{who} {number}")
                job.progress(number / 50, str(who))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(speak, range(threads)))
        job.progress(1)
        job.log("the last")

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        async with running_pool(jobs) as bench:
            await bench.run(claimed("t"))
    finally:
        sys.setswitchinterval(usual)
    notes = [one for one in bench.outcomes.in_line if isinstance(one, Note)]
    assert [note.number for note in notes] == list(range(1, len(notes) + 1))
    assert (notes[-2].fraction, notes[-1].message) == (1, "the last")


async def test_an_attempt_has_one_pad_however_many_threads_speak_first() -> None:
    both, opened, line = threading.Barrier(2), list[Notepad](), Outcomes()

    class Slow:
        def open_notepad(self, job: records.Job) -> Notepad:
            opened.append(line.open_notepad(job))
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # for the other one, which must not come
            return opened[-1]

    jobs = Jobs()
    jobs.handler("t")(lambda: None)
    handler = jobs.get("t")
    assert handler is not None
    running = RunningJob(claimed("t"), handler, Slow())
    async with trio.open_nursery() as nursery:
        for number in (0.1, 0.2):
            nursery.start_soon(trio.to_thread.run_sync, running.say, number, None)
    assert opened == [running.notepad]


async def test_a_nursery_starts_them_like_any_other(job: Job, ear: Ear) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.progress, 0.5)
        nursery.start_soon(job.log, "a")
    assert sorted(ear.heard, key=str) == [(0.5, None), (None, "a")]


def test_a_copy_in_another_process_says_where_they_work(job: Job, ear: Ear) -> None:
    copy = pickle.loads(pickle.dumps(job))
    for say in (lambda: copy.progress(0.5), lambda: copy.log("a")):
        with pytest.raises(RuntimeError, match="work in async handlers and in threads, not in other processes"):
            say()
    assert ear.heard == []


async def test_the_last_words_of_an_attempt_go_before_its_outcome() -> None:
    jobs = Jobs()

    @jobs.handler("t")
    async def handler(job: Job) -> None:
        await job.progress(0.5)
        await job.log("a")
        raise GiveUp("enough")

    async with running_pool(jobs) as bench:
        outcome = await bench.run(claimed("t"))
    *notes, last = bench.outcomes.in_line
    assert last is outcome
    assert [note.kind for note in notes] == ["progress", "log"]
