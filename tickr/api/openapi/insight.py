"""What is said of the calls that tell how things go: the feed, statistics, health, metrics; and the original's two."""

from __future__ import annotations

from typing import Any

from tickr.api import compat, event_query, health, marks, statistics, statistics_query, wire
from tickr.api.openapi.about import About, Answer, Body, Group

EVENTS = Group(
    "Events",
    "Listen to what happens, as it happens, from any place in the past on.",
    "event-feed.md",
    {
        "events": About(
            "Listen",
            (
                Answer(200, "A page of events, or a stream of them.", wire.EventsPage, media=("text/event-stream",)),
                Answer(101, "A websocket: an event a frame, described in docs/asyncapi.yaml."),
            ),
            "Pages of JSON; with `Accept: text/event-stream` server-sent events; with `Upgrade: websocket` a websocket."
            " `limit` and `decrypt` are for pages alone.",
            query=(*event_query.PARAMETERS, *event_query.OF_PAGES),
            headers=("Accept", "Last-Event-ID"),
            problems={400: ("invalid_cursor",), 410: ("cursor_expired",), 503: ("too_slow", "stopping")},
        ),
    },
)

STATISTICS = Group(
    "Statistics",
    "How much was done, and how long it took.",
    "statistics.md",
    {
        "statistics": About(
            "Over time",
            (Answer(200, "Series of steps, and the marks among them.", statistics.StatisticsDocument),),
            query=statistics_query.PARAMETERS,
            problems={422: ("too_many_points",)},
        ),
        "make_mark": About(
            "Make a mark",
            (
                Answer(201, "The mark.", statistics.MarkDocument, ("Location",)),
                Answer(200, "The mark with this `id`, which was there.", statistics.MarkDocument, ("Location",)),
            ),
            body=Body(marks.MarkBody, {"a deploy": {"text": "deploy 4.2"}}),
        ),
        "marks": About(
            "List marks",
            (Answer(200, "The last ones, the first first.", wire.Items[statistics.MarkDocument]),),
            query=(statistics_query.MARKS_SINCE, statistics_query.MARKS_UNTIL),
        ),
        "drop_mark": About("Delete a mark", (Answer(204, "It is gone."),), problems={404: ("mark_not_found",)}),
    },
)

HEALTH = Group(
    "Health",
    "Is it alive, can it work, and where to begin.",
    "http-api.md#health",
    {
        "root": About(
            "Where to begin",
            (
                Answer(200, "The version, a job to submit, and paths.", health.Welcome),
                Answer(307, "To the dashboard: a browser asks.", headers=("Location",)),
            ),
        ),
        "livez": About("Is it alive?", (Answer(200, "It is.", health.Alive),), "Whatever the store does."),
        "readyz": About(
            "Can it work?",
            (
                Answer(200, "It takes work.", health.Readiness),
                Answer(503, "Send work elsewhere.", health.Readiness),
            ),
        ),
        "metrics": About(
            "Metrics",
            (Answer(200, "For Prometheus.", str, media=("text/plain", "application/openmetrics-text")),),
            headers=("Accept",),
        ),
        "openapi": About(
            "This description",
            (
                Answer(200, "In OpenAPI 3.1.", dict[str, Any], ("ETag",)),
                Answer(304, "It is as `If-None-Match` says.", headers=("ETag",)),
            ),
            headers=("If-None-Match",),
        ),
    },
)

ORIGINAL = Group(
    "The original's two calls",
    "For clients of the original Tickr. Every answer has the original's envelope, errors too.",
    "http-api.md#the-originals-two-calls",
    {
        "submit_original": About(
            "Submit a job, as the original has it",
            (Answer(201, "The job is stored.", wire.Envelope, ("Location", "Idempotent-Replayed")),),
            headers=("Idempotency-Key", "traceparent", "tracestate"),
            body=Body(
                compat.OriginalJob, {"an e-mail": {"jobtype": "email", "payload": {"to": "a@example.com"}, "delay": 5}}
            ),
            problems={400: ("invalid_idempotency_key",), 422: ("idempotency_key_reused",)},
        ),
        "health": About(
            "Health, as the original has it",
            (Answer(200, "It takes work.", wire.Envelope), Answer(503, "It does not.", wire.Envelope)),
        ),
    },
)
