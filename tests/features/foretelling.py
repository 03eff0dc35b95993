"""A program with a schedule by function, each second; another code where ``STEP_S`` says so."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import tickr

STEP = timedelta(seconds=float(os.environ.get("STEP_S", "1")))

jobs = tickr.Jobs()


def stepwise(after: datetime, step: timedelta = STEP) -> datetime:
    return after.replace(microsecond=0) + step


@jobs.schedule("steps", next_tick=stepwise, missed="all", labels={"by": "steps"})
@jobs.handler("note")
async def note(job: tickr.Job) -> str | None:
    return job.tick and job.tick.at and job.tick.at.isoformat()
