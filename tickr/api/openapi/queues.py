"""What is said of the calls about queues."""

from __future__ import annotations

from tickr.api import operation_document, queues, wire
from tickr.api.openapi.about import About, Answer, Body, Group

NO_QUEUE = {404: ("queue_not_found",)}
THE_QUEUE = (Answer(200, "The queue as it stands now.", wire.QueueDocument),)
SEVERAL = "All queues in the place of a name: `*`, which is answered with the list of them."
ONE_OR_ALL = (Answer(200, "The queue as it stands now, or all.", (wire.QueueDocument, wire.Items[wire.QueueDocument])),)

QUEUES = Group(
    "Queues",
    "See what waits and runs; pause queues, limit them, empty them.",
    "queues.md",
    {
        "queues": About(
            "List queues",
            (Answer(200, "Every queue, by name.", wire.Items[wire.QueueDocument]),),
        ),
        "queue": About("Look at a queue", THE_QUEUE, problems=NO_QUEUE),
        "limit_queue": About(
            "Limit a queue",
            THE_QUEUE,
            "Sets all limits at once, on all nodes: what is left out, or null, is none.",
            body=Body(
                queues.LimitsBody,
                {"ten at once": {"max_running": 10}, "a rate": {"rate": {"starts": 100, "period": 60}}},
            ),
            problems=NO_QUEUE,
        ),
        "drop_queue": About(
            "Take a queue away",
            (Answer(204, "It is gone, with what was set on it."),),
            problems={**NO_QUEUE, 409: ("queue_not_empty",)},
        ),
        "empty_queue": About(
            "Empty a queue",
            (
                Answer(
                    202,
                    "An operation that cancels, or deletes, all that waits.",
                    operation_document.OperationDocument,
                    ("Location",),
                ),
                Answer(
                    200,
                    "That operation, where it was begun before under the same `id`.",
                    operation_document.OperationDocument,
                    ("Location",),
                ),
            ),
            body=Body(queues.Emptying, {"delete all": {"delete": True, "reason": "a test"}}, required=False),
            problems={409: ("duplicate_operation", "too_many_operations")},
        ),
        "order_queue": About(
            "Which jobs of a queue go first",
            THE_QUEUE,
            body=Body(queues.OrderBody, {"the newest": {"order": "newest"}}),
            problems=NO_QUEUE,
        ),
        "pause_queue": About(
            "Pause a queue",
            ONE_OR_ALL,
            f"None of its jobs is started any more. {SEVERAL}",
            body=Body(queues.PauseBody, {"for a minute": {"for": 60}}, required=False),
            problems=NO_QUEUE,
        ),
        "resume_queue": About("Let a queue go on", ONE_OR_ALL, SEVERAL, problems=NO_QUEUE),
    },
)
