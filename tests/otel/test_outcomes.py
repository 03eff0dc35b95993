"""How an attempt ended, as its span tells it: outcome, status, error and nothing that it must not tell."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
import trio
import trio.testing
from opentelemetry import trace

from tests.otel.spans import Spans
from tests.worker.attempts import claimed, running_pool
from tickr import otel
from tickr.worker.attempt import StopReason
from tickr.worker.endings import GiveUp, RetryLater
from tickr.worker.failures import HandlerBlocked
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job


class Nasty(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")


def raising(error: BaseException) -> Any:
    async def handler() -> NoReturn:
        raise error

    return handler


async def raises_in_a_task() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raising(KeyError("k")))


async def unwritable() -> object:
    return object()


async def takes_a_number(a: int) -> None: ...


@pytest.mark.parametrize(
    ("handler", "payload", "outcome", "error_type", "message"),
    [
        (raising(ValueError("the disk is full")), None, "exception", "ValueError", "the disk is full"),
        (raises_in_a_task, None, "exception", "KeyError", "'k'"),
        (raising(GiveUp("no such account")), None, "give_up", "tickr.worker.endings.GiveUp", "no such account"),
        (raising(RetryLater(5, "later")), None, "retry_later", "tickr.worker.endings.RetryLater", "later"),
        (raising(SystemExit(3)), None, "exception", "SystemExit", "3"),
        (raising(HandlerBlocked("too long")), None, "blocked", "tickr.worker.failures.HandlerBlocked", "too long"),
        (unwritable, None, "bad_result", "tickr.worker.failures.BadResult", "The result can not be written as JSON"),
        (takes_a_number, {"a": "SECRET"}, "bad_payload", "tickr.worker.arguments.BadPayload", None),
        (takes_a_number, {"SECRET": 1}, "bad_payload", "tickr.worker.arguments.BadPayload", None),
        (raising(Nasty()), None, "exception", "tests.otel.test_outcomes.Nasty", "<its text can not be had"),
        (raising(ValueError("x" * 1_000_000)), None, "exception", "ValueError", "x" * 1_000),
    ],
)
async def test_an_error_is_told(handler: Any, payload: Any, outcome: str, error_type: str, message: str | None) -> None:
    spans = Spans()
    ended = await spans.outcome_of(handler, payload)
    assert ended.failure is not None
    assert ended.failure.kind == outcome
    (span,) = spans.ended
    attributes = dict(span.attributes or {})
    assert (attributes["messaging.tickr.outcome"], attributes["error.type"]) == (outcome, error_type)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "SECRET" not in span.to_json()
    assert len(span.to_json()) < 64 * 1024
    if message is None:
        assert span.events == ()
        return
    assert message in (span.status.description or "")
    (event,) = span.events
    told = dict(event.attributes or {})
    assert event.name == "exception"
    assert told["exception.type"] == error_type
    assert str(told["exception.message"]).startswith(message)
    assert (handler is unwritable) or "in handler" in str(told["exception.stacktrace"])


STOPS = {StopReason.CANCELLED: "cancelled", StopReason.SHUTDOWN: "shutdown", StopReason.LEASE_LOST: "lease_lost"}


@pytest.mark.parametrize("reason", STOPS)
async def test_a_stop_is_no_error(reason: StopReason, autojump_clock: trio.testing.MockClock) -> None:
    spans = Spans()
    jobs = Jobs()
    jobs.middleware(otel.middleware(spans.provider))
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(job.id, reason)
        await bench.outcomes.next()
    (span,) = spans.ended
    attributes = dict(span.attributes or {})
    assert attributes["messaging.tickr.outcome"] == STOPS[reason]
    assert "error.type" not in attributes
    assert (span.status.status_code, span.events) == (trace.StatusCode.UNSET, ())


async def test_a_timeout_is_one(autojump_clock: trio.testing.MockClock) -> None:
    spans = Spans()
    await spans.outcome_of(trio.sleep_forever, timeout_us=1_000_000)
    (span,) = spans.ended
    attributes = dict(span.attributes or {})
    assert (attributes["messaging.tickr.outcome"], attributes["error.type"]) == ("timeout", "timeout")
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "timeout")


async def test_the_end_of_the_program_is_none(autojump_clock: trio.testing.MockClock) -> None:
    spans = Spans()
    jobs = Jobs()
    jobs.middleware(otel.middleware(spans.provider))
    jobs.handler("t")(trio.sleep_forever)
    async with running_pool(jobs) as bench:
        bench.pool.start([claimed("t")])
        await trio.testing.wait_all_tasks_blocked()
        bench.tasks.cancel_scope.cancel()
    (span,) = spans.ended
    assert dict(span.attributes or {})["messaging.tickr.outcome"] == "shutdown"


async def test_a_thread_that_does_not_stop() -> None:
    spans = Spans()
    end = threading.Event()
    jobs = Jobs()
    jobs.middleware(otel.middleware(spans.provider))
    jobs.handler("t")(end.wait)
    async with running_pool(jobs, unresponsive_after_s=0.05) as bench:
        await bench.run(claimed("t", timeout_us=50_000))
        (span,) = spans.ended
        assert dict(span.attributes or {})["messaging.tickr.outcome"] == "unresponsive"
        end.set()


async def test_what_an_outer_one_makes_of_an_error_is_its_own() -> None:
    spans = Spans()

    @contextlib.asynccontextmanager
    async def swallows(job: Job) -> AsyncIterator[None]:
        with contextlib.suppress(ValueError):
            yield

    jobs = Jobs()
    jobs.middleware(swallows)
    jobs.middleware(otel.middleware(spans.provider))
    jobs.handler("t")(raising(ValueError("seen by the span")))
    async with running_pool(jobs) as bench:
        assert (await bench.run(claimed("t"))).kind == "succeeded"
    assert spans.ended[0].status.status_code is trace.StatusCode.ERROR
