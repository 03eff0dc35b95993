"""One attempt from claimed job to outcome, and the pool round it: however a handler behaves, there is one outcome."""

from __future__ import annotations

import contextvars
import gc
import math
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.worker.attempts import Outcomes, claimed, running_pool
from tickr import retry
from tickr.jobs import Outcome
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import GiveUp, Job, Jobs, RetryLater
from tickr.worker.pool import Pool

# -- how it ends ----------------------------------------------------------------------------------------------------


async def outcome_of(function: Any, payload: Any = None, **fields: Any) -> Outcome:
    jobs = Jobs()
    jobs.handler("t")(function)
    async with running_pool(jobs) as bench:
        return await bench.run(claimed("t", payload, **fields))


async def test_success_carries_the_value_as_json(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(job: Job, a: int) -> dict[str, Any]:
        await trio.sleep(1)  # virtual
        return {"twice": 2 * a, "attempt": job.attempt}

    outcome = await outcome_of(handler, {"a": 4})
    assert (outcome.kind, outcome.result, outcome.failure) == ("succeeded", '{"twice":8,"attempt":1}', None)


async def test_none_is_no_result() -> None:
    async def handler() -> None: ...

    assert (await outcome_of(handler)).result is None


async def test_payload_that_does_not_fit_is_final_and_never_runs() -> None:
    ran = False

    async def handler(a: int) -> None:
        nonlocal ran
        ran = True

    outcome = await outcome_of(handler, {"a": "x"})
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert outcome.failure.kind == "bad_payload"
    assert "$.a" in outcome.failure.message
    assert not ran


async def test_exception_is_retried_after_the_jobs_own_back_off() -> None:
    async def handler() -> NoReturn:
        raise ValueError("the disk is full")

    outcome = await outcome_of(handler, attempt=2, backoff=retry.Backoff(kind="linear", base=7))
    assert (outcome.kind, outcome.delay_us) == ("retried", 14_000_000)
    assert outcome.failure is not None
    assert outcome.failure.kind == "exception"
    assert outcome.failure.message == "ValueError: the disk is full"
    assert outcome.failure.traceback is not None
    assert "in handler" in outcome.failure.traceback
    assert "tickr/worker" not in outcome.failure.traceback


async def test_last_attempt_fails() -> None:
    async def handler() -> NoReturn:
        raise ValueError

    outcome = await outcome_of(handler, attempt=3, max_attempts=3)
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert outcome.failure.message == "ValueError"


async def test_give_up_is_final_and_retry_later_takes_its_own_delay() -> None:
    async def gives_up() -> NoReturn:
        async with trio.open_nursery():  # which wraps it into a group
            raise GiveUp("no such account")

    async def later() -> NoReturn:
        raise RetryLater(12.5, "rate limited")

    outcome = await outcome_of(gives_up)
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("give_up", "no such account")

    outcome = await outcome_of(later)
    assert (outcome.kind, outcome.delay_us) == ("retried", 12_500_000)
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("retry_later", "rate limited")
    assert (await outcome_of(later, attempt=3)).kind == "failed"


class Endless:
    """Holds itself: no end when it is written."""

    def __init__(self) -> None:
        self.inner = [self]


async def a_coroutine() -> None: ...


async def an_async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: math.nan,
        lambda: {"a": [1, {"b": -math.inf}, None]},
        lambda: object(),
        lambda: "\ud800",
        lambda: {(1, 2): 3},
        lambda: (n for n in range(3)),
        lambda: "x" * 1_000,
        lambda: Endless(),
        a_coroutine,
        an_async_generator,
    ],
)
async def test_what_json_cannot_hold_is_a_bad_result(make: Any) -> None:
    async def handler() -> Any:
        return make()

    outcome = await outcome_of(handler)
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert outcome.failure.kind == "bad_result"


async def test_null_in_a_result_is_no_fault() -> None:
    async def handler() -> Any:
        return {"a": None, "b": "null", "c": 1.5}

    assert (await outcome_of(handler)).result == '{"a":null,"b":"null","c":1.5}'


class Nasty(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")


class Huge(Exception):
    def __str__(self) -> str:
        return "line\n" * 1_000_000 + "\ud800"


def deep(n: int) -> int:
    return deep(n + 1)


async def raise_system_exit() -> None:
    sys.exit(3)


async def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


async def raise_generator_exit() -> None:
    raise GeneratorExit


async def raise_stop_iteration() -> None:
    next(iter(()))


async def raise_stop_async_iteration() -> None:
    raise StopAsyncIteration


async def raise_memory_error() -> None:
    raise MemoryError


async def raise_recursion_error() -> None:
    deep(0)


async def raise_nasty() -> None:
    raise Nasty


async def raise_huge() -> None:
    raise Huge


async def raise_huge_group() -> None:
    raise BaseExceptionGroup("many", [ValueError(f"{n}" * 1_000) for n in range(1_000)])


async def crash_in_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(raise_system_exit)
        nursery.start_soon(raise_generator_exit)


async def _stray_cancelled() -> trio.Cancelled:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            return cancelled
    raise AssertionError


async def raise_stray_cancelled() -> None:
    raise await _stray_cancelled()


async def raise_group_with_cancelled() -> None:
    raise BaseExceptionGroup("mixed", [await _stray_cancelled(), ValueError("and this")])


def plain_system_exit() -> None:
    sys.exit(3)


def plain_recursion() -> None:
    deep(0)


@pytest.mark.parametrize(
    "function",
    [
        raise_system_exit,
        raise_keyboard_interrupt,
        raise_generator_exit,
        raise_stop_iteration,
        raise_stop_async_iteration,
        raise_memory_error,
        raise_recursion_error,
        raise_nasty,
        raise_huge,
        raise_huge_group,
        crash_in_nursery,
        raise_stray_cancelled,
        raise_group_with_cancelled,
        plain_system_exit,
        plain_recursion,
    ],
    ids=lambda function: function.__name__,
)
async def test_nothing_a_handler_raises_takes_the_node_down(function: Any) -> None:
    jobs = Jobs()
    jobs.handler("wild")(function)
    jobs.handler("tame")(a_coroutine)
    async with running_pool(jobs, slots=1) as bench:
        outcome = await bench.run(claimed("wild"))
        assert outcome.kind == "retried"
        failure = outcome.failure
        assert failure is not None
        assert failure.kind == "exception"
        assert len(failure.message.encode()) <= 4 * 1024
        assert "\n" not in failure.message
        assert len((failure.traceback or "").encode()) <= 16 * 1024
        assert (await bench.run(claimed("tame"))).kind == "succeeded"


@pytest.mark.filterwarnings("ignore:.*was garbage collected")
async def test_scopes_and_nurseries_left_open_harm_no_other_job() -> None:
    async def ticks() -> AsyncIterator[int]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            while True:
                yield 1

    async def leaves_nursery() -> str:
        keep.append(ticks())
        async for _ in keep[0]:
            break
        return "done"

    async def leaves_scope() -> str:
        trio.move_on_after(0.001).__enter__()  # would hit whatever runs in this task next
        return "done"

    keep: list[AsyncIterator[int]] = []
    jobs = Jobs()
    jobs.handler("nursery")(leaves_nursery)
    jobs.handler("scope")(leaves_scope)
    jobs.handler("tame")(a_coroutine)
    async with running_pool(jobs, slots=1) as bench:
        for type in ("nursery", "tame", "scope", "tame"):
            assert (await bench.run(claimed(type))).kind == "succeeded"


async def test_what_a_handler_sets_in_its_context_is_its_own() -> None:
    variable = contextvars.ContextVar("variable", default="clean")

    async def handler() -> str:
        before = variable.get()
        variable.set("dirty")
        return before

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(3):
            assert (await bench.run(claimed("t"))).result == '"clean"'


# -- stops ------------------------------------------------------------------------------------------------------------

EXPECTED = {
    StopReason.CANCELLED: ("cancelled", "cancelled"),
    StopReason.SHUTDOWN: ("released", "shutdown"),
    StopReason.LEASE_LOST: ("released", "lease_lost"),
}


@pytest.mark.parametrize("reason", EXPECTED)
async def test_the_reason_of_a_stop_decides(reason: StopReason, autojump_clock: trio.testing.MockClock) -> None:
    left = False

    async def handler() -> None:
        nonlocal left
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)  # virtual
            left = True
            raise ValueError("on the way out")

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job, other = claimed("t"), claimed("t")
        bench.pool.start([job, other])
        await trio.testing.wait_all_tasks_blocked()
        assert not bench.pool.stop(job.id, reason, fence=job.fence + 1), "another attempt than the one that runs"
        assert bench.pool.stop(job.id, reason, fence=job.fence)
        bench.pool.stop(job.id, StopReason.SHUTDOWN)  # the first reason stands
        outcome = await bench.outcomes.next()
        assert left, "the outcome comes after the handler has ended"
        assert outcome.job is job
        assert outcome.failure is not None
        assert (outcome.kind, outcome.failure.kind) == EXPECTED[reason]
        assert bench.pool.running == [other]
        bench.pool.stop_all(StopReason.SHUTDOWN)


@pytest.mark.parametrize(("attempt", "kind"), [(1, "retried"), (3, "failed")])
async def test_timeout_spends_an_attempt(attempt: int, kind: str, autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    outcome = await outcome_of(trio.sleep_forever, attempt=attempt, timeout_us=2_500_000)
    assert trio.current_time() - began_at == pytest.approx(2.5)
    assert outcome.kind == kind
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("timeout", "Not done within 2.5 s.")


async def test_timeout_before_a_stop_stays_a_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)  # virtual

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t", timeout_us=1_000_000)
        bench.pool.start([job])
        await trio.sleep(1.5)  # virtual
        bench.pool.stop(job.id, StopReason.CANCELLED)
        outcome = await bench.outcomes.next()
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"


async def test_success_in_spite_of_a_stop_is_a_success(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "just finished"
        raise AssertionError

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(job.id, StopReason.CANCELLED)
        assert (await bench.outcomes.next()).kind == "succeeded"


async def test_stop_before_the_start_runs_nothing(autojump_clock: trio.testing.MockClock) -> None:
    ran: list[int] = []

    async def handler(n: int) -> None:
        ran.append(n)

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs, slots=2) as bench:
        first, second = claimed("t", {"n": 1}), claimed("t", {"n": 2})
        bench.pool.start([first, second])
        bench.pool.stop(second.id, StopReason.CANCELLED)
        kinds = {(await bench.outcomes.next()).kind for _ in range(2)}
        assert kinds == {"succeeded", "cancelled"}
        assert ran == [1]


async def test_cancelled_from_outside_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async def handler() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            raise BaseExceptionGroup("mixed", [cancelled, ValueError("and this")]) from None

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        bench.pool.start([claimed("t")])
        await trio.testing.wait_all_tasks_blocked()
        bench.tasks.cancel_scope.cancel()
    assert bench.outcomes.all == []
    assert bench.pool.running == []


async def test_end_of_run_stops_everything(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    outcomes = Outcomes()
    pool = Pool(jobs, outcomes, node="n", slots=2, max_result_bytes=1_000)
    async with trio.open_nursery() as tasks:
        with trio.move_on_after(1):
            pool.start([claimed("t")])
            await pool.run(tasks)
    assert [outcome.kind for outcome in outcomes.all] == ["released"]


# -- those that do not stop -------------------------------------------------------------------------------------------


class Deaf:
    """A handler that ignores its cancellation until ``release`` is set, and counts how often it was told."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.told = 0

    async def __call__(self) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ignore)
        return "too late"

    async def _ignore(self) -> None:
        with trio.CancelScope(shield=True):  # a loop on a cancellation is never idle: no virtual clock would move
            await trio.sleep(70)  # virtual
        while not self.release.is_set():
            try:
                await self.release.wait()
            except trio.Cancelled:
                self.told += 1


@pytest.mark.parametrize(
    ("reason", "kind"), [(None, "retried"), (StopReason.CANCELLED, "cancelled"), (StopReason.SHUTDOWN, "released")]
)
async def test_a_handler_that_does_not_stop_is_left_behind(
    reason: StopReason | None, kind: str, autojump_clock: trio.testing.MockClock
) -> None:
    deaf = Deaf()
    jobs = Jobs()
    jobs.handler("deaf")(deaf)
    jobs.handler("tame")(a_coroutine)
    with capture_logs() as lines:
        async with running_pool(jobs, slots=1, unresponsive_after_s=5) as bench:
            job = claimed("deaf", timeout_us=60_000_000)
            bench.pool.start([job])
            await trio.testing.wait_all_tasks_blocked()
            began_at = trio.current_time()
            if reason is not None:
                bench.pool.stop(job.id, reason)
            outcome = await bench.outcomes.next()
            assert 5 <= trio.current_time() - began_at - (60 if reason is None else 0) <= 6.5
            assert outcome.kind == kind
            assert outcome.failure is not None
            assert outcome.failure.kind == "unresponsive"
            assert "_ignore" in (outcome.failure.traceback or "")
            assert [(zombie.job_id, zombie.where) for zombie in bench.pool.zombies] == [(job.id, "task")]
            assert bench.pool.free == 1
            await trio.sleep(70)  # virtual
            assert (await bench.run(claimed("tame"))).kind == "succeeded", "its slot works again"

            told = deaf.told
            await trio.sleep(10)  # virtual
            assert 0 < deaf.told - told <= 12, "it is reminded once a second, and does not spin"
            deaf.release.set()
            await trio.testing.wait_all_tasks_blocked()
            assert bench.pool.zombies == []
            assert len(bench.outcomes.all) == 2, "what it did in the end counts for nothing"
    said = [line["event"] for line in lines if line.get("job") == job.id]
    assert said.count("job.left_behind") == said.count("job.left_behind_ended") == 1
    assert "job.succeeded" not in said


async def test_zombies_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    deaf = Deaf()
    jobs = Jobs()
    jobs.handler("deaf")(deaf)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(2):
            await bench.run(claimed("deaf", timeout_us=1))
        assert len(bench.pool.zombies) == 2
        assert bench.pool.free == 0
        with trio.move_on_after(100) as waiting:
            await bench.pool.wait_free()
        assert waiting.cancelled_caught
        deaf.release.set()
        assert await bench.pool.wait_free() == 1


# -- threads and processes ---------------------------------------------------------------------------------------------


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
    gc.collect()


# -- slots and the log ------------------------------------------------------------------------------------------------


async def test_slots(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs, slots=2) as bench:
        assert await bench.pool.wait_free() == 2
        first, second = claimed("t"), claimed("t")
        bench.pool.start([first])
        assert await bench.pool.wait_free() == 1
        bench.pool.start([second])
        assert bench.pool.holds(second.id, second.fence)
        assert not bench.pool.holds(second.id, second.fence + 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.pool.wait_free)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks, "no slot, so it waits"
            bench.pool.stop(first.id, StopReason.CANCELLED)
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_the_log_tells_each_step_without_payload_or_result() -> None:
    async def handler(word: str) -> dict[str, str]:
        if word == "fail":
            raise ValueError("no")
        return {"answer": "RESULT-SECRET"}

    jobs = Jobs()
    jobs.handler("t")(handler)
    with capture_logs() as lines:
        async with running_pool(jobs) as bench:
            ok = await bench.run(claimed("t", {"word": "PAYLOAD-SECRET"}))
            await bench.run(claimed("t", {"word": "fail"}))
            await bench.run(claimed("t", {"word": "fail"}, attempt=3))
            await bench.run(claimed("t", {"PAYLOAD-SECRET": 1}))
    assert [line["event"] for line in lines] == [
        *("job.started", "job.succeeded"),
        *("job.started", "job.retrying"),
        *("job.started", "job.failed"),
        *("job.started", "job.failed"),
    ]
    assert {"job": ok.job.id, "type": "t", "attempt": 1, "node": "node-1"}.items() <= lines[1].items()
    assert lines[1]["duration_s"] >= 0
    assert lines[3] | {"error": "exception", "message": "ValueError: no", "delay_s": 10.0} == lines[3]
    assert "SECRET" not in str(lines)
