"""A program with schedules of its own, which says other things where ``EVERY_S`` does: for nodes of different code."""

from __future__ import annotations

import os

import tickr

jobs = tickr.Jobs()


@jobs.schedule("few", every=1, times=5, missed="all", labels={"by": "few"})
@jobs.schedule("rare", every=float(os.environ.get("EVERY_S", "3600")), start="now", labels={"by": "rare"})
@jobs.handler("note")
async def note(job: tickr.Job) -> dict[str, str | None]:
    assert job.tick is not None
    return {"schedule": job.tick.schedule, "at": job.tick.at and job.tick.at.isoformat()}
