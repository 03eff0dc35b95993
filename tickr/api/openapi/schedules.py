"""What is said of the calls about schedules."""

from __future__ import annotations

from tickr.api import schedule_document, schedule_request, schedules, wire
from tickr.api.openapi.about import About, Answer, Body, Group, without
from tickr.api.parameters import DECRYPT
from tickr.api.submission import Submission

NO_SCHEDULE = {404: ("schedule_not_found",)}
OUTPACED = {**NO_SCHEDULE, 412: ("version_mismatch",)}
DOCUMENT = schedule_document.ScheduleDocument
THE_SCHEDULE = Answer(200, "The schedule.", DOCUMENT, ("ETag",))
Template = without(
    Submission,
    schedule_request.NOT_OF_A_TEMPLATE,
    "Template",
    "What the jobs of a schedule are like. Durations in seconds.",
)

SCHEDULES = Group(
    "Schedules",
    "Have jobs made by the clock.",
    "schedules.md",
    {
        "schedules": About(
            "List schedules",
            (Answer(200, "A page of schedules, by name.", schedule_document.SchedulePage),),
            query=(schedules.LIMIT, schedules.CURSOR),
        ),
        "schedule": About(
            "Look at a schedule",
            (THE_SCHEDULE,),
            query=(schedules.TICKS, DECRYPT),
            problems={**NO_SCHEDULE, 409: ("cannot_decrypt",)},
        ),
        "put_schedule": About(
            "Put a schedule",
            (
                Answer(201, "It is new.", DOCUMENT, ("Location", "ETag")),
                Answer(200, "It was there, and is as it is put now.", DOCUMENT, ("ETag",)),
            ),
            headers=("If-Match", "If-None-Match"),
            body=Body(
                schedule_request.Description,
                {
                    "each night": {
                        "cron": "30 2 * * *",
                        "timezone": "Europe/Berlin",
                        "job": {"type": "report", "queue": "nightly"},
                    },
                    "every minute": {"every": 60, "overlap": "skip", "job": {"type": "report"}},
                },
            ),
            problems={**NO_SCHEDULE, 409: ("too_many_schedules",), 412: ("version_mismatch", "schedule_exists")},
        ),
        "delete_schedule": About(
            "Delete a schedule",
            (Answer(204, "It makes no more jobs; those that it made stay."),),
            headers=("If-Match",),
            problems=OUTPACED,
        ),
        "pause_schedule": About("Pause a schedule", (THE_SCHEDULE,), headers=("If-Match",), problems=OUTPACED),
        "resume_schedule": About("Let a schedule go on", (THE_SCHEDULE,), headers=("If-Match",), problems=OUTPACED),
        "run_schedule": About(
            "Make a job of a schedule now",
            (Answer(201, "The job.", wire.JobDocument, ("Location", "ETag")),),
            problems={**NO_SCHEDULE, 400: ("not_supported",), 409: ("cannot_decrypt",)},
        ),
    },
)
