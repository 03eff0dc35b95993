"""The age of the backlog is seen every few seconds, by one of any number of nodes, and what is too old of it goes."""

from __future__ import annotations

from itertools import pairwise

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.stages.conftest import START_US, Stage
from tests.store.test_contract_backlog import placed
from tickr.errors import StoreUnavailable
from tickr.scheduler.backlog import APART_S, LOOK_S, BacklogAge
from tickr.scheduler.statistics import KEEP_S, PRUNE_S
from tickr.store.backlog import REST
from tickr.tallies import Step


async def seen(stage: Stage, step: Step = Step.MINUTE) -> dict[tuple[int, str], float]:
    """Return the ages in seconds, by how many steps after the first, and queue."""
    first = step.begin(START_US)
    found = await placed(stage.store.port, step)
    return {((place.at - first) // step.length_us, place.queue): age / 1e6 for place, age in found}


async def test_a_job_that_waits_grows_older_and_one_that_is_gone_is_not_seen(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    (job,) = await stage.insert(queue="slow")
    nursery.start_soon(BacklogAge(stage.store).run)
    await trio.sleep(3 * LOOK_S + 1)  # virtual
    assert (await seen(stage, Step.DAY))[0, "slow"] == 3 * LOOK_S
    await stage.store.port.cancel(job.id)
    await trio.sleep(60)  # virtual
    *_, (_, queue) = await seen(stage)
    assert queue == REST
    assert (await seen(stage, Step.DAY))[0, "slow"] == 3 * LOOK_S


async def test_of_several_nodes_one_looks_at_a_time(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    took = list[float]()
    look = stage.store.port.look_at_backlog

    async def looking(every_us: int) -> bool:
        if done := await look(every_us):
            took.append(trio.current_time())
        return done

    stage.store.port.look_at_backlog = looking  # type: ignore[method-assign]
    for _ in range(5):
        nursery.start_soon(BacklogAge(stage.store).run)
        await trio.sleep(0.7)  # virtual
    await trio.sleep(60)  # virtual
    assert all(APART_S <= later - sooner <= LOOK_S + 1 for sooner, later in pairwise(took))
    assert 60 / LOOK_S <= len(took) <= 64 / APART_S + 1


async def test_while_the_store_is_away_nothing_is_seen(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(BacklogAge(stage.store).run)
    await trio.sleep(LOOK_S)  # virtual
    with capture_logs() as logs:
        stage.store.failing["*"] = StoreUnavailable("away")
        await trio.sleep(180)  # virtual
        stage.store.failing.clear()
        await trio.sleep(2 * LOOK_S)  # virtual
    assert [entry["event"] for entry in logs] == ["backlog.interrupted"]
    assert [at for at, _ in await seen(stage)] == [0, 3]


async def test_each_step_is_kept_as_long_as_its_sums(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store = stage.store.port
    assert await store.look_at_backlog(0)
    await trio.sleep(KEEP_S[Step.MINUTE] + 2 * 60)  # virtual
    assert await store.look_at_backlog(0)
    nursery.start_soon(BacklogAge(stage.store).run)
    await trio.sleep(PRUNE_S / 2)  # virtual
    assert min(at for at, _ in await seen(stage)) > 0
    assert (0, REST) in await seen(stage, Step.HOUR)
