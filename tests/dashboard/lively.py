"""Handlers that do what handlers do: they take their time, say how far they are, fail now and then. For pictures."""

from __future__ import annotations

import random

import trio

import tickr

jobs = tickr.Jobs()

chance = random.Random(20)


class CardDeclined(Exception):
    pass


@jobs.handler("mail.welcome")
async def welcome(job: tickr.Job, to: str = "") -> dict[str, str]:
    await trio.sleep(chance.uniform(0.02, 0.2))
    return {"accepted": to}


@jobs.handler("invoice.charge", max_attempts=2, backoff=tickr.Backoff("constant", base=2, jitter=0.2))
async def charge(job: tickr.Job, cents: int = 100, customer: int = 0) -> dict[str, int]:
    await job.log(f"charging {cents / 100:.2f} EUR to customer {customer}")
    await trio.sleep(chance.uniform(0.1, 0.8))
    if chance.random() < 0.3:
        raise CardDeclined(f"the card of customer {customer} was declined: insufficient funds")
    return {"charged": cents}


@jobs.handler("video.resize", timeout=600)
async def resize(job: tickr.Job, frames: int = 40, file: str = "") -> dict[str, int]:
    await job.log(f"opened {file}")
    for frame in range(frames):
        await job.progress(frame / frames, f"frame {frame + 1} of {frames}")
        await trio.sleep(chance.uniform(0.3, 0.7))
    await job.log("all frames are done")
    return {"frames": frames}


@jobs.handler("search.index", max_attempts=2, backoff=tickr.Backoff("constant", base=1, jitter=0.5))
async def index(job: tickr.Job, documents: int = 10) -> int:
    await trio.sleep(chance.uniform(0.05, 1.2))
    if chance.random() < 0.25:
        raise ConnectionError("search-2.internal:9200 did not answer within 1 s")
    return documents


@jobs.handler("report.export", timeout=3, max_attempts=1)
async def export(job: tickr.Job, month: str = "2026-10") -> str:
    takes_s = 60 if chance.random() < 0.1 else chance.uniform(0.5, 2)
    await trio.sleep(takes_s)
    return f"exports/{month}.csv"


@jobs.handler("cache.warm")
async def warm(job: tickr.Job, region: str = "eu") -> str:
    await trio.sleep(chance.uniform(0.02, 0.05))
    return region
