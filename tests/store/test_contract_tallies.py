"""The contract, for what each commit did: whoever listens hears of every one once, and it is what the feed says."""

from __future__ import annotations

import pytest

from tests.store.backends import (
    SECOND,
    START,
    Backend,
    SteppedClock,
    end,
    join,
    new_job,
    noted,
    put,
    put_one,
    put_running,
    start,
    told,
)
from tests.store.scenes import Scene
from tests.tallied import counted, replay
from tickr.errors import SchemaMismatch
from tickr.jobs import NewJob
from tickr.schedule_moves import Put
from tickr.store.contract import Start, Store
from tickr.tallies import Part, Tally
from tickr.ticks import Timing


def parts(heard: list[Tally]) -> list[tuple[int, Part]]:
    return [(tally.at, part) for tally in heard for part in tally.parts]


async def live(store: Store, clock: SteppedClock) -> None:
    """Have jobs lead all sorts of lives."""
    jobs = await put(store, *(new_job(("mail", "report")[n % 2], queue=f"q{n % 3}") for n in range(12)))
    clock.advance(1.5)
    running = await start(store, *jobs[:9])
    clock.advance(0.25)
    await store.note([noted(running[0], 1, fraction=0.5)])
    kinds = ["succeeded", "failed", "retried", "released", "succeeded", "cancelled", "succeeded"]
    for job, kind in zip(running, kinds, strict=False):
        await end(store, job, kind)
        clock.advance(0.001)
    await store.cancel(jobs[10].id)
    await store.cancel(running[7].id)  # a wish: nothing has moved
    await store.redrive(jobs[1].id)
    clock.advance(70)
    await store.deregister("n1")
    await store.reap(10)
    await join(store, "n2")
    for job in await store.claim_due(5, node="n2", types=["mail", "report"]):
        await end(store, job, "succeeded")
    await store.insert([new_job(queue="q9")], start=None)
    fresh = new_job(queue="q9")
    await store.insert([fresh], start=Start("n2", frozenset({fresh.id})))
    plan = Put(name="daily", timing=Timing(every_us=10**6), job=NewJob(id="", type="mail"), given="{}")
    await store.move_schedules([plan])


async def test_what_is_heard_is_what_the_feed_says(store: Store, clock: SteppedClock) -> None:
    heard: list[Tally] = []
    store.on_tally(heard.append)
    await live(store, clock)
    log = [event for commit in await told(store) for event in commit]
    assert counted(parts(heard)) == replay(log)
    assert all(heard), "one without a part was told of"


async def test_jobs_of_schedules_and_of_operations_are_counted(store: Store, clock: SteppedClock) -> None:
    heard: list[Tally] = []
    store.on_tally(heard.append)
    scene = Scene(store, "mail")
    await scene.schedule_some(2)
    clock.advance(5)
    await store.move_schedules(scene.fires)
    failed = await end(store, await put_running(store), "failed")
    assert failed is not None
    await store.redrive(failed.id)
    log = [event for commit in await told(store) for event in commit]
    assert counted(parts(heard)) == replay(log)
    assert sum(part["created"] for _, part in parts(heard)) >= 3


async def test_times_are_those_of_the_stores_clock(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, delay_us=10 * SECOND)
    clock.advance(12)
    (running,) = await start(store, job)
    heard: list[Tally] = []
    store.on_tally(heard.append)
    clock.advance(3)
    await end(store, running, "succeeded")
    ((at, part),) = parts(heard)
    assert at == START + 15 * SECOND
    assert (part.queue, part.type, part["succeeded"]) == (job.queue, "mail", 1)
    assert (part.run.total_us, part.run.count, part.wait.count) == (3 * SECOND, 1, 0)


async def test_what_fails_is_not_heard(durable_backend: Backend) -> None:
    heard: list[Tally] = []
    async with durable_backend.open() as store:
        job = await put_one(store)
        store.on_tally(heard.append)
        durable_backend.execute("ALTER TABLE events RENAME TO elsewhere")
        with pytest.raises(SchemaMismatch):
            await store.cancel(job.id)
        durable_backend.execute("ALTER TABLE elsewhere RENAME TO events")
        assert heard == []
        await store.cancel(job.id)
        assert [part["cancelled"] for _, part in parts(heard)] == [1]


async def test_nothing_waits_from_before_it_was_there(store: Store, clock: SteppedClock) -> None:
    heard: list[Tally] = []
    store.on_tally(heard.append)
    (job,) = await put(store, new_job(run_at=0))
    clock.advance(2)
    await start(store, job)
    (part,) = [part for _, part in parts(heard) if part["started"]]
    assert part.wait.total_us == 2 * SECOND
    log = [event for commit in await told(store) for event in commit]
    assert counted(parts(heard)) == replay(log)
