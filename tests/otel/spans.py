"""A tracer provider of the SDK that keeps its spans in memory, and jobs run inside ``tickr.otel.middleware``."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from tests.test_traces import PARENT
from tests.worker.attempts import claimed, running_pool
from tickr import otel
from tickr.jobs import Extras
from tickr.reports import Outcome
from tickr.worker.handlers import Jobs

STATE = "congo=t61rcWkgMzE"
TRACED: dict[str, Any] = {"extras": Extras(traceparent=PARENT, tracestate=STATE)}


class Spans:
    """Attributes: provider: to make spans with, as an application does."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.provider = TracerProvider(sampler=sampler)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("the application")

    @property
    def ended(self) -> list[ReadableSpan]:
        """All spans that have ended, in the order in which they did."""
        return list(self._exporter.get_finished_spans())

    async def outcome_of(self, function: Any, payload: Any = None, **fields: Any) -> Outcome:
        """Run one job of ``function`` in a span."""
        jobs = Jobs()
        jobs.middleware(otel.middleware(self.provider))
        jobs.handler("t")(function)
        async with running_pool(jobs) as bench:
            return await bench.run(claimed("t", payload, **fields))


def traceparent(span: ReadableSpan) -> str:
    """Return the span as a ``traceparent``."""
    where = span.get_span_context()
    assert where is not None
    return f"00-{where.trace_id:032x}-{where.span_id:016x}-{where.trace_flags:02x}"


def parent_of(span: ReadableSpan) -> str | None:
    """Return the id of its parent, as in a ``traceparent``."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"
