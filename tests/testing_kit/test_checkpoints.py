"""Checkpoints in a whole node: the next attempt goes on where the one before was, however that one ended."""

from __future__ import annotations

import pytest
import trio

import tickr
from tickr.testing import App, run

jobs = tickr.Jobs()
PAGES = 5


@jobs.handler("pages", max_attempts=3, timeout=60)
async def pages(job: tickr.Job, how: str = "") -> list[int]:
    """Ten seconds a page; the first time it does not get past the third."""
    done: list[int] = await job.resume(default=[])
    for page in range(done[-1] + 1 if done else 1, PAGES + 1):
        if page == 3 and not job.fence > 1:
            await stop_here(how)
        await trio.sleep(10)  # virtual
        done = [*done, page]
        await job.checkpoint(done)
    return [job.fence, *done]


async def stop_here(how: str) -> None:
    if how == "error":
        raise ValueError("not this time")
    if how == "snooze":
        raise tickr.Snooze(30)
    await trio.sleep_forever()


@jobs.handler("sums")
def sums(job: tickr.Job, up_to: int) -> int:
    at, total = job.resume(default=(0, 0))
    for number in range(at + 1, up_to + 1):
        total += number
        job.checkpoint((number, total))
        if number == up_to // 2 and job.fence == 1:
            raise ValueError("not the first time")
    return int(total)


@pytest.mark.parametrize("how", ["error", "snooze", "timeout", "crash", "restart"])
def test_the_next_attempt_goes_on_where_this_one_was(how: str) -> None:
    async def scenario(app: App) -> None:
        job = await app.submit("pages", {"how": how})
        if how in ("crash", "restart"):
            await app.advance(25)
            await getattr(app, how)()
        before = app.now
        assert await app.result(job) == [2, 1, 2, 3, 4, 5]
        if how == "restart":
            assert (app.now - before).total_seconds() < 40

    run(jobs, scenario, grace=5)


def test_a_thread_goes_on_too() -> None:
    async def scenario(app: App) -> None:
        assert await app.result(await app.submit("sums", {"up_to": 10})) == 55

    run(jobs, scenario)


def test_a_job_that_is_started_over_begins_at_the_beginning() -> None:
    async def scenario(app: App) -> None:
        job = await app.submit("pages", {"how": "error"})
        assert await app.result(job) == [2, 1, 2, 3, 4, 5]
        await app.retry(job)
        assert await app.result(job) == [3, 1, 2, 3, 4, 5]

    run(jobs, scenario)
