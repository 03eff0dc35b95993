"""The contract, of pauses with an end: they are over by the clock alone, and outcomes hold up their queues."""

from __future__ import annotations

import pytest

from tests.store.backends import SECOND, START, Backend, SteppedClock, join, new_job, put, told
from tickr.jobs import Failure, Job, State
from tickr.queues import NO_LIMITS, Controls, Limits
from tickr.reports import Outcome
from tickr.store.contract import Start, Store

BUSY = Failure("retry_later", "429")


async def claim(store: Store, *jobs: Job, node: str = "n1") -> list[Job]:
    await join(store, node)
    return await store.claim([job.id for job in jobs], node=node, types={"mail"})


async def run(store: Store, **fields: object) -> Job:
    (job,) = await put(store, new_job(run_at=START, **fields))
    (claimed,) = await claim(store, job)
    return claimed


def busy(job: Job, hold_s: float, kind: str = "retried") -> Outcome:
    us = int(hold_s * SECOND)
    return Outcome(job=job, kind=kind, failure=BUSY, delay_us=us, hold_us=us)  # type: ignore[arg-type]


async def controls(store: Store) -> dict[str, Controls]:
    return {one.name: one.controls for one in await store.standings()}


async def test_a_pause_is_over_by_the_clock_alone(backend: Backend, clock: SteppedClock) -> None:
    until = START + 60 * SECOND
    async with backend.open() as store:
        (job,) = await put(store, new_job(run_at=START))
        assert await store.control("default", paused=True, until=until) == Controls(paused=True, paused_until=until)
        assert await claim(store, job) == []
    if not backend.durable:
        return
    async with backend.open() as store:
        clock.advance(59.9)
        assert await claim(store, job) == []
        assert await store.claim_due(1, node="n1", types={"mail"}) == []
        clock.advance(0.1)
        assert [one.id for one in await claim(store, job)] == [job.id]


async def test_what_is_over_is_plain_for_who_looks_and_gone_with_the_next_call(
    store: Store, clock: SteppedClock
) -> None:
    await store.control("default", paused=True, until=START + SECOND)
    clock.advance(1)
    (standing,) = await store.standings()
    assert standing.controls.at(clock()).plain
    assert await store.control("default") == Controls()
    assert await store.standings() == []
    await join(store, "n1")
    ((job, _),) = await store.insert([one := new_job(run_at=START)], start=Start("n1", frozenset([one.id])))
    assert job.state is State.RUNNING
    whats = [event.what for commit in await told(store) for event in commit]
    assert whats == ["queue.paused", "created", "started"], "that it is over is not told"


async def test_an_end_is_set_anew_and_taken_away(store: Store) -> None:
    limits = Limits(max_running=1)
    assert (await store.control("q", paused=True, limits=limits)).paused_until is None
    at = START + SECOND
    assert await store.control("q", paused=True, until=at) == Controls(paused=True, paused_until=at, limits=limits)
    assert (await store.control("q", limits=NO_LIMITS)).paused_until == at
    assert await store.control("q", paused=True) == Controls(paused=True)
    assert (await store.control("q", paused=False)).plain
    news = [event for commit in await told(store) for event in commit]
    kinds = ["paused", "changed", "paused", "changed", "paused", "resumed"]
    assert [event.what for event in news] == [f"queue.{kind}" for kind in kinds]
    assert b'"paused":true,"paused_until":"2027-' in bytes(news[2].data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["retried", "released", "failed"])
async def test_an_outcome_holds_up_its_queue_in_its_own_transaction(
    store: Store, clock: SteppedClock, kind: str
) -> None:
    job = await run(store)
    (other, elsewhere) = await put(store, new_job(run_at=START), new_job(run_at=START, queue="free"))
    (after,) = await store.finish([busy(job, 30, kind)])
    assert after is not None
    assert await controls(store) == {"default": Controls(paused=True, paused_until=START + 30 * SECOND)}
    assert [one.id for one in await claim(store, other, elsewhere, node="n2")] == [elsewhere.id]
    clock.advance(30)
    wanted = {other.id} if kind == "failed" else {other.id, job.id}
    assert {one.id for one in await claim(store, other, after, node="n2")} == wanted
    whats = [event.what for commit in await told(store) for event in commit]
    assert whats.count("queue.paused") == 1


async def test_the_longest_hold_of_a_batch_counts_and_is_told_once(store: Store) -> None:
    jobs = [await run(store) for _ in range(3)]
    await store.finish([busy(job, hold_s) for job, hold_s in zip(jobs, (5, 30, 10), strict=True)])
    assert await controls(store) == {"default": Controls(paused=True, paused_until=START + 30 * SECOND)}
    assert [event.what for commit in await told(store) for event in commit].count("queue.paused") == 1


async def test_a_longer_pause_is_never_shortened_and_one_without_end_stays(store: Store) -> None:
    jobs = [await run(store) for _ in range(3)]
    await store.control("default", paused=True, until=START + 60 * SECOND)
    await store.finish([busy(jobs[0], 30)])
    assert (await controls(store))["default"].paused_until == START + 60 * SECOND
    await store.finish([busy(jobs[1], 90)])
    assert (await controls(store))["default"].paused_until == START + 90 * SECOND
    await store.control("default", paused=True)
    await store.finish([busy(jobs[2], 600)])
    assert (await controls(store))["default"] == Controls(paused=True)


async def test_limits_stay_beside_a_hold(store: Store, clock: SteppedClock) -> None:
    limits = Limits(max_running=2)
    await store.control("default", limits=limits)
    await store.finish([busy(await run(store), 30)])
    assert await controls(store) == {"default": Controls(paused=True, paused_until=START + 30 * SECOND, limits=limits)}
    clock.advance(30)
    assert await store.control("default") == Controls(limits=limits)


async def test_an_attempt_that_is_over_holds_nothing_up(store: Store) -> None:
    job = await run(store)
    await store.finish([Outcome(job=job, kind="released", failure=BUSY)])
    assert await store.finish([busy(job, 30)]) == [None]
    assert await controls(store) == {}
