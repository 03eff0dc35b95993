"""What a handler wishes for the jobs of its type, in a whole node: it counts where the submission says nothing."""

from __future__ import annotations

import pytest
import trio

import tickr
from tickr.errors import UniqueConflict
from tickr.testing import App, run

jobs = tickr.Jobs()


@jobs.handler("sync", queue="slow", priority=7, unique=tickr.Unique(by=("customer",)))
async def sync(customer: int, full: bool = False) -> int:
    await trio.sleep(60)  # virtual
    return customer


@jobs.handler("rare", unique=tickr.Unique(by=(), until=3600, on_conflict="reject"))
async def rare() -> None: ...


@jobs.handler("newest", unique=tickr.Unique(on_conflict="replace"))
async def newest(x: int, y: int = 0) -> None: ...


def test_queue_priority_and_unique_key_are_those_of_the_handler() -> None:
    async def scenario(app: App) -> None:
        first = await app.submit("sync", {"customer": 1})
        assert (first.queue, first.priority) == ("slow", 7)
        assert (await app.submit("sync", {"full": True, "customer": 1})).id == first.id
        other = await app.submit("sync", {"customer": 2}, queue="mine", priority=0)
        assert other.id != first.id
        assert (other.queue, other.priority) == ("mine", 0)
        own = await app.submit("sync", {"customer": 1}, unique={"key": "mine"})
        assert own.id != first.id
        await app.drained()
        again = await app.submit("sync", {"customer": 1})
        assert again.id != first.id

    run(jobs, scenario)


def test_a_time_and_what_is_done_about_a_second_one_are_the_handlers_too() -> None:
    async def scenario(app: App) -> None:
        await app.submit("rare")
        await app.drained()
        with pytest.raises(UniqueConflict):
            await app.submit("rare")
        await app.advance(3600)
        await app.submit("rare")
        old = await app.submit("newest", {"x": 1, "y": 2}, delay=60)
        new = await app.submit("newest", {"y": 2, "x": 1}, delay=60)
        assert (app.job(old).state, app.job(new).state) == ("cancelled", "scheduled")
        await app.submit("newest", {"x": 1}, delay=60)
        assert app.job(new).state == "scheduled"

    run(jobs, scenario)


def test_jobs_that_handlers_submit_are_held_to_it() -> None:
    parents = tickr.Jobs()
    parents.include(jobs)
    made: list[App] = []

    @parents.handler("parent")
    async def parent() -> list[str]:
        return [(await made[0].handle.submit("sync", {"customer": 3})).id for _ in range(3)]

    async def scenario(app: App) -> None:
        made.append(app)
        ids = await app.result(await app.submit("parent"))
        assert len(set(ids)) == 1
        await app.drained()
        assert app.job(ids[0]).queue == "slow"

    run(parents, scenario)
