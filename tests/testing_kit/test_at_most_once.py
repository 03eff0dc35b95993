"""Jobs that outlive no crash, in a whole node: what has begun is begun once, whatever becomes of the node."""

from __future__ import annotations

import pytest
import trio

import tickr
from tickr.testing import App, run

jobs = tickr.Jobs()


@jobs.handler("pay", max_crashes=0)
async def pay(seconds: float) -> str:
    await trio.sleep(seconds)
    return "paid"


@jobs.handler("puts_off", max_crashes=0, backoff=tickr.Backoff(base=10))
async def puts_off(job: tickr.Job) -> int:
    if job.fence == 1:
        raise tickr.Snooze(30)
    if job.fence == 2:
        raise ValueError("its own affair")
    return job.fence


@jobs.handler("plain")
async def plain(seconds: float) -> str:
    await trio.sleep(seconds)
    return "done"


@pytest.mark.parametrize(("event", "why"), [("crash", "The node running it was lost."), ("restart", "cut off")])
def test_what_has_begun_is_not_begun_again(event: str, why: str) -> None:
    async def scenario(app: App) -> None:
        once = await app.submit("pay", {"seconds": 60})
        again = await app.submit("plain", {"seconds": 60})
        await app.advance(10)
        await getattr(app, event)()
        await app.drained()
        assert [app.job(job).state for job in (once, again)] == ["failed", "succeeded"]
        failed = app.job(once)
        assert failed.error is not None
        assert failed.error.kind == "crashed"
        assert why in failed.error.message
        assert (failed.crashes, failed.max_crashes) == (1, 0)
        assert [len(app.runs("pay")), len(app.runs("plain"))] == [1, 2]

    run(jobs, scenario, grace=5)


def test_a_stop_that_lets_it_end_and_one_before_it_began_cost_nothing() -> None:
    async def scenario(app: App) -> None:
        first = await app.submit("pay", {"seconds": 4})
        second = await app.submit("pay", {"seconds": 4})
        await app.advance(2)
        await app.restart()
        await app.drained()
        assert [app.job(job).state for job in (first, second)] == ["succeeded", "succeeded"]
        assert [app.job(job).crashes for job in (first, second)] == [0, 0]

    run(jobs, scenario, grace=5, workers=1)


def test_what_its_handler_ends_is_its_own_affair() -> None:
    async def scenario(app: App) -> None:
        assert await app.result(await app.submit("puts_off")) == 3

    run(jobs, scenario)


def test_the_submission_goes_before_the_handler() -> None:
    async def scenario(app: App) -> None:
        job = await app.submit("pay", {"seconds": 60}, max_crashes=1)
        await app.advance(10)
        await app.crash()
        assert await app.result(job) == "paid"
        assert (app.job(job).crashes, app.job(job).max_crashes) == (1, 1)

    run(jobs, scenario)


@pytest.mark.parametrize("given", [-1, 3, 1.0, True, "0"])
def test_a_handler_may_wish_for_0_to_2(given: object) -> None:
    with pytest.raises(ValueError, match=r"handler 'x': max_crashes must be a whole number from 0 to 2"):
        tickr.Jobs().handler("x", max_crashes=given)(pay)  # type: ignore[arg-type]
