"""OpenTelemetry: a span for each attempt, in the trace that its job was submitted in. ``pip install 'tickr[otel]'``.

    jobs.middleware(tickr.otel.middleware())          where jobs run
    client = Client(trace=tickr.otel.current)         where they are submitted

Comes in: the trace that a job carries, or what OpenTelemetry says is being done. Goes out: spans, to the application's
tracer provider; and the trace, for a submission. Nothing of Tickr imports this module: who does has the extra.

The names are those of the semantic conventions for messaging, as of 1.44; what they have no name for is below
``messaging.tickr.``, as they ask for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

import trio

from tickr import traces
from tickr.worker.arguments import BadPayload
from tickr.worker.endings import Drop, GiveUp, RetryLater, Snooze
from tickr.worker.failures import BadResult, HandlerBlocked, Unresponsive, cause, leaves, of_exception
from tickr.worker.kin import ChildrenFailed
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise ImportError("tickr.otel needs OpenTelemetry: pip install 'tickr[otel]'") from missing

OPERATION = "process"
OUTCOME = "messaging.tickr.outcome"
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (GiveUp, "give_up"),
    (Drop, "dropped"),
    (ChildrenFailed, "child_failed"),
    (RetryLater, "retry_later"),
    (Snooze, "snoozed"),
    (BadPayload, "bad_payload"),
    (BadResult, "bad_result"),
    (Unresponsive, "unresponsive"),
)
_NOT_A_FAULT = ("cancelled", "shutdown", "lease_lost", "snoozed", "dropped", "children", "batch_stopped")

_w3c = TraceContextTextMapPropagator()


def current() -> dict[str, str]:
    """Return the trace of what is being done, as fields of a submission: ``submit("report", **tickr.otel.current())``.

    ``traceparent``, and ``tracestate`` if there is one; nothing outside of a span.
    """
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    found = traces.read([*filter(None, [carrier.get("traceparent")])], [carrier.get("tracestate", "")])
    return {} if found is None else {name: value for name, value in found._asdict().items() if value}


def middleware(
    tracer_provider: trace.TracerProvider | None = None,
    *,
    name: Callable[[Job], str] = lambda job: f"{OPERATION} {job.queue}",
) -> Middleware:
    """Return a middleware that makes a span of each attempt, of kind CONSUMER, and has the handler run in it.

    It is a child of the span that the job was submitted in, and linked to it. ``job.traceparent`` is the new span from
    then on, so that ``http`` jobs, and whatever sends ``job.headers()``, go on from it.

    Args:
      tracer_provider: the global one if it is None.
      name: returns what the span is called; by default what is done, and the queue.
    """
    tracer = trace.get_tracer("tickr", version("tickr"), tracer_provider)

    @asynccontextmanager
    async def in_span(job: Job) -> AsyncIterator[None]:
        submitted = _submitted_in(job)
        with tracer.start_as_current_span(
            name(job),
            context=trace.set_span_in_context(submitted) if submitted else None,
            links=_links(submitted),
            kind=trace.SpanKind.CONSUMER,
            attributes=_attributes(job),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            _go_on_from_here(job)
            try:
                yield
            except BaseException as error:
                _end(span, job, error)
                raise
            span.set_attribute(OUTCOME, "succeeded")

    return in_span


def _submitted_in(job: Job) -> trace.Span | None:
    """Return the span that the job was submitted in, which is somebody else's; None if it has no trace."""
    if job.traceparent is None:
        return None
    carrier = {"traceparent": job.traceparent, "tracestate": job.tracestate or ""}
    return trace.get_current_span(_w3c.extract(carrier))


def _links(submitted: trace.Span | None) -> list[trace.Link]:
    """Return what the conventions ask for: the message's own context; and one that is around, but is not the parent."""
    around = trace.get_current_span()
    spans = [submitted, around] if submitted else []
    return [trace.Link(span.get_span_context()) for span in spans if span and span.get_span_context().is_valid]


def _attributes(job: Job) -> dict[str, str | int]:
    return {
        "messaging.system": "tickr",
        "messaging.operation.name": OPERATION,
        "messaging.operation.type": OPERATION,
        "messaging.destination.name": job.queue,
        "messaging.message.id": job.id,
        "messaging.tickr.job.type": job.type,
        "messaging.tickr.attempt": job.attempt,
        "messaging.tickr.fence": job.fence,
    }


def _go_on_from_here(job: Job) -> None:
    here = current()
    if here and here["traceparent"] != job.traceparent:  # the same where no SDK makes spans
        job.set_trace(**here)


def _end(span: trace.Span, job: Job, error: BaseException) -> None:
    """Note how an attempt ended that did not succeed."""
    kind, found = _kind(job, error), cause(error)
    span.set_attribute(OUTCOME, kind)
    if kind in _NOT_A_FAULT:
        return
    name = "timeout" if kind == "timeout" else _name(type(found))
    span.set_attribute("error.type", name)
    # What an error says may be huge, or raise, or (of a payload that does not fit) quote the payload.
    failure = of_exception(kind, found)
    told = name if job.encrypted or kind in ("timeout", "bad_payload") else failure.message
    span.set_status(trace.StatusCode.ERROR, told)
    if told != name:
        text = told.removeprefix(f"{type(found).__qualname__}: ")
        about = {"exception.type": name, "exception.message": text, "exception.stacktrace": failure.traceback or ""}
        span.add_event("exception", about)


def _kind(job: Job, error: BaseException) -> str:
    """Return the kind of failure that the attempt ends with, by the rules of ``run.py``, as far as it is known here."""
    found = list(leaves(error))
    if any(isinstance(one, HandlerBlocked) for one in found):
        return "blocked"
    if isinstance(cause(error), Unresponsive):
        return "unresponsive"
    stopped = job.stop_reason
    if stopped is not None:
        return stopped
    if any(isinstance(one, trio.Cancelled) for one in found):
        return "shutdown"
    return next((kind for type, kind in _KINDS if isinstance(cause(error), type)), "exception")


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
