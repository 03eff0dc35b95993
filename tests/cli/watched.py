"""Handlers whose jobs are watched by the tests of ``tickr watch`` and ``submit --watch``."""

from __future__ import annotations

import trio

import tickr

EVIL = "\x1b[2J\x9b2J\r\u202e"
"""Would clear the screen, overwrite the line, and turn the direction of what follows."""

jobs = tickr.Jobs()


@jobs.handler("work")
async def work(seconds: float = 0) -> str:
    await trio.sleep(seconds)
    return "done"


@jobs.handler("render")
async def render(job: tickr.Job, pause: float = 0.15) -> dict[str, int]:
    for frame in range(1, 5):
        await trio.sleep(pause)
        await job.progress(frame / 4, f"frame {frame}{EVIL}")
        await job.log(f"wrote {frame}.png{EVIL}")
    await trio.sleep(pause)
    return {"frames": 4}


@jobs.handler("large")
async def large(size: int) -> str:
    return "x" * size


@jobs.handler("broken", max_attempts=2, backoff=tickr.Backoff("constant", base=0.05, jitter=0))
async def broken() -> None:
    raise ValueError(f"no paper{EVIL}")
