"""The span of an attempt: whose child it is, what it says, and what nests in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from tests.otel.spans import STATE, TRACED, Spans, parent_of, traceparent
from tests.test_traces import PARENT, SPAN_ID, TRACE_ID
from tests.worker.attempts import claimed, running_pool
from tests.worker.test_job_headers import headers_in
from tests.worker.web import reply, serving
from tickr import otel
from tickr.worker import builtin
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job


async def a_coroutine() -> None: ...


async def test_an_attempt_is_a_span_in_the_trace_of_its_submission() -> None:
    spans = Spans()
    outcome = await spans.outcome_of(a_coroutine, queue="slow", attempt=2, fence=5, **TRACED)
    (span,) = spans.ended
    assert (span.name, span.kind) == ("process slow", trace.SpanKind.CONSUMER)
    assert traceparent(span)[:36] == PARENT[:36]
    assert parent_of(span) == SPAN_ID
    assert span.parent is not None
    assert span.parent.is_remote
    assert [f"{link.context.span_id:016x}" for link in span.links] == [SPAN_ID]
    assert span.get_span_context().trace_state.to_header() == STATE  # type: ignore[union-attr]
    assert dict(span.attributes or {}) == {
        "messaging.system": "tickr",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "slow",
        "messaging.message.id": outcome.job.id,
        "messaging.tickr.job.type": "t",
        "messaging.tickr.attempt": 2,
        "messaging.tickr.fence": 5,
        "messaging.tickr.outcome": "succeeded",
    }
    assert span.status.status_code is trace.StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "tickr"


def test_the_names_are_those_of_the_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes import messaging_attributes as names
    from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

    known = {value for name, value in vars(names).items() if name.startswith("MESSAGING_")}
    used = otel._attributes(Job(claimed("t"))).keys()
    assert {name for name in used if not name.startswith("messaging.tickr.")} <= known
    assert names.MessagingOperationTypeValues.PROCESS.value == otel.OPERATION
    assert ERROR_TYPE == "error.type"


async def test_a_job_without_a_trace_begins_one() -> None:
    spans = Spans()
    seen: list[Job] = []

    async def handler(job: Job) -> None:
        seen.append(job)

    await spans.outcome_of(handler)
    (span,) = spans.ended
    assert (span.parent, span.links) == (None, ())
    assert seen[0].traceparent == traceparent(span)


async def test_what_the_handler_does_nests_in_it() -> None:
    spans = Spans()

    async def in_loop(job: Job) -> None:
        with spans.tracer.start_as_current_span("inner"):
            assert job.traceparent is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_a_task)

    async def in_a_task() -> None:
        with spans.tracer.start_as_current_span("in a task"):
            await trio.lowlevel.checkpoint()

    def in_thread(job: Job) -> None:
        with spans.tracer.start_as_current_span("inner"):
            pass

    for handler in (in_loop, in_thread):
        before = len(spans.ended)
        await spans.outcome_of(handler, **TRACED)
        *inner, span = spans.ended[before:]
        assert inner
        assert {parent_of(one) for one in inner} == {traceparent(span)[36:52]}


async def test_nothing_of_it_is_left_for_the_next_job() -> None:
    spans = Spans()
    tasks: set[trio.lowlevel.Task] = set()
    jobs = Jobs()

    async def handler(job: Job) -> None:
        tasks.add(trio.lowlevel.current_task())

    async def untraced() -> bool:
        tasks.add(trio.lowlevel.current_task())
        return trace.get_current_span().get_span_context().is_valid

    jobs.handler("t", middleware=[otel.middleware(spans.provider)])(handler)
    jobs.handler("untraced")(untraced)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(3):
            await bench.run(claimed("t", **TRACED))
            assert (await bench.run(claimed("untraced"))).result == "false"
    assert len(tasks) == 1, "its task is fit for others, too"


async def test_a_span_around_it_is_linked() -> None:
    """Not its parent: that is the submission. Without one it is the parent."""
    spans = Spans()

    @contextlib.asynccontextmanager
    async def around(job: Job) -> AsyncIterator[None]:
        with spans.tracer.start_as_current_span("around"):
            yield

    jobs = Jobs()
    jobs.middleware(around)
    jobs.middleware(otel.middleware(spans.provider, name=lambda job: f"run {job.type}"))
    jobs.handler("t")(a_coroutine)
    async with running_pool(jobs) as bench:
        await bench.run(claimed("t", **TRACED))
        await bench.run(claimed("t"))
    first, around_first, second, around_second = spans.ended
    assert (first.name, around_first.name) == ("run t", "around")
    assert parent_of(first) == SPAN_ID
    assert [f"{link.context.span_id:016x}" for link in first.links] == [SPAN_ID, traceparent(around_first)[36:52]]
    assert parent_of(second) == traceparent(around_second)[36:52]
    assert second.links == ()


# -- where the trace goes on ------------------------------------------------------------------------------------------


async def test_an_http_job_goes_on_from_it() -> None:
    spans = Spans()
    jobs = Jobs()
    jobs.middleware(otel.middleware(spans.provider))
    builtin.register(jobs, http_allow_private=True, smtp=None)
    async with serving(reply("200 OK")) as server, running_pool(jobs) as bench:
        assert (await bench.run(claimed("http", {"url": server.url()}, **TRACED))).kind == "succeeded"
    (span,) = spans.ended
    sent = headers_in(server.requests[0])
    assert (sent["traceparent"], sent["tracestate"]) == (traceparent(span), STATE)


def in_process(job: Job) -> str | None:
    return job.headers()["traceparent"]


@pytest.mark.slow
async def test_a_process_goes_on_from_it() -> None:
    spans = Spans()
    jobs = Jobs()
    jobs.middleware(otel.middleware(spans.provider))
    jobs.handler("t", run_in="process")(in_process)
    async with running_pool(jobs) as bench:
        with trio.fail_after(60):
            outcome = await bench.run(claimed("t", **TRACED))
    assert outcome.result == f'"{traceparent(spans.ended[0])}"'


async def test_what_is_not_sampled_says_so() -> None:
    spans = Spans(ParentBased(ALWAYS_OFF))
    seen: list[str | None] = []

    async def handler(job: Job) -> None:
        seen.append(job.traceparent)

    await spans.outcome_of(handler)
    await spans.outcome_of(handler, **TRACED)
    assert len(spans.ended) == 1, "the submission's was sampled, and so is its child"
    assert [int(str(one)[-2:], 16) & 1 for one in seen] == [0, 1]
    assert str(seen[1])[:36] == PARENT[:36]


async def test_without_an_sdk_the_trace_is_passed_on_as_it_is() -> None:
    seen: list[Any] = []

    async def handler(job: Job) -> None:
        seen.append((job.traceparent, job.tracestate, job.headers()["traceparent"]))

    jobs = Jobs()
    jobs.middleware(otel.middleware(trace.NoOpTracerProvider()))
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        await bench.run(claimed("t", **TRACED))
    ((parent, state, sent),) = seen
    assert (parent, state) == (PARENT, STATE)
    assert sent[:36] == f"00-{TRACE_ID}-"
