"""What is said of the calls about many jobs."""

from __future__ import annotations

from tickr.api import listing, operation_document, operation_request, operations
from tickr.api.openapi.about import About, Answer, Body, Group
from tickr.api.parameters import DECRYPT

NO_OPERATION = {404: ("operation_not_found",)}
DOCUMENT = operation_document.OperationDocument

OPERATIONS = Group(
    "Many jobs at once",
    "Retry, cancel, change or delete all jobs that match; see failed jobs at a glance.",
    "dead-letters.md",
    {
        "begin_operation": About(
            "Begin an operation",
            (
                Answer(202, "It is stored, and goes on by itself.", DOCUMENT, ("Location",)),
                Answer(
                    200,
                    "What it would be about, with `dry_run`; or the operation, where it was begun before.",
                    (operation_document.PreviewDocument, DOCUMENT),
                    ("Location",),
                ),
            ),
            body=Body(
                operation_request.Wish,
                {
                    "retry what timed out": {"action": "retry", "filter": {"queue": "nightly", "error": "timeout"}},
                    "what would be cancelled": {"action": "cancel", "filter": {"label": "a=b"}, "dry_run": True},
                    "change": {"action": "edit", "filter": {"queue": "nightly"}, "changes": {"priority": 9}},
                },
            ),
            problems={409: ("duplicate_operation", "too_many_operations", "cannot_decrypt")},
        ),
        "operations": About(
            "List operations",
            (Answer(200, "A page of operations, the newest first.", operation_document.OperationPage),),
            query=(operations.LIMIT, operations.CURSOR),
        ),
        "operation": About(
            "Look at an operation",
            (Answer(200, "How far it is.", DOCUMENT),),
            query=(DECRYPT,),
            problems={**NO_OPERATION, 409: ("cannot_decrypt",)},
        ),
        "stop_operation": About(
            "Stop an operation",
            (Answer(200, "It goes no further; what it has done stands.", DOCUMENT),),
            problems=NO_OPERATION,
        ),
        "dead_letters": About(
            "Count the failed jobs",
            (Answer(200, "How many there are, in groups that are alike.", operation_document.CountDocument),),
            query=listing.FILTERS,
        ),
    },
)
