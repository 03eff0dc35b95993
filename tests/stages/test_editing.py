"""Jobs that are changed while they wait: the index and the workers hear of it; in virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.ports import pop_ids
from tests.stages.conftest import SECOND_US, Stage
from tests.stages.nodes import Slots
from tests.stages.test_operations import add
from tickr.bell import Ring
from tickr.edits import Edit
from tickr.errors import IndexUnavailable
from tickr.index.contract import LATE_US
from tickr.intake import Intake
from tickr.jobs import State
from tickr.scheduler.audit import PERIOD_S, Audit
from tickr.scheduler.operations import Operations
from tickr.scheduler.promote import promote

HOUR_US = 3600 * SECOND_US


def intake(stage: Stage) -> Intake:
    return Intake(stage.store, stage.bell, stage.announcer)


async def work() -> None:
    await trio.sleep(1)  # virtual


async def test_a_job_that_is_to_run_now_runs_at_once(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    node = Slots(stage, work)
    await node.run(nursery)
    await node.claim(nursery)
    (job,) = await stage.submit(delay_us=HOUR_US)
    began = trio.current_time()
    await intake(stage).edit(job.id, Edit(delay_us=0))
    await wait_all_tasks_blocked(0.001)
    assert (await stage.get(job)).state is State.RUNNING
    assert trio.current_time() - began < 0.1
    assert await stage.indexed() == (0, 0)


@pytest.mark.parametrize("at_s", [2, 30])
async def test_it_runs_at_its_new_time(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery, at_s: int
) -> None:
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    node = Slots(stage, work)
    await node.run(nursery)
    (job,) = await stage.submit(delay_us=10 * SECOND_US)
    await intake(stage).edit(job.id, Edit(delay_us=at_s * SECOND_US))
    await node.claim(nursery)
    await trio.sleep(at_s - 0.01)  # virtual
    assert (await stage.get(job)).state is State.READY
    await trio.sleep(0.02)  # virtual
    assert (await stage.get(job)).state is State.RUNNING


async def test_the_index_forgets_where_it_was(stage: Stage, autojump_clock: MockClock) -> None:
    due, later = (await stage.submit())[0], (await stage.submit(delay_us=HOUR_US, limit_key="acme"))[0]
    door = intake(stage)
    await door.edit(due.id, Edit(queue="other", priority=1))
    await door.edit(later.id, Edit(limit_key="b", queue="other", delay_us=0))
    assert await stage.indexed() == (2, 0)
    assert await pop_ids(stage.index, ["other"], 10) == [due.id, later.id]
    await door.edit(due.id, Edit(labels='{"a":"b"}'))
    assert await stage.indexed() == (0, 0), "what it does not order by is nothing to it"


async def test_a_change_counts_though_the_index_is_away(stage: Stage, autojump_clock: MockClock) -> None:
    async def away(*args: object, **how: object) -> None:
        raise IndexUnavailable("away")

    (job,) = await stage.submit(delay_us=HOUR_US)
    stage.index.port.push = stage.index.port.remove = away
    async with stage.bell.listen("work") as rings:
        assert (await intake(stage).edit(job.id, Edit(delay_us=0))).run_at == stage.wall_clock()
        assert rings.receive_nowait().kind == "work"


async def test_another_node_runs_it_soon_though_the_one_that_changed_it_has_died(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Between COMMIT and the index: there it is to run in an hour still, until the audit of another node looks."""
    nursery.start_soon(promote, stage.store, stage.index, stage.bell)
    node = Slots(stage, work)
    await node.run(nursery)
    await node.claim(nursery)
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    (job,) = await stage.submit(delay_us=HOUR_US)
    await trio.sleep(3)  # virtual
    await stage.store.edit(job.id, Edit(delay_us=0))
    await trio.sleep(2.5 * PERIOD_S)  # virtual
    assert (await stage.get(job)).started_at is not None


async def test_the_audit_leaves_what_is_parked_for_a_moment(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(Audit(stage.store, stage.index, stage.bell).run)
    await wait_all_tasks_blocked()
    (job,) = await stage.insert()
    await stage.index.park([job.entry()], until=stage.wall_clock() + LATE_US - SECOND_US)
    await trio.sleep(5 * PERIOD_S)  # virtual
    assert await stage.indexed() == (0, 1)


async def test_who_is_to_expire_sooner_does(stage: Stage, autojump_clock: MockClock) -> None:
    (job,) = await stage.submit(delay_us=HOUR_US)
    async with stage.bell.listen("expiry") as rings:
        after = await intake(stage).edit(job.id, Edit(delay_us=5, expires_in_us=SECOND_US))
        assert rings.receive_nowait() == Ring("expiry", at=after.extras.expires_at)


async def test_an_operation_tells_the_index_too(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    jobs = await stage.submit(5, delay_us=HOUR_US)
    await trio.sleep(1)  # virtual
    nursery.start_soon(Operations(stage.store, stage.index, stage.announcer, stage.bell).run)
    await add(stage, "edit", edit=Edit(delay_us=0, queue="now"))
    await stage.bell.ring(Ring("operation"))
    await trio.sleep(1)  # virtual
    assert await stage.indexed() == (5, 0)
    assert set(await pop_ids(stage.index, ["now"], 10)) == {job.id for job in jobs}
