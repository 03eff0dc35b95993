"""Expire ends each job at its instant, whoever takes its queue, and leaves nothing of it in the index."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.stages.conftest import SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.jobs import Job, State
from tickr.scheduler import expire as duty
from tickr.scheduler.expire import AGAIN_S, BATCH, NET_S, expire


async def ended_at(stage: Stage, job: Job) -> float:
    """Return when, by trio's clock, a job had expired; it must have."""
    after = await stage.get(job)
    assert after.state is State.CANCELLED
    assert after.error is not None
    assert after.error.kind == "expired"
    assert after.finished_at is not None
    return (after.finished_at - job.created_at) / SECOND_US


async def test_each_ends_at_its_instant_and_in_between_it_is_looked_once_a_second(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs = [(await stage.submit(queue="nobody's", expires_in_us=int(s * SECOND_US)))[0] for s in (2.3, 4.75)]
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(10)  # virtual
    assert [await ended_at(stage, job) for job in jobs] == [2.3, 4.75]
    assert stage.store.calls["end_expired"] <= 10 / NET_S + 3


async def test_what_was_not_known_in_time_ends_with_the_next_look(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(0.25)  # virtual
    (job,) = await stage.submit(expires_in_us=SECOND_US // 10)
    await trio.sleep(2)  # virtual
    assert await ended_at(stage, job) == pytest.approx(NET_S - 0.25)


async def test_nothing_of_them_stays_in_the_index(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(2, queue="nobody's", expires_in_us=SECOND_US)
    await stage.submit(queue="nobody's", delay_us=SECOND_US, expires_in_us=2 * SECOND_US)
    (fine,) = await stage.submit()
    assert await stage.indexed() == (3, 1)
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(3)  # virtual
    assert await stage.indexed() == (1, 0)
    assert await stage.index.missing([fine.entry()]) == []


async def test_an_index_that_is_away_holds_nothing_up(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    first, second = [(await stage.submit(expires_in_us=s * SECOND_US))[0] for s in (1, 2)]
    stage.index.failing["*"] = IndexUnavailable("away")
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(3)  # virtual
    assert [await ended_at(stage, job) for job in (first, second)] == [1, 2]


async def test_an_outage_of_the_store_only_makes_them_late(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.submit(expires_in_us=2 * SECOND_US)
    stage.store.failing["*"] = StoreUnavailable("away")
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(10.5)  # virtual
    stage.store.failing.clear()
    await trio.sleep(2)  # virtual
    assert 10.5 <= await ended_at(stage, job) <= 10.5 + NET_S


async def test_very_many_at_once_end_in_batches_that_leave_others_their_turn(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duty, "BATCH", 10)
    jobs = await stage.submit(55, expires_in_us=SECOND_US)
    took_s = 0.2
    end = stage.store.port.end_expired

    async def slow(limit: int) -> object:
        await trio.sleep(took_s)  # virtual
        return await end(limit)

    stage.store.port.end_expired = slow
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(1 + NET_S + 6 * 2 * took_s)  # virtual
    ends = sorted([await ended_at(stage, job) for job in jobs])
    assert ends[0] - 1 <= NET_S
    pauses = [later - sooner for sooner, later in zip(ends[:-1:10], ends[10::10], strict=False)]
    assert pauses == [pytest.approx(2 * took_s)] * 5, "as much rest as work"
    assert BATCH <= 1_000


async def test_one_that_somebody_holds_is_not_asked_for_in_a_loop(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await stage.submit(expires_in_us=SECOND_US)

    async def held(limit: int) -> object:
        await trio.lowlevel.checkpoint()
        return [], stage.store.now_us() - 1

    stage.store.port.end_expired = held
    nursery.start_soon(expire, stage.store, stage.index, stage.bell)
    await trio.sleep(1)  # virtual
    assert stage.store.calls["end_expired"] <= 1 / AGAIN_S + 1


async def test_a_claim_does_not_start_it_and_forgets_it_where_nobody_has_the_duty(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ran: list[str] = []

    async def work(job: tickr.Job) -> None:
        ran.append(job.id)

    slots = Slots(stage, work)
    await slots.run(nursery)
    late = await stage.submit(3, expires_in_us=SECOND_US)
    await trio.sleep(1)  # virtual
    (fine,) = await stage.submit()
    await slots.claim(nursery)
    await trio.sleep(1)  # virtual
    assert ran == [fine.id]
    for job in late:
        await ended_at(stage, job)
    assert await stage.indexed() == (0, 0)
    assert slots.claims == 1
