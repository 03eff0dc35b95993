"""Handlers whose jobs make every event that the page and the AsyncAPI document know."""

from __future__ import annotations

import tickr
from tests.features import feed_jobs
from tickr.events import MAX_RESULT_BYTES

jobs = tickr.Jobs()
jobs.include(feed_jobs.jobs)


@jobs.handler("big")
async def big() -> str:
    """Return what is too long to be told."""
    return "x" * MAX_RESULT_BYTES


@jobs.handler("emits")
async def emits(job: tickr.Job) -> None:
    await job.emit("made", {"width": 200})


@jobs.handler("chatty")
async def chatty(job: tickr.Job, lines: int) -> None:
    """Say more than is kept, without a pause."""
    for number in range(lines):
        await job.log(f"line {number}")
        await job.progress(number / lines)
