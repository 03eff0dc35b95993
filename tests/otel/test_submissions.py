"""The trace of whoever submits: by a handle, by the client, by hand; and nobody has to have OpenTelemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

import tickr
from tests.client.faces import face
from tests.features.conftest import node
from tests.otel.spans import Spans, parent_of, traceparent
from tests.processes import TickrProcess
from tests.test_traces import PARENT
from tests.worker.attempts import claimed
from tickr import otel
from tickr.worker.view import Job

ROOT = Path(__file__).parent.parent.parent


def test_nothing_is_current_outside_of_a_span() -> None:
    assert otel.current() == {}


def test_the_current_span_is_told_as_a_submission_has_it() -> None:
    spans = Spans()
    with spans.tracer.start_as_current_span("request") as span:
        assert otel.current() == {"traceparent": traceparent(span)}  # type: ignore[arg-type]
    assert otel.current() == {}


def test_a_long_state_is_cut_to_what_a_submission_takes() -> None:
    members = [(f"key{number}", "v" * 60) for number in range(20)]
    where = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState(members))
    with trace.use_span(NonRecordingSpan(where)):
        found = otel.current()
    assert found["traceparent"] == f"00-{1:032x}-{2:016x}-01"
    assert 0 < len(found["tracestate"]) <= 512
    assert Job(claimed("t")).set_trace(**found) is None


async def test_from_a_submission_through_a_handler_to_the_next_job_it_is_one_trace() -> None:
    """And for jobs that have none, none is made at submission."""
    spans = Spans()
    jobs = tickr.Jobs()
    jobs.middleware(otel.middleware(spans.provider))

    @jobs.handler("first")
    async def first() -> None:
        await client.handle.submit("second", **otel.current())

    @jobs.handler("second")
    async def second(job: tickr.Job) -> str | None:
        return job.traceparent

    async with node(jobs, store="memory:", index="heap:") as client:
        with spans.tracer.start_as_current_span("request") as request:
            submitted = await client.handle.submit("first", **otel.current())
        assert submitted.extras.traceparent == traceparent(request)  # type: ignore[arg-type]
        await client.until_final(submitted.id)
        (following,) = (await client.http.get("/jobs?type=second")).json()["items"]
        done = await client.until_final(following["id"])
        assert (await client.handle.submit("second")).extras.traceparent is None
    of = {(span.attributes or {}).get("messaging.message.id"): span for span in spans.ended}
    assert parent_of(of[submitted.id]) == traceparent(of[None])[36:52]
    assert following["traceparent"] == traceparent(of[submitted.id])
    assert parent_of(of[following["id"]]) == traceparent(of[submitted.id])[36:52]
    assert done["result"] == traceparent(of[following["id"]])
    assert done["result"][:36] == traceparent(of[None])[:36]


@pytest.mark.slow
def test_the_client_hands_in_the_trace_of_its_caller(shared_tickr: TickrProcess) -> None:
    """Each caller's own, in whatever batch its job travels."""
    spans = Spans()
    with face("threads", shared_tickr.url, trace=otel.current) as client:
        with spans.tracer.start_as_current_span("request") as span:
            one = client.submit("nothing")
            given = client.submit("nothing", traceparent=PARENT, tracestate="a=1")
            two, three = client.submit_many([{"type": "nothing"}, {"type": "nothing", "traceparent": PARENT}])
        none = client.submit("nothing")
        shown = [client.get(job).traceparent for job in (one, given, two, three, none)]
    here = traceparent(span)  # type: ignore[arg-type]
    assert shown == [here, PARENT, here, PARENT, None]


# -- the extra --------------------------------------------------------------------------------------------------------


def python(program: str) -> str:
    """Run ``program`` and return what it prints; the error of an import, if that fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_without_the_extra_it_says_what_to_install() -> None:
    said = python("import sys; sys.modules['opentelemetry'] = None; import tickr.otel")
    assert "ImportError: tickr.otel needs OpenTelemetry: pip install 'tickr[otel]'" in said


@pytest.mark.slow
def test_nobody_loads_it_who_did_not_ask_for_it() -> None:
    """Others may: redis-py does where it is there."""
    assert python("import sys, tickr.service, tickr.cli; print('tickr.otel' in sys.modules)") == "False\n"
    assert python("import sys, tickr, tickr.client; print('opentelemetry' in sys.modules)") == "False\n"
