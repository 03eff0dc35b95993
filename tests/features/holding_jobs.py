"""Handlers that are put off at their first attempt: their service is busy, or they belong elsewhere."""

from __future__ import annotations

import tickr

jobs = tickr.Jobs()


@jobs.handler("call", max_attempts=2)
async def call(job: tickr.Job, busy: float = 0.0) -> int:
    if busy and job.attempt == 1:
        raise tickr.RetryLater(busy, "429", hold_queue=True)
    return job.attempt


@jobs.handler("sort", max_attempts=2)
async def sort(job: tickr.Job) -> str:
    if job.attempt == 1:
        raise tickr.RetryLater(2, "too large for here", queue="large", priority=2)
    return f"{job.queue} {job.priority}"
