"""Handlers that the tests of ``tickr.testing`` share; what they need of a test comes in their payload."""

from __future__ import annotations

import trio

import tickr

jobs = tickr.Jobs()


@jobs.handler("double")
async def double(number: int) -> int:
    return 2 * number


@jobs.handler("rest")
async def rest(job: tickr.Job, seconds: float = 60) -> str:
    await trio.sleep(seconds)
    return f"rested at attempt {job.attempt}"


@jobs.handler("fail")
async def fail(job: tickr.Job, times: int = 100, why: str = "no") -> str:
    if job.attempt <= times:
        raise ValueError(why)
    return f"done at attempt {job.attempt}"


@jobs.handler("square", run_in="process", timeout=60)
def square(number: int) -> int:
    return number * number
