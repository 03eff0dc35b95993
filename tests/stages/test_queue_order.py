"""A queue whose newest jobs go first, through a whole node: whatever comes meanwhile, and whoever has not been told."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.ports import pop_ids
from tests.stages.conftest import SECOND_US, Stage
from tests.stages.test_gates import Node, control
from tickr.errors import IndexUnavailable
from tickr.jobs import Job
from tickr.queues import Limits
from tickr.scheduler.audit import PERIOD_S, Audit


class Watched(Node):
    """A node that writes down in which order jobs begin: ``order``, by id."""

    def __init__(self, stage: Stage, *, slots: int = 1) -> None:
        super().__init__(stage, slots=slots)
        self.order: list[str] = []

    async def work(self, job: tickr.Job) -> None:
        self.order.append(job.id)
        await super().work(job)


async def backlog(stage: Stage, count: int = 6, **fields: object) -> list[Job]:
    """Submit jobs of which each is due a second after the one before, all of them in the past."""
    now = stage.wall_clock()
    return [(await stage.submit(run_at=now - (count - n) * SECOND_US, **fields))[0] for n in range(count)]


def ids_of(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def work_off(node: Watched) -> None:
    while node.runs:
        await node.let_go()


async def test_the_newest_begins_first_and_one_that_comes_is_the_next(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Watched(stage)
    await control(stage, "default", order="newest")
    await stage.announcer.announce_orders()
    jobs = await backlog(stage)
    await node.start(nursery)
    assert node.order == [jobs[5].id]
    (comes,) = await stage.submit()
    (urgent,) = await stage.submit(priority=0, run_at=stage.wall_clock() - 99 * SECOND_US)
    await work_off(node)
    assert node.order == [jobs[5].id, urgent.id, comes.id, *ids_of(jobs[4::-1])]


async def test_a_job_that_is_put_off_is_as_new_as_its_next_try(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """So where the newest goes first it goes before what has waited all the time."""
    node = Watched(stage)
    await control(stage, "default", order="newest")
    await stage.announcer.announce_orders()
    (late,) = await stage.submit(delay_us=SECOND_US)
    jobs = await backlog(stage)
    await node.start(nursery)
    await trio.sleep(1)  # virtual
    await work_off(node)
    assert node.order == [jobs[5].id, late.id, *ids_of(jobs[4::-1])]


async def test_a_change_under_a_backlog_holds_from_the_next_look_even_if_nobody_tells(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The node that took it died before it told the index; the audit of any other does it within a period."""
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    jobs = await backlog(stage)
    await trio.sleep(PERIOD_S / 2)  # virtual
    await stage.store.control("default", order="newest")
    assert await pop_ids(stage.index, ["default"], 1) == [jobs[0].id], "nobody has told the index"
    await trio.sleep(PERIOD_S)  # virtual
    assert await pop_ids(stage.index, ["default"], 2) == [jobs[5].id, jobs[4].id]
    await stage.store.control("default", order="oldest")
    await trio.sleep(PERIOD_S)  # virtual
    assert await pop_ids(stage.index, ["default"], 3) == ids_of(jobs[:3]), "with the first, which was put back"


async def test_an_index_that_was_away_hears_of_it_when_it_is_back(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    jobs = await backlog(stage)
    stage.index.failing["*"] = IndexUnavailable("away")
    await stage.store.control("default", order="newest")
    await stage.announcer.announce_orders()
    del stage.index.failing["*"]
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    await trio.sleep(PERIOD_S / 2)  # virtual
    assert await pop_ids(stage.index, ["default"], 1) == [jobs[5].id]


async def test_while_the_index_is_away_the_store_gives_the_newest(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Watched(stage)
    await control(stage, "default", order="newest")
    jobs = await backlog(stage)
    stage.index.failing["*"] = IndexUnavailable("away")
    monkeypatch.setattr(stage.index.port, "wait_available", trio.sleep_forever)
    await node.start(nursery)
    for _ in jobs:
        await trio.sleep(1)  # virtual: a look into the store
        await node.let_go()
    assert node.order == ids_of(jobs[::-1])


async def test_limits_hold_and_who_was_kept_back_is_in_the_order(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Watched(stage, slots=5)
    await control(stage, "default", order="newest", limits=Limits(max_running=1))
    await stage.announcer.announce_orders()
    jobs = await backlog(stage)
    await node.start(nursery)
    assert len(node.runs) == 1
    await work_off(node)
    assert (node.order, node.most["default"]) == (ids_of(jobs[::-1]), 1)


async def test_an_order_alone_leaves_the_claims_alone(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """No gate: a job may start in the transaction that stores it, and no place is counted."""
    node = Watched(stage, slots=5)
    await control(stage, "default", order="newest")
    await node.start(nursery)
    await trio.sleep(1)  # virtual
    waiting = node.claimer.waiting
    assert waiting is not None
    assert "default" in waiting.queues


async def test_a_pause_that_is_over_leaves_the_order(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    node = Watched(stage)
    await node.start(nursery)
    await control(stage, "default", order="newest", paused=True, until=stage.wall_clock() + SECOND_US)
    await trio.sleep(3)  # virtual
    (standing,) = await stage.store.standings()
    assert (standing.controls.paused, standing.controls.gated, standing.controls.order) == (False, False, "newest")
