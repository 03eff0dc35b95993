"""Handlers that block the loop, for real: they are named, got out of there, and nobody else is hit."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.worker.attempts import Bench, claimed, running_pool
from tickr.jobs import Failure
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job
from tickr.worker.watchdog import watch

AT_ONCE: dict[str, Any] = {"blocked_after_s": 0.1, "interrupt_after_s": 0.2}


def spin(seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@contextlib.asynccontextmanager
async def watched(function: Any, **options: Any) -> AsyncIterator[Bench]:
    jobs = Jobs()
    jobs.handler("t")(function)
    jobs.handler("tame")(trio.lowlevel.checkpoint)
    async with running_pool(jobs, slots=2) as bench:
        with watch(bench.pool.find, **{**AT_ONCE, **options}):
            yield bench


async def blocks_in_c() -> None:
    time.sleep(60)  # virtual: interrupted  # noqa: ASYNC251


async def blocks_in_python() -> None:
    spin()


async def blocks_after_a_while() -> None:
    await trio.lowlevel.checkpoint()
    try:
        spin()
    except Exception:
        raise AssertionError("an `except Exception` must not stop it") from None


async def blocks_in_a_task_of_its_own() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(blocks_in_python)


async def blocks_in_trio_and_out() -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        trio.Event().set()


@pytest.mark.parametrize(
    "function",
    [
        blocks_in_c,
        blocks_in_python,
        blocks_after_a_while,
        blocks_in_a_task_of_its_own,
        blocks_in_trio_and_out,
    ],
    ids=lambda function: function.__name__,
)
async def test_a_blocking_handler_is_named_and_interrupted(function: Any) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with capture_logs() as lines:
        async with watched(function) as bench:
            job = claimed("t")
            outcome = await bench.run(job)
            assert outcome.kind == "retried"
            assert isinstance(outcome.failure, Failure)
            assert outcome.failure.kind == "blocked"
            assert "HandlerBlocked" in outcome.failure.message + (outcome.failure.traceback or "")
            assert function.__name__ in (outcome.failure.traceback or "")
            assert (await bench.run(claimed("tame"))).kind == "succeeded"
    (line,) = [line for line in lines if line["event"] == "loop.blocked"]
    assert (line["job"], line["type"]) == (job.id, "t")
    assert "blocks_in" in line["stack"] or "blocks_after" in line["stack"]
    assert "tickr/worker" not in line["stack"]
    assert signal.getsignal(signal.SIGUSR2) is before


@contextlib.asynccontextmanager
async def blocks_in_the_beginning(job: Job) -> AsyncIterator[None]:
    spin()
    yield


@contextlib.asynccontextmanager
async def blocks_in_the_end(job: Job) -> AsyncIterator[None]:
    yield
    spin()


@contextlib.asynccontextmanager
async def does_nothing(job: Job) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("blocking", [blocks_in_the_beginning, blocks_in_the_end, None])
async def test_middleware_that_blocks_is_interrupted_and_so_are_handlers_within(blocking: Any) -> None:
    async def handler() -> None:
        if blocking is None:
            spin()

    jobs = Jobs()
    jobs.handler("t", middleware=[does_nothing, *([blocking] if blocking else []), does_nothing])(handler)
    jobs.handler("tame")(trio.lowlevel.checkpoint)
    async with running_pool(jobs, slots=1) as bench:
        with watch(bench.pool.find, **AT_ONCE):
            outcome = await bench.run(claimed("t"))
            assert outcome.failure is not None
            assert outcome.failure.kind == "blocked"
            assert (blocking or handler).__name__ in (outcome.failure.traceback or "")
            assert (await bench.run(claimed("tame"))).kind == "succeeded"


async def test_a_handler_that_takes_the_interrupt_is_interrupted_again() -> None:
    async def handler() -> None:
        with contextlib.suppress(BaseException):
            spin()
        spin()

    async with watched(handler) as bench:
        outcome = await bench.run(claimed("t"))
        assert outcome.failure is not None
        assert outcome.failure.kind == "blocked"


async def test_a_timeout_that_nobody_could_notice_does_not_hide_the_block() -> None:
    async with watched(blocks_in_a_task_of_its_own) as bench:
        outcome = await bench.run(claimed("t", timeout_us=50_000))
        assert outcome.failure is not None
        assert outcome.failure.kind == "blocked"


async def test_nobody_is_disturbed_at_a_debuggers_prompt() -> None:
    debugger: dict[str, Any] = {"__name__": "pdb", "spin": spin}
    exec("def prompt():\n    spin(0.6)", debugger)

    async def handler() -> None:
        debugger["prompt"]()

    with capture_logs() as lines:
        async with watched(handler) as bench:
            assert (await bench.run(claimed("t"))).kind == "succeeded"
    assert not [line for line in lines if line["event"] == "loop.blocked"]


async def test_nothing_is_torn_inside_trio() -> None:
    inside_trio: dict[str, Any] = {"__name__": "trio._made_up", "spin": spin}
    exec("def call():\n    spin(0.6)", inside_trio)

    async def handler() -> str:
        inside_trio["call"]()
        return "whole"

    async with watched(handler) as bench:
        assert (await bench.run(claimed("t"))).result == '"whole"'


async def test_a_short_block_is_nobodys_business() -> None:
    async def handler() -> str:
        spin(0.3)
        return "done"

    with capture_logs() as lines:
        async with watched(handler, blocked_after_s=5, interrupt_after_s=10) as bench:
            assert (await bench.run(claimed("t"))).result == '"done"'
    assert "loop.blocked" not in [line["event"] for line in lines]


async def test_slow_but_turning_is_not_blocked() -> None:
    async def handler() -> str:
        for _ in range(20):
            spin(0.04)
            await trio.lowlevel.checkpoint()
        return "done"

    with capture_logs() as lines:
        async with watched(handler) as bench:
            assert (await bench.run(claimed("t"))).result == '"done"'
    assert "loop.blocked" not in [line["event"] for line in lines]


def test_outside_the_main_thread_it_only_tells() -> None:
    kinds: list[str] = []

    async def handler() -> None:
        spin(0.6)

    async def main() -> None:
        async with watched(handler) as bench:
            kinds.append((await bench.run(claimed("t"))).kind)

    before = signal.getsignal(signal.SIGUSR2)
    with capture_logs() as lines:
        thread = threading.Thread(target=trio.run, args=(main,))
        thread.start()
        thread.join()
    assert kinds == ["succeeded"]
    assert [line["event"] for line in lines].count("loop.blocked") == 1
    assert signal.getsignal(signal.SIGUSR2) is before
