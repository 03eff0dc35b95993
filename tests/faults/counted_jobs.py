"""Handlers whose jobs end in all ways, for the proof that the statistics are exact."""

from __future__ import annotations

import tickr

jobs = tickr.Jobs()


@jobs.handler("quick")
async def quick() -> None:
    pass


@jobs.handler("flaky", backoff=tickr.Backoff("constant", 0.05))
async def flaky(job: tickr.Job) -> None:
    if job.attempt == 1:
        raise RuntimeError("the first time it fails")


@jobs.handler("bad", max_attempts=1)
async def bad() -> None:
    raise tickr.GiveUp("it never works")
