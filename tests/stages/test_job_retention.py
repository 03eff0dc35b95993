"""Retention of jobs: each goes when it ended long enough ago, at a bounded pace, and outages are outlived."""

from __future__ import annotations

import itertools
import math
from typing import Any

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.ports import Observed
from tests.stages.conftest import NODE, Stage
from tickr.errors import StoreUnavailable
from tickr.jobs import FINAL, Failure, Job, State
from tickr.reports import Outcome
from tickr.scheduler.retention import (
    BATCH_PAUSE_S,
    BEHIND_S,
    LARGEST_PAGE,
    LONGEST_WALK_S,
    REST,
    SLOW_S,
    WALK_S,
    JobRetention,
)
from tickr.store.contract import Filter, Node, Pruned, ScanPosition
from tickr.store.memory import MemoryStore

HOUR_S = 3600
DAY_S = 24 * HOUR_S
KINDS = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}


async def ended(stage: Stage, state: State, count: int = 1) -> list[Job]:
    """Store jobs that end now, as ``state``."""
    jobs = await stage.insert(count)
    await stage.register(NODE)
    for start in range(0, count, 1000):
        some = [job.id for job in jobs[start : start + 1000]]
        claimed = await stage.store.claim(some, node=NODE, types={"noop"})
        failure = None if state is State.SUCCEEDED else Failure("exception", "no")
        kind: Any = KINDS[state]
        await stage.store.finish([Outcome(job=job, kind=kind, failure=failure) for job in claimed])
    return jobs


async def kept(stage: Stage) -> dict[State, int]:
    """Return how many jobs there are in each final state."""
    jobs = (await stage.store.list_jobs(Filter(), limit=100_000)).jobs
    return {state: sum(job.state is state for job in jobs) for state in FINAL}


def retention(stage: Stage, *, keep_succeeded_s: float = DAY_S, keep_failed_s: float = 3 * DAY_S) -> JobRetention:
    return JobRetention(stage.store, keep_succeeded_s=keep_succeeded_s, keep_failed_s=keep_failed_s)


async def test_each_goes_when_its_time_is_over_and_not_before(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(retention(stage).run)
    waiting = await stage.insert(2)
    for state in FINAL:
        await ended(stage, state)
    await trio.sleep(DAY_S)  # virtual
    assert await kept(stage) == dict.fromkeys(FINAL, 1)
    await trio.sleep(LONGEST_WALK_S + 1)  # virtual
    assert await kept(stage) == {State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 1}
    await trio.sleep(2 * DAY_S - LONGEST_WALK_S - 2)  # virtual
    assert await kept(stage) == {State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 1}
    await trio.sleep(LONGEST_WALK_S + 2)  # virtual
    assert await kept(stage) == dict.fromkeys(FINAL, 0)
    assert [(await stage.get(job)).state for job in waiting] == [State.READY] * 2


async def test_for_ever_is_for_ever(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for state in FINAL:
        await ended(stage, state)
    with trio.fail_after(1):
        await retention(stage, keep_succeeded_s=math.inf, keep_failed_s=math.inf).run()
    nursery.start_soon(retention(stage, keep_failed_s=math.inf).run)
    await trio.sleep(2000 * DAY_S)  # virtual
    assert await kept(stage) == {State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 1}


async def test_a_lot_goes_at_a_bounded_pace(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    count = 10 * LARGEST_PAGE
    for _ in range(count // 1000):
        await ended(stage, State.SUCCEEDED, 1000)
    await trio.sleep(2 * DAY_S)  # virtual
    nursery.start_soon(retention(stage).run)
    await trio.sleep(BATCH_PAUSE_S * 8)  # virtual
    left = (await kept(stage))[State.SUCCEEDED]
    assert count - 8 * LARGEST_PAGE <= left < count
    await trio.sleep(BATCH_PAUSE_S * 10)  # virtual
    assert (await kept(stage))[State.SUCCEEDED] == 0
    calls = stage.store.calls["prune_jobs"]
    assert calls >= count / LARGEST_PAGE
    await trio.sleep(WALK_S - 1)  # virtual: and now there is no hurry
    assert stage.store.calls["prune_jobs"] <= calls + 3


async def test_where_there_is_nothing_to_do_the_looks_become_rare(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await ended(stage, State.FAILED)
    nursery.start_soon(retention(stage).run)
    await trio.sleep(DAY_S)  # virtual
    looks = stage.store.calls["prune_jobs"]
    assert 3 * 24 <= looks <= 3 * (24 + 7)
    await trio.sleep(10 * DAY_S)  # virtual
    looks = stage.store.calls["prune_jobs"]
    await ended(stage, State.FAILED)
    await trio.sleep(DAY_S)  # virtual
    assert stage.store.calls["prune_jobs"] - looks <= 3 * 25


async def test_what_is_kept_for_a_second_is_gone_within_a_few(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(retention(stage, keep_succeeded_s=1, keep_failed_s=1).run)
    for _ in range(3):
        await ended(stage, State.SUCCEEDED)
        await trio.sleep(4)  # virtual
        assert await kept(stage) == dict.fromkeys(FINAL, 0)


async def test_what_went_is_told_to_the_operator(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await ended(stage, State.FAILED, 3)
    await ended(stage, State.SUCCEEDED, 2)
    with capture_logs() as logs:
        nursery.start_soon(retention(stage).run)
        await trio.sleep(5 * DAY_S)  # virtual
    told = [entry for entry in logs if entry["event"] == "retention.jobs_deleted"]
    assert [{name: entry[name] for name in entry if name in KINDS} for entry in told] == [
        {"succeeded": 2},
        {"failed": 3},
    ]


class SlowStore(MemoryStore):
    """A store that takes its time to delete jobs."""

    took_s = 0.0

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        self.asked.append((trio.current_time(), limit))
        await trio.sleep(self.took_s)
        return await super().prune_jobs(state, before, limit, position)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[float, int]] = []


async def test_a_store_that_is_slow_is_asked_for_less_and_more_rarely(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slow = SlowStore(clock=stage.wall_clock)
    stage.store = Observed(slow)
    for _ in range(6):
        await ended(stage, State.SUCCEEDED, 1000)
    await trio.sleep(2 * DAY_S)  # virtual
    nursery.start_soon(retention(stage).run)
    await trio.sleep(BATCH_PAUSE_S * 7.5)  # virtual
    assert slow.asked[-1][1] == LARGEST_PAGE
    slow.took_s = 2 * SLOW_S
    await trio.sleep(slow.took_s * 5 * 6)  # virtual
    assert slow.asked[-1][1] <= LARGEST_PAGE / 8
    assert slow.asked[-1][0] - slow.asked[-2][0] >= 5 * slow.took_s - 1e-6


async def test_who_is_behind_rests_less(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    slow = SlowStore(clock=stage.wall_clock)
    stage.store = Observed(slow)
    slow.took_s = 2.0
    for _ in range(2):
        await ended(stage, State.SUCCEEDED, 1000)
    await trio.sleep(2 * DAY_S)  # virtual
    nursery.start_soon(retention(stage).run)
    await trio.sleep(BEHIND_S + 100)  # virtual
    asked_at = [at - slow.asked[0][0] for at, _ in slow.asked]
    gaps = {round(later - earlier, 6) for earlier, later in itertools.pairwise(asked_at) if earlier <= BEHIND_S}
    assert gaps == {slow.took_s * (1 + REST)}
    gaps = {round(later - earlier, 6) for earlier, later in itertools.pairwise(asked_at) if earlier > BEHIND_S}
    assert gaps == {slow.took_s * 2}


async def test_many_nodes_take_no_more_than_one(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for n in range(4):
        node = Node(id=f"{n:032x}", host="h", pid=n, version="0", roles=("scheduler",) if n < 3 else ("api",))
        await stage.store.register(node, lease_s=10_000)
    await ended(stage, State.SUCCEEDED, 8000)
    await trio.sleep(2 * DAY_S)  # virtual
    nursery.start_soon(retention(stage).run)
    await trio.sleep(BATCH_PAUSE_S * 3 * 10 + 0.01)  # virtual
    assert stage.store.calls["prune_jobs"] <= 11


async def test_two_nodes_do_it_at_once(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    for _ in range(2):
        nursery.start_soon(retention(stage, keep_succeeded_s=60).run)
    for _ in range(20):
        await ended(stage, State.SUCCEEDED, 20)
        await trio.sleep(10)  # virtual
    assert 6 * 20 <= (await kept(stage))[State.SUCCEEDED] <= 8 * 20


async def test_an_outage_is_told_once_and_outlived(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(retention(stage).run)
    await ended(stage, State.SUCCEEDED)
    with capture_logs() as logs:
        stage.store.failing["*"] = StoreUnavailable("away")
        await trio.sleep(2 * DAY_S)  # virtual
        stage.store.failing.clear()
        await trio.sleep(LONGEST_WALK_S + 5)  # virtual
    assert await kept(stage) == dict.fromkeys(FINAL, 0)
    assert [entry["event"] for entry in logs] == ["retention.interrupted", "retention.jobs_deleted"]
