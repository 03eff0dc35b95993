"""Handlers that have a secret in their hands and say it wherever they can; one hangs on chosen nodes."""

from __future__ import annotations

import os

import trio

import tickr

HANGS = "HANGS"
"""The variable of a node on which ``hang`` never ends."""

jobs = tickr.Jobs()


@jobs.handler("pay", max_attempts=2)
async def pay(job: tickr.Job, card: str) -> dict[str, str]:
    await job.progress(0.5, f"charging {card}")
    await job.log(f"charged {card}")
    if job.attempt == 1:
        raise ValueError(f"refused: {card}")
    return {"paid with": card}


def quoting(attempt: int, error: BaseException) -> float:
    """A back-off that fails, and quotes."""
    raise RuntimeError(f"no pause for: {error}")


@jobs.handler("pay_later", max_attempts=2, backoff=quoting)
async def pay_later(job: tickr.Job, card: str) -> None:
    raise tickr.GiveUp(f"never: {card}") if job.fence > 1 else ValueError(f"later: {card}")


@jobs.handler("pay_nothing")
async def pay_nothing(job: tickr.Job, card: int) -> None:
    raise AssertionError("the payload does not fit")


@jobs.handler("pay_nonsense")
async def pay_nonsense(job: tickr.Job, card: str) -> object:
    return {card: object()}


@jobs.handler("hang")
async def hang(job: tickr.Job, card: str) -> dict[str, str]:
    await job.progress(0.5, f"hanging on to {card}")
    if HANGS in os.environ:
        await trio.sleep_forever()
    return {"let go of": card}
