"""Handlers that fail in every way there is, each with a secret of its payload in its hands. They say none of it."""

from __future__ import annotations

import trio

import tickr

jobs = tickr.Jobs()
SOON = tickr.Backoff("constant", base=0.1, jitter=0.0)


@jobs.handler("raises", max_attempts=2, backoff=SOON)
async def raises(job: tickr.Job, secret: str) -> None:
    try:
        raise KeyError("the first")
    except KeyError as error:
        raise ValueError("the second") from error


@jobs.handler("raises_group", max_attempts=1)
async def raises_group(job: tickr.Job, secret: str) -> None:
    async def fail(password: str) -> None:
        raise ValueError("one of several")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, secret)
        nursery.start_soon(fail, secret)


@jobs.handler("raises_in_thread", max_attempts=1)
def raises_in_thread(job: tickr.Job, secret: str) -> None:
    raise OSError(5, "the printer is on fire")


@jobs.handler("raises_in_process", max_attempts=1, run_in="process")
def raises_in_process(secret: str) -> None:
    raise RuntimeError("far away")


@jobs.handler("gives_up")
async def gives_up(job: tickr.Job, secret: str) -> None:
    raise tickr.GiveUp("there is no printer")


@jobs.handler("comes_later", max_attempts=2)
async def comes_later(job: tickr.Job, secret: str) -> None:
    raise tickr.RetryLater(0.1, "the printer is busy")


@jobs.handler("too_slow", max_attempts=1, timeout=0.2)
async def too_slow(job: tickr.Job, secret: str) -> None:
    await trio.sleep_forever()


@jobs.handler("returns_nonsense", max_attempts=1)
async def returns_nonsense(job: tickr.Job, secret: str) -> object:
    return {secret: object()}


@jobs.handler("wants_a_number", max_attempts=1)
async def wants_a_number(job: tickr.Job, secret: int) -> None:
    raise AssertionError("its payload does not fit")


@jobs.handler("keeps_it", max_attempts=1)
async def keeps_it(job: tickr.Job, secret: str) -> None:
    """Succeeds."""
