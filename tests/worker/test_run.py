"""One attempt from claimed job to outcome: what the handler returned or raised decides."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.worker.attempts import claimed, outcome_of, running_pool
from tickr import retry
from tickr.reasons import Failure
from tickr.worker.endings import Drop, GiveUp, RetryLater, Snooze
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job


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


async def test_what_is_put_off_costs_no_attempt_be_it_the_last() -> None:
    async def nothing_yet() -> NoReturn:
        raise Snooze(90, "the file is not there yet")

    outcome = await outcome_of(nothing_yet, attempt=3, max_attempts=3)
    assert (outcome.kind, outcome.delay_us) == ("released", 90_000_000)
    assert outcome.failure == Failure("snoozed", "the file is not there yet")
    again = outcome.apply(outcome.job, 1_000)
    assert (again.state, again.attempt, again.run_at) == ("ready", 2, 90_001_000)


async def test_what_is_dropped_is_cancelled_and_no_failure() -> None:
    async def paid() -> NoReturn:
        raise Drop("it was paid meanwhile")

    outcome = await outcome_of(paid)
    assert (outcome.kind, outcome.failure) == ("cancelled", Failure("dropped", "it was paid meanwhile"))
    assert outcome.apply(outcome.job, 1_000).state == "cancelled"


@pytest.mark.parametrize("group", [False, True])
async def test_an_error_to_give_up_on_is_final_with_its_traceback_and_others_are_not(group: bool) -> None:
    async def looks(key: int) -> int:
        if not group:
            return {7: 7}[key] // 0
        async with trio.open_nursery():
            return {7: 7}[key] // 0

    outcome = await outcome_of(looks, {"key": 8}, options={"give_up_on": (LookupError, TypeError)})
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("give_up", "KeyError: 8")
    assert "in looks" in str(outcome.failure.traceback)
    outcome = await outcome_of(looks, {"key": 7}, options={"give_up_on": (LookupError, TypeError)})
    assert (outcome.kind, outcome.delay_us) == ("retried", 10_000_000)


async def test_a_function_says_how_long_to_wait() -> None:
    asked: list[tuple[int, BaseException]] = []

    def pause(attempt: int, error: BaseException) -> float:
        asked.append((attempt, error))
        return 2.5 * attempt

    async def fails() -> NoReturn:
        raise ConnectionError("away")

    async def later() -> NoReturn:
        raise RetryLater(12.5)

    outcome = await outcome_of(fails, attempt=2, options={"backoff": pause})
    assert (outcome.kind, outcome.delay_us) == ("retried", 5_000_000)
    assert [(attempt, repr(error)) for attempt, error in asked] == [(2, "ConnectionError('away')")]
    assert (await outcome_of(later, attempt=2, options={"backoff": pause})).delay_us == 12_500_000
    assert (await outcome_of(fails, attempt=3, options={"backoff": pause})).kind == "failed"
    assert len(asked) == 1


async def test_a_function_is_asked_after_a_time_out(autojump_clock: trio.testing.MockClock) -> None:
    def pause(attempt: int, error: BaseException) -> float | None:
        return 7 if isinstance(error, TimeoutError) else None

    async def sleeps() -> None:
        await trio.sleep_forever()

    outcome = await outcome_of(sleeps, options={"backoff": pause}, timeout_us=1_000_000)
    assert (outcome.kind, outcome.delay_us) == ("retried", 7_000_000)


@pytest.mark.parametrize("given", [None, -1, math.nan, math.inf, "soon", ZeroDivisionError])
async def test_a_function_that_does_not_say_leaves_it_to_the_jobs_own_back_off(given: Any) -> None:
    def pause(attempt: int, error: BaseException) -> float | None:
        if given is ZeroDivisionError:
            raise given
        return given  # type: ignore[no-any-return]

    async def fails() -> NoReturn:
        raise ValueError

    with capture_logs() as logs:
        outcome = await outcome_of(fails, options={"backoff": pause})
    assert (outcome.kind, outcome.delay_us) == ("retried", 10_000_000)
    assert ("job.backoff_failed" in [line["event"] for line in logs]) == (given is not None)


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
    assert {"error": "exception", "message": "ValueError: no", "delay_s": 10.0}.items() <= lines[3].items()
    assert "SECRET" not in str(lines)
