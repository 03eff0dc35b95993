"""Middleware round handlers in the loop, in threads and in processes: what of its context reaches them."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.worker.attempts import claimed, running_pool
from tickr.worker.handlers import Jobs
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@contextlib.asynccontextmanager
async def sets(job: Job) -> AsyncIterator[None]:
    token = variable.set(job.id)
    try:
        yield
    finally:
        variable.reset(token)


@contextlib.asynccontextmanager
async def sets_for_good(job: Job) -> AsyncIterator[None]:
    assert variable.get() == "unset"
    variable.set(job.id)
    yield


async def in_loop() -> dict[str, Any]:
    return {"variable": variable.get(), "thread": threading.current_thread().name}


def in_thread() -> dict[str, Any]:
    return {"variable": variable.get(), "thread": threading.current_thread().name}


def in_process(job: Job) -> str | None:
    return job.traceparent


@pytest.mark.parametrize("middleware", [sets, sets_for_good])
@pytest.mark.parametrize("function", [in_loop, in_thread])
async def test_context_variables_reach_the_handler_and_nobody_else(middleware: Middleware, function: Any) -> None:
    jobs = Jobs()
    jobs.handler("t", middleware=[middleware])(function)
    jobs.handler("other")(in_loop)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(3):
            outcome = await bench.run(claimed("t"))
            assert f'"variable":"{outcome.job.id}"' in (outcome.result or "")
            assert (f'"thread":"job {outcome.job.id}"' in (outcome.result or "")) == (function is in_thread)
            assert '"variable":"unset"' in ((await bench.run(claimed("other"))).result or "")


async def test_one_that_puts_back_what_it_sets_costs_no_new_task() -> None:
    tasks: set[trio.lowlevel.Task] = set()

    async def handler() -> None:
        tasks.add(trio.lowlevel.current_task())

    jobs = Jobs()
    jobs.middleware(sets)
    jobs.handler("t")(handler)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(5):
            await bench.run(claimed("t"))
    assert len(tasks) == 1


TRACEPARENT = f"00-{'4b' * 16}-{'f0' * 8}-01"


@contextlib.asynccontextmanager
async def sets_trace(job: Job) -> AsyncIterator[None]:
    job.set_trace(TRACEPARENT)
    yield


@pytest.mark.slow
async def test_what_it_says_of_the_trace_reaches_a_process() -> None:
    jobs = Jobs()
    jobs.middleware(sets_trace)
    jobs.handler("t", run_in="process")(in_process)
    async with running_pool(jobs) as bench:
        with trio.fail_after(60):
            assert (await bench.run(claimed("t"))).result == f'"{TRACEPARENT}"'
