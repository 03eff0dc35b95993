"""Plain handlers, in threads and in processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.worker.attempts import claimed, outcome_of, running_pool
from tickr.worker import elsewhere
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs
from tickr.worker.retirement import Bounds, Retirement, memory_used
from tickr.worker.view import Job


async def a_coroutine() -> None: ...


async def test_plain_handlers_run_in_a_thread() -> None:
    loop = threading.get_ident()

    def handler(job: Job, a: int) -> dict[str, Any]:
        return {"a": a, "id": job.id, "elsewhere": threading.get_ident() != loop}

    outcome = await outcome_of(handler, {"a": 1})
    assert outcome.result == f'{{"a":1,"id":"{outcome.job.id}","elsewhere":true}}'


async def test_more_slots_are_more_threads_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    jobs = Jobs()
    jobs.handler("t")(together.wait)
    async with running_pool(jobs, slots=1) as bench:
        bench.pool.resize(3)
        bench.pool.start([claimed("t") for _ in range(3)])
        assert [(await bench.outcomes.next()).kind for _ in range(3)] == ["succeeded"] * 3
        bench.pool.resize(1)
        assert (bench.pool.free, bench.pool.room) == (1, 1)


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


async def test_a_thread_that_does_not_stop_is_abandoned() -> None:
    started, end = threading.Event(), threading.Event()

    def hangs_here() -> None:
        started.set()
        end.wait()

    jobs = Jobs()
    jobs.handler("t")(hangs_here)
    with capture_logs() as lines:
        async with running_pool(jobs, slots=1, unresponsive_after_s=0.05) as bench:
            job = claimed("t", timeout_us=100_000)
            outcome = await bench.run(job)
            assert started.is_set()
            assert outcome.kind == "retried"
            assert outcome.failure is not None
            assert outcome.failure.kind == "unresponsive"
            assert "hangs_here" in (outcome.failure.traceback or "")
            assert [(zombie.job_id, zombie.where) for zombie in bench.pool.zombies] == [(job.id, "thread")]
            end.set()
            while bench.pool.zombies:
                await trio.lowlevel.checkpoint()
            assert len(bench.outcomes.all) == 1, "what it did in the end counts for nothing"
    said = [(line["event"], line.get("where")) for line in lines if line["event"].startswith("job.left_behind")]
    assert said == [("job.left_behind", "thread"), ("job.left_behind_ended", None)]


async def test_abandoned_threads_cost_no_slots_up_to_a_bound_and_are_told_of_beyond() -> None:
    end = threading.Event()
    jobs = Jobs()
    jobs.handler("hangs")(end.wait)
    jobs.handler("thread")(lambda: None)
    jobs.handler("loop")(a_coroutine)

    async def lost_after_one_more() -> int:
        with capture_logs() as lines:
            await bench.run(claimed("hangs", timeout_us=20_000))
        told = [
            (line["lost"], line["slots"], line["threads"]) for line in lines if line["event"] == "worker.slots_lost"
        ]
        lost = 2 - bench.pool.free
        assert told == ([(lost, 2, len(bench.pool.zombies))] if lost else [])
        return lost

    async with running_pool(jobs, slots=2, unresponsive_after_s=0.01) as bench:
        for lost in (0, 0, 1):
            assert await lost_after_one_more() == lost
            with trio.fail_after(10):
                for type in ("loop", "thread"):
                    assert (await bench.run(claimed(type))).kind == "succeeded", "there is a slot and a thread for it"
        assert await lost_after_one_more() == 2
        with capture_logs() as lines:
            end.set()
            while bench.pool.zombies:
                await trio.lowlevel.checkpoint()
        assert [line["lost"] for line in lines if line["event"] == "worker.slots_lost"] == [1, 0]
        await bench.pool.wait_free()
        assert bench.pool.free == 2


async def test_a_pool_that_started_no_process_waits_for_no_thread_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or virtual time would run on while a thread is on its way."""

    async def in_no_thread(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"waited for a thread: {args}")

    monkeypatch.setattr(trio.to_thread, "run_sync", in_no_thread)
    assert (await outcome_of(a_coroutine)).kind == "succeeded"


def in_process(job: Job, a: int) -> dict[str, Any]:
    return {"a": a, "payload": job.payload, "pid": os.getpid()}


def process_exits() -> None:
    sys.exit(3)


def process_dies() -> None:
    os._exit(3)


def process_is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def process_is_terminated_once(folder: str) -> str:
    """As if the signal had come while the process was starting."""
    (Path(folder) / str(os.getpid())).touch()
    if len(os.listdir(folder)) < 2:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    return "done"


def process_meets(folder: str, count: int) -> None:
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < count:
        time.sleep(0)


def process_sleeps() -> None:
    time.sleep(3_600)  # virtual: killed at once


def process_never_ends() -> int:
    threading.Thread(target=threading.Event().wait).start()  # Python waits for it
    return os.getpid()


def returns_unpicklable() -> Any:
    return lambda: None


def grown(megabytes: int, kept: list[bytearray] = []) -> int:  # noqa: B006 -- it leaks, as some do
    kept.append(bytearray(megabytes * 1024 * 1024))
    return os.getpid()


def own_pid() -> int:
    return os.getpid()


@pytest.mark.slow
async def test_a_process_is_replaced_after_so_many_jobs_or_with_so_much_memory() -> None:
    jobs = Jobs()
    for function in (own_pid, grown):
        jobs.handler(function.__name__, run_in="process")(function)
    async with running_pool(jobs, slots=1, bounds=Bounds(jobs=3)) as bench:
        pids = [(await bench.run(claimed("own_pid"))).result for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    async with running_pool(jobs, slots=1, bounds=Bounds(memory_bytes=memory_used() + 200 * 2**20)) as bench:
        # This process may have grown in other tests, and the one that works is a small one.
        sizes = (1, 1, 500 + memory_used() // 2**20, 1, 1)
        pids = [(await bench.run(claimed("grown", {"megabytes": size}))).result for size in sizes]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 2]


def test_without_bounds_nothing_is_ever_replaced_and_memory_is_what_there_is() -> None:
    assert not any(Retirement(Bounds())() for _ in range(1000))
    assert Retirement(Bounds(memory_bytes=1))()
    assert not Retirement(Bounds(memory_bytes=2**40))()
    assert 2**20 < memory_used() < 2**40


@pytest.mark.slow
async def test_processes() -> None:
    jobs = Jobs()
    for function in (in_process, process_exits, process_dies, process_is_killed, process_sleeps, returns_unpicklable):
        jobs.handler(function.__name__, run_in="process")(function)
    async with running_pool(jobs) as bench:
        outcome = await bench.run(claimed("in_process", {"a": 1}))
        assert outcome.result is not None
        assert outcome.result.startswith('{"a":1,"payload":{"a":1},"pid":')
        assert not outcome.result.endswith(f":{os.getpid()}}}")
        messages = {
            "process_exits": "SystemExit: 3",
            "process_dies": "Its process ended unexpectedly (exit code 3).",
            "process_is_killed": "Its process ended unexpectedly (killed by signal 9; out of memory?).",
            "returns_unpicklable": "",
        }
        for type, message in messages.items():
            outcome = await bench.run(claimed(type))
            assert outcome.kind == "retried", type
            assert outcome.failure is not None
            assert outcome.failure.kind == "exception"
            assert outcome.failure.message == message or not message
        outcome = await bench.run(claimed("process_sleeps", timeout_us=500_000))
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"


@pytest.mark.slow
async def test_a_process_that_does_not_end_at_a_stop_is_killed_and_nobody_minds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "PROCESS_END_S", 0.1)
    jobs = Jobs()
    jobs.handler("t", run_in="process")(process_never_ends)
    async with running_pool(jobs) as bench:
        outcome = await bench.run(claimed("t"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(outcome.result or ""), 0)


@pytest.mark.slow
async def test_a_signal_to_the_group_while_a_process_starts_costs_no_attempt(tmp_path: Path) -> None:
    jobs = Jobs()
    jobs.handler("t", run_in="process")(process_is_terminated_once)
    async with running_pool(jobs) as bench:
        assert (await bench.run(claimed("t", {"folder": str(tmp_path)}))).result == '"done"'


@pytest.mark.slow
async def test_as_many_processes_as_slots_however_few_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    jobs = Jobs()
    jobs.handler("meets", run_in="process")(process_meets)
    async with running_pool(jobs, slots=2) as bench:
        bench.pool.start([claimed("meets", {"folder": str(tmp_path), "count": 2}) for _ in range(2)])
        with trio.fail_after(30):
            assert [(await bench.outcomes.next()).kind for _ in range(2)] == ["succeeded"] * 2
