"""Middleware round an attempt: its order, what it sees, which errors it makes and deals with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from tests.worker.attempts import claimed, running_pool
from tests.worker.wrapped import (
    Steps,
    a_coroutine,
    kind_of,
    noting,
    outcome_within,
    raises,
    raising,
    swallows,
    swallows_nothing,
)
from tickr.worker.endings import GiveUp, RetryLater
from tickr.worker.handlers import Jobs
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

# -- order, and what is seen ------------------------------------------------------------------------------------------


async def test_the_first_is_outermost() -> None:
    steps: Steps = []

    async def handler() -> str:
        steps.append("handler")
        return "done"

    outcome = await outcome_within([noting(steps, "a"), noting(steps, "b")], handler)
    assert steps == ["a in", "b in", "handler", "b out", "a out"]
    assert outcome.result == '"done"'


async def test_an_error_goes_through_all_of_them() -> None:
    steps: Steps = []
    outcome = await outcome_within([noting(steps, "a"), noting(steps, "b")], raises)
    assert steps == ["a in", "b in", "b ValueError", "a ValueError"]
    assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")
    assert outcome.failure is not None
    assert "in raises" in (outcome.failure.traceback or "")
    assert "tickr/worker" not in (outcome.failure.traceback or "")


async def test_it_sees_the_job_and_what_became_of_it() -> None:
    seen: list[Any] = []

    @contextlib.asynccontextmanager
    async def sees(job: Job) -> AsyncIterator[None]:
        seen.append((job.id, job.type, job.queue, job.payload, job.attempt, job.fence, job.labels, job.result))
        await job.log("from the middleware")
        yield
        seen.append(job.result)

    async def handler(job: Job, a: int) -> dict[str, int]:
        seen.append(job.result)
        return {"twice": 2 * a}

    job = claimed("t", {"a": 1}, queue="q", attempt=2, fence=5, labels='{"x":"y"}')
    jobs = Jobs()
    jobs.middleware(sees)
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        await bench.run(job)
        assert bench.outcomes.in_line[0].message == "from the middleware"  # type: ignore[union-attr]
    assert seen == [(job.id, "t", "q", {"a": 1}, 2, 5, {"x": "y"}, None), None, {"twice": 2}]


@pytest.mark.parametrize("payload", ['{"a":"x"}', "17"])
async def test_a_payload_that_does_not_fit_is_seen_as_the_error_it_is(payload: str) -> None:
    steps: Steps = []

    async def handler(a: int) -> None:
        steps.append("ran")

    outcome = await outcome_within(noting(steps, "a"), handler, payload)
    assert steps == ["a in", "a BadPayload"]
    assert (outcome.kind, kind_of(outcome)) == ("failed", "bad_payload")


async def test_a_result_that_can_not_be_kept_is_seen_as_the_error_it_is() -> None:
    steps: Steps = []

    async def handler() -> object:
        return object()

    outcome = await outcome_within(noting(steps, "a"), handler)
    assert steps == ["a in", "a BadResult"]
    assert (outcome.kind, kind_of(outcome)) == ("failed", "bad_result")


# -- errors of its own, and errors it deals with ----------------------------------------------------------------------


@pytest.mark.parametrize("at_exit", [False, True])
@pytest.mark.parametrize("function", [a_coroutine, raises])
async def test_its_own_error_is_the_attempts(at_exit: bool, function: Any) -> None:
    steps: Steps = []
    outcome = await outcome_within([noting(steps, "a"), raising(KeyError("its own"), at_exit=at_exit)], function)
    assert steps == ["a in", "a KeyError"]
    assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")
    assert outcome.failure is not None
    assert outcome.failure.message == "KeyError: 'its own'"
    assert "raises_its_own" in (outcome.failure.traceback or "")
    assert ("the handler's" in (outcome.failure.traceback or "")) == (at_exit and function is raises)


@pytest.mark.parametrize(
    ("error", "kind", "failure"),
    [(GiveUp("for good"), "failed", "give_up"), (RetryLater(7), "retried", "retry_later")],
)
@pytest.mark.parametrize("at_exit", [False, True])
async def test_it_may_decide_what_comes_next(error: Exception, kind: str, failure: str, at_exit: bool) -> None:
    outcome = await outcome_within(raising(error, at_exit=at_exit), raises)
    assert (outcome.kind, kind_of(outcome)) == (kind, failure)


async def test_a_swallowed_error_is_a_success_without_a_result() -> None:
    steps: Steps = []
    outcome = await outcome_within([noting(steps, "a"), swallows], raises)
    assert (outcome.kind, outcome.result, outcome.failure) == ("succeeded", None, None)
    assert steps == ["a in", "a out"]


async def test_a_swallowed_error_of_an_inner_one_leaves_the_result_that_there_is() -> None:
    async def handler() -> int:
        return 17

    outcome = await outcome_within([swallows, raising(ValueError(), at_exit=True)], handler)
    assert (outcome.kind, outcome.result) == ("succeeded", "17")


async def test_system_exit_takes_no_node_down() -> None:
    for at_exit in (False, True):
        outcome = await outcome_within(raising(SystemExit(3), at_exit=at_exit), a_coroutine)
        assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")


# -- those that are no context managers -------------------------------------------------------------------------------


def made(body: Callable[[Job], AsyncIterator[None]]) -> Middleware:
    return contextlib.asynccontextmanager(body)


async def never_yields(job: Job) -> AsyncIterator[None]:
    if job is None:
        yield


async def yields_twice(job: Job) -> AsyncIterator[None]:
    yield
    yield


async def yields_again_after_an_error(job: Job) -> AsyncIterator[None]:
    with contextlib.suppress(ValueError):
        yield
    yield


# Before Python 3.11.5 the standard library leaves such a generator to the collector, of which trio warns.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize(
    ("body", "function"),
    [(never_yields, a_coroutine), (yields_twice, a_coroutine), (yields_again_after_an_error, raises)],
)
async def test_one_that_does_not_yield_once_is_named(body: Any, function: Any) -> None:
    steps: Steps = []
    jobs = Jobs()
    jobs.middleware(noting(steps, "a"))
    jobs.handler("bad", middleware=[made(body)])(function)
    jobs.handler("good")(a_coroutine)
    async with running_pool(jobs, slots=1) as bench:
        outcome = await bench.run(claimed("bad"))
        assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")
        assert outcome.failure is not None
        assert f"{body.__qualname__} must yield once: generator did" in outcome.failure.message
        assert (await bench.run(claimed("good"))).kind == "succeeded"
    assert steps == ["a in", "a RuntimeError", "a in", "a out"]


async def test_a_handlers_own_context_manager_that_does_not_yield_is_the_handlers() -> None:
    async def handler(job: Job) -> None:
        async with made(never_yields)(job):
            raise AssertionError

    outcome = await outcome_within(swallows_nothing, handler)
    assert outcome.failure is not None
    assert outcome.failure.message == "RuntimeError: generator didn't yield"
    assert "in handler" in (outcome.failure.traceback or "")


async def test_what_it_returns_may_be_nothing_of_use() -> None:
    def returns_nonsense(job: Job) -> Any:
        return 17

    outcome = await outcome_within(returns_nonsense, a_coroutine)
    assert (outcome.kind, kind_of(outcome)) == ("retried", "exception")
    assert outcome.failure is not None
    assert "context manager" in outcome.failure.message


async def test_a_scope_left_open_harms_no_other_job() -> None:
    class LeavesOpen:
        def __init__(self, job: Job) -> None:
            self.scope = trio.CancelScope()

        async def __aenter__(self) -> None:
            self.scope.__enter__()

        async def __aexit__(self, *error: object) -> None:
            self.scope.cancel()

    jobs = Jobs()
    jobs.handler("open", middleware=[LeavesOpen])(a_coroutine)
    jobs.handler("tame")(trio.lowlevel.checkpoint)
    async with running_pool(jobs, slots=1) as bench:
        for type in ("open", "tame", "open", "tame"):
            assert (await bench.run(claimed(type))).kind == "succeeded"
