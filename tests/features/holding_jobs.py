"""Handlers whose service is busy at their first attempt."""

from __future__ import annotations

import tickr

jobs = tickr.Jobs()


@jobs.handler("call", max_attempts=2)
async def call(job: tickr.Job, busy: float = 0.0) -> int:
    if busy and job.attempt == 1:
        raise tickr.RetryLater(busy, "429", hold_queue=True)
    return job.attempt
