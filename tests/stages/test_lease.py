"""The lease: held by heartbeats, given up before the others may take it, and a new one under a new id."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio
from trio.testing import MockClock

from tests.stages.conftest import Stage
from tickr.errors import StoreUnavailable
from tickr.lease import SELF_FENCE, Lease, describe_process, forget_dead_neighbours
from tickr.store.contract import Node, Running

LEASE_S = 15.0


def lease_of(stage: Stage) -> Lease:
    return Lease(stage.store, Node(id="", host="here", pid=1, version="0"), lease_s=LEASE_S)


async def test_it_is_renewed_three_times_a_lease_and_hears_what_runs(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    lease = lease_of(stage)
    await lease.register()
    (job,) = await stage.insert()
    (job,) = await stage.store.claim([job.id], node=lease.node_id, types={"noop"})
    heard: list[list[Running]] = []
    nursery.start_soon(lease.keep, heard.append)
    await trio.sleep(4 * LEASE_S + 1)  # virtual
    assert heard == [[Running.of(job)]] * 12
    assert [node.id for node in await stage.store.nodes()] == [lease.node_id]


async def test_it_is_given_up_before_it_ends_when_the_store_is_away(stage: Stage, autojump_clock: MockClock) -> None:
    lease = lease_of(stage)
    await lease.register()
    began = trio.current_time()
    stage.store.failing["heartbeat"] = StoreUnavailable("away")
    await lease.keep()
    assert trio.current_time() - began == pytest.approx(SELF_FENCE * LEASE_S)
    assert SELF_FENCE * LEASE_S + 2 < LEASE_S  # time for the jobs to unwind before the others may take them


async def test_it_outlasts_a_short_outage(stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    lease = lease_of(stage)
    await lease.register()
    nursery.start_soon(lease.keep)
    await trio.sleep(4)  # virtual
    stage.store.failing["heartbeat"] = StoreUnavailable("away")
    await trio.sleep(5)  # virtual
    stage.store.failing.clear()
    await trio.sleep(60)  # virtual
    assert len(await stage.store.nodes()) == 1


async def test_a_row_that_is_gone_is_a_lost_lease_and_the_next_id_is_new(
    stage: Stage, autojump_clock: MockClock
) -> None:
    lease = lease_of(stage)
    await lease.register()
    first = lease.node_id
    await stage.store.deregister(first)
    with trio.fail_after(LEASE_S / 3 + 1):
        await lease.keep()
    await lease.register()
    assert lease.node_id != first


async def test_a_store_that_takes_no_row_is_told_at_once_at_a_start(stage: Stage, autojump_clock: MockClock) -> None:
    stage.store.failing["register"] = StoreUnavailable("read-only")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await lease_of(stage).register()


async def test_registering_patiently_outlasts_an_outage(
    stage: Stage, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    lease = lease_of(stage)
    stage.store.failing["register"] = StoreUnavailable("away")
    nursery.start_soon(lease.register_patiently)
    await trio.sleep(30)  # virtual
    stage.store.failing.clear()
    await trio.sleep(2)  # virtual
    assert [node.id for node in await stage.store.nodes()] == [lease.node_id]


DESCRIBE = "from tickr.lease import describe_process; print(describe_process(), flush=True); input()"


@pytest.mark.slow
async def test_neighbours_that_the_kernel_knows_to_be_dead_are_forgotten(stage: Stage) -> None:
    with subprocess.Popen(  # noqa: ASYNC220  (nothing else runs in this test)
        [sys.executable, "-c", DESCRIBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        there = process.stdout.readline().strip()
        boot, pid_space, pid, start = there.split("/")
        rows = {
            "killed": there,
            "myself": describe_process(),
            "other machine": f"other-boot/{pid_space}/{pid}/{start}",
            "other container": f"{boot}/pid:[1]/{pid}/{start}",
            "pid used again": f"{boot}/{pid_space}/{pid}/1",
            "unknown": "",
        }
        for name, described in rows.items():
            await stage.store.register(
                Node(id=name, host="here", pid=1, version="0", process=described), lease_s=LEASE_S
            )
        await forget_dead_neighbours(stage.store)
        alive = {node.id for node in await stage.store.nodes()}
        assert alive == rows.keys() - {"pid used again"}
        process.kill()  # a zombie until it is waited for: dead all the same
        await forget_dead_neighbours(stage.store)
        process.wait()
        await forget_dead_neighbours(stage.store)
        assert {node.id for node in await stage.store.nodes()} == alive - {"killed"}
