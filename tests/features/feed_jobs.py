"""Handlers for the proof of the event feed: between them its jobs make every kind of event that a worker makes."""

from __future__ import annotations

import trio

import tickr

jobs = tickr.Jobs()
AT_ONCE = tickr.Backoff("constant", base=0.05, jitter=0)


@jobs.handler("quick")
async def quick() -> str:
    return "done"


@jobs.handler("talks")
async def talks(job: tickr.Job, times: int) -> None:
    for number in range(1, times + 1):
        await job.progress(number / times, f"{number} of {times}")
        await job.log(f"that was {number}")


@jobs.handler("flaky", max_attempts=3, backoff=AT_ONCE)
async def flaky(job: tickr.Job) -> None:
    if job.attempt < 2:
        raise ValueError("not yet")


@jobs.handler("broken", max_attempts=2, backoff=AT_ONCE)
async def broken() -> None:
    raise ValueError("never")


@jobs.handler("waits")
async def waits(seconds: float) -> None:
    await trio.sleep(seconds)


@jobs.handler("bulky")
async def bulky(size: int) -> str:
    return "x" * size
