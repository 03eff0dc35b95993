"""Priorities are strict inside a queue, the oldest due first among equals. docs/queues.md says what follows.

Whoever has no end of urgent jobs starves the others in the same queue, and nobody in another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.stages.conftest import SECOND_US, Stage
from tests.stages.nodes import Slots
from tickr.errors import IndexUnavailable
from tickr.scheduler.promote import promote


class Node(Slots):
    """One slot, so that one job after the other begins. ``begun``: (queue, priority) of each."""

    def __init__(self, stage: Stage, after_each: Callable[[], Awaitable[object]]) -> None:
        super().__init__(stage, self.work, slots=1)
        self.begun: list[tuple[str, int]] = []
        self.ids: list[str] = []
        self._after_each = after_each

    async def work(self, job: tickr.Job) -> None:
        stored = await self.stage.store.get(job.id)
        assert stored is not None
        self.begun.append((stored.queue, stored.priority))
        self.ids.append(job.id)
        await self._after_each()
        await trio.sleep(0.1)  # virtual


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


@pytest.fixture(params=["index", "store"])
def indexed(request: pytest.FixtureRequest, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Claims go through the index, or straight to the store."""
    if request.param == "store":
        stage.index.failing["*"] = IndexUnavailable("away")
        monkeypatch.setattr(stage.index.port, "wait_available", trio.sleep_forever)
    return bool(request.param == "index")


async def test_urgent_ones_first_and_the_oldest_due_among_equals(
    stage: Stage, indexed: bool, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    now = stage.wall_clock()
    jobs = [
        (await stage.submit(priority=priority, run_at=now - age))[0]
        for priority, age in ((9, 9_000), (5, 1_000), (0, 1), (5, 3_000), (5, 2_000), (0, 0))
    ]
    node = Node(stage, nothing)
    await node.run(nursery)
    await node.claim(nursery)
    await trio.sleep(10)  # virtual
    assert [[job.id for job in jobs].index(job_id) for job_id in node.ids] == [2, 5, 3, 4, 1, 0]


async def test_a_queue_that_never_runs_out_of_urgent_jobs_starves_its_others_and_no_other_queue(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def another() -> None:
        await stage.submit(queue="busy", priority=0)

    await stage.submit(queue="busy", priority=9)
    await stage.submit(3, queue="calm", priority=9)
    await stage.submit(2, queue="busy", priority=0)
    node = Node(stage, another)
    await node.run(nursery)
    await node.claim(nursery)
    await trio.sleep(20)  # virtual; some two hundred jobs
    assert ("busy", 9) not in node.begun
    assert len(node.begun) > 100
    last_calm = max(at for at, begun in enumerate(node.begun) if begun == ("calm", 9))
    assert last_calm <= 12
    assert node.begun.count(("calm", 9)) == 3


async def test_a_delayed_urgent_job_goes_before_what_waits_once_it_is_due(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    await stage.submit(priority=0, delay_us=SECOND_US // 2)
    await stage.submit(20)
    node = Node(stage, nothing)
    await node.run(nursery)
    await node.claim(nursery)
    await trio.sleep(5)  # virtual
    await wait_all_tasks_blocked()
    assert 4 <= node.begun.index(("default", 0)) <= 7
    assert len(node.begun) == 21
