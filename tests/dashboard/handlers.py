"""Handlers whose jobs the tests of the dashboard look at."""

from __future__ import annotations

from typing import Any

import trio

import tickr

jobs = tickr.Jobs()
ONCE = tickr.Backoff("constant", base=0.05, jitter=0)


@jobs.handler("echo")
async def echo(job: tickr.Job, **what: Any) -> dict[str, Any]:
    return what


@jobs.handler("hold")
async def hold(job: tickr.Job, lines: list[str] | None = None) -> None:
    """Says its lines, that it is half through, and waits to be cancelled."""
    for line in lines or []:
        await job.log(line)
    await job.progress(0.5, "half of it", {"done": 1})
    await trio.sleep_forever()


@jobs.handler("say", max_attempts=1)
async def say(job: tickr.Job, texts: list[str]) -> None:
    """Says each of the texts in each of the ways there are, and fails with all of them."""
    for text in texts:
        await job.log(text)
        await job.progress(0.5, text[:500], {text[:500]: text[:500]})
        await job.emit("said", {text: text})
    raise ValueError("\n".join(texts))


@jobs.handler("fail", max_attempts=2, backoff=ONCE)
async def fail(job: tickr.Job, why: str = "no reason", then: int = 0) -> None:
    await job.log(f"try {job.attempt}")
    raise ValueError(why)


@jobs.handler("mend", max_attempts=1)
async def mend(job: tickr.Job, cents: int, note: str = "") -> int:
    if cents == 0:
        raise ValueError("nothing to charge")
    return cents


@jobs.handler("parent")
async def parent(job: tickr.Job) -> list[Any]:
    for number in range(2):
        await job.submit("echo", {"number": number}, name=f"part {number}")
    return await job.children()
