"""Plain handlers, in threads and in processes."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import pytest
import trio
import trio.testing

from tests.worker.attempts import claimed, outcome_of, running_pool
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Job, Jobs


async def test_plain_handlers_run_in_a_thread() -> None:
    loop = threading.get_ident()

    def handler(job: Job, a: int) -> dict[str, Any]:
        return {"a": a, "id": job.id, "elsewhere": threading.get_ident() != loop}

    outcome = await outcome_of(handler, {"a": 1})
    assert outcome.result == f'{{"a":1,"id":"{outcome.job.id}","elsewhere":true}}'


async def test_a_thread_can_ask_whether_it_shall_stop() -> None:
    started = threading.Event()

    def handler() -> None:
        started.set()
        while True:
            trio.from_thread.check_cancelled()

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.to_thread.run_sync(started.wait)
        bench.pool.stop(job.id, StopReason.CANCELLED)
        assert (await bench.outcomes.next()).kind == "cancelled"
        assert bench.pool.zombies == []


async def test_a_thread_that_ends_well_after_a_stop_has_succeeded() -> None:
    started, end = threading.Event(), threading.Event()

    def handler() -> str:
        started.set()
        end.wait()
        return "done"

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.to_thread.run_sync(started.wait)
        bench.pool.stop(job.id, StopReason.CANCELLED)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.outcomes.all == []
        end.set()
        assert (await bench.outcomes.next()).result == '"done"'


async def test_a_thread_that_does_not_stop_is_abandoned_and_keeps_its_slot() -> None:
    started, end = threading.Event(), threading.Event()

    def hangs_here() -> None:
        started.set()
        end.wait()

    jobs = Jobs()
    jobs.handler("t")(hangs_here)
    async with running_pool(jobs, slots=1, unresponsive_after_s=0.05) as bench:
        job = claimed("t", timeout_us=100_000)
        outcome = await bench.run(job)
        assert started.is_set()
        assert outcome.kind == "retried"
        assert outcome.failure is not None
        assert outcome.failure.kind == "unresponsive"
        assert "hangs_here" in (outcome.failure.traceback or "")
        assert [(zombie.job_id, zombie.where) for zombie in bench.pool.zombies] == [(job.id, "thread")]
        assert bench.pool.free == 0
        end.set()
        assert await bench.pool.wait_free() == 1
        assert bench.pool.zombies == []
        assert len(bench.outcomes.all) == 1


def in_process(job: Job, a: int) -> dict[str, Any]:
    return {"a": a, "payload": job.payload, "pid": os.getpid()}


def process_exits() -> None:
    sys.exit(3)


def process_dies() -> None:
    os._exit(3)


def process_sleeps() -> None:
    time.sleep(3_600)  # virtual: killed at once


def returns_unpicklable() -> Any:
    return lambda: None


@pytest.mark.slow
async def test_processes() -> None:
    jobs = Jobs()
    for function in (in_process, process_exits, process_dies, process_sleeps, returns_unpicklable):
        jobs.handler(function.__name__, run_in="process")(function)
    async with running_pool(jobs) as bench:
        outcome = await bench.run(claimed("in_process", {"a": 1}))
        assert outcome.result is not None
        assert outcome.result.startswith('{"a":1,"payload":{"a":1},"pid":')
        assert str(os.getpid()) not in outcome.result
        for type in ("process_exits", "process_dies", "returns_unpicklable"):
            outcome = await bench.run(claimed(type))
            assert outcome.kind == "retried", type
            assert outcome.failure is not None
            assert outcome.failure.kind == "exception"
        outcome = await bench.run(claimed("process_sleeps", timeout_us=500_000))
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"
