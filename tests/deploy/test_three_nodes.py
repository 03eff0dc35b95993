"""What docs/production.md says of three nodes, done: servers and nodes are killed under load, and nothing is lost.

The checker decides from what the client heard, what the jobs wrote into a ledger, and what the last primary has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.children import Child
from tests.conftest import do_without
from tests.deploy.drill import Drill, drill, in_a_thread
from tests.deploy.site import Member, Site, missing_for_site, site
from tests.faults.checker import Table
from tests.faults.ledger import now_us
from tests.faults.proxy import proxy_before
from tests.servers import missing_for_mysql, missing_for_redis
from tests.waiting import eventually

pytestmark = pytest.mark.slow

NOBODY_DECIDES_S = 3.0
"""From the death of a primary to the first step of whoever puts another in its place."""
WORKS_ON_WITHIN_S = 5.0
"""How long Tickr may take for a yes once there is a primary again; beside other tests, twice that."""
RESTARTS_AFTER_S = 8.0
CUT_OFF_S = 3.0


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Site]:
    if missing := missing_for_mysql() or missing_for_redis() or missing_for_site():
        do_without(missing)
    with site(tmp_path) as found:
        yield found


async def kill_mysql(on: Drill) -> None:
    with on.noted("kill", "mysql"):
        await trio.to_thread.run_sync(on.primary.kill)
        await trio.sleep(NOBODY_DECIDES_S)
        await on.fail_over()


async def kill_redis(on: Drill) -> Member:
    """Kill the master, and wait until the sentinels have named another. Returns who was killed."""
    master = await eventually(on.master_of_redis, within_s=60)
    with on.noted("kill", "redis"):
        await trio.to_thread.run_sync(master.kill)
        await eventually(in_a_thread(lambda: on.site.named_master() not in (None, master)), within_s=30)
    return master


async def kill_machine(on: Drill, number: int) -> list[Child]:
    """Kill a node, the primary, the master and a sentinel at once; somebody notices. Returns what has to be started."""
    await eventually(on.master_of_redis, within_s=60)
    sentinel = on.site.sentinels[number]
    on.nodes[number].kill(rest_s=RESTARTS_AFTER_S)
    await trio.to_thread.run_sync(sentinel.kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill_mysql, on)
        master = await kill_redis(on)
    return [on.replica, master, sentinel]


async def judged(on: Drill) -> Table:
    """Return the checker's table; no promise was broken, and work went on by itself."""
    verdict = await on.verdict()
    assert not verdict.violations, verdict.told()
    assert on.load.strange == []
    assert [end for node in on.nodes for end in node.odd_ends] == []
    assert verdict.table.acknowledged > 0
    print("\nfor so many seconds nobody was answered with yes, at most:")
    for act, seconds in on.gaps_s.items():
        print(f"  {act:30} {seconds:5.2f}   {on.resumed_s[act]:5.2f} after its end; {on.refused[act]} were refused")
    print(verdict.table)
    assert max(on.resumed_s.values()) < 2 * WORKS_ON_WITHIN_S
    return verdict.table


async def test_a_killed_primary_a_killed_redis_and_a_killed_node_lose_nothing(servers: Site, tmp_path: Path) -> None:
    with trio.fail_after(110):
        async with drill(servers, tmp_path) as on:
            async with on.act("the primary of MySQL"):
                await kill_mysql(on)
            async with on.act("the master of Redis"):
                await kill_redis(on)
            async with on.act("a node"):
                on.nodes[0].kill(rest_s=RESTARTS_AFTER_S)
        table = await judged(on)
    assert on.refused["the primary of MySQL"] > 0
    # A submission needs neither Redis nor this very node.
    assert on.refused["the master of Redis"] == on.refused["a node"] == 0
    assert table.kills == 1


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_machines_die_and_come_back_one_after_the_other_and_lose_nothing(servers: Site, tmp_path: Path) -> None:
    with trio.fail_after(220):
        async with drill(servers, tmp_path) as on:
            async with on.act("the first machine dies"):
                dead = await kill_machine(on, 0)
            async with on.act("the first machine is back"):
                for server in dead:
                    await trio.to_thread.run_sync(server.start)
                assert on.replica.variable("read_only") == "1"
                await on.join(on.replica)
            async with on.act("a planned switch"):
                with on.noted("switch", "mysql"):
                    await on.fail_over()
            async with on.act("the old primary follows"):
                await on.join(on.replica)
            async with on.act("the primary is frozen"):
                with on.noted("freeze", "mysql"):
                    on.primary.stop()
                    await trio.sleep(NOBODY_DECIDES_S)
                    await on.fail_over()
            async with on.act("it goes on, and follows"):
                on.replica.cont()
                await on.join(on.replica)
            async with on.act("the second machine dies"):
                await kill_machine(on, 1)
        table = await judged(on)
    assert table.kills >= 2  # a node that is started while MySQL is away says so and ends, and counts as another


@pytest.mark.parametrize(
    "waits",
    [pytest.param(True, id="semi-synchronous"), pytest.param(False, id="asynchronous", marks=pytest.mark.long)],
)
async def test_a_primary_that_is_cut_off_from_its_replica_says_yes_only_if_it_does_not_wait(
    servers: Site, tmp_path: Path, waits: bool
) -> None:
    async with proxy_before(servers.databases[0].url) as line:
        with trio.fail_after(110):
            async with drill(servers, tmp_path, by=f"127.0.0.1:{line.port}", listens=waits) as on:
                if not waits:
                    on.primary.execute("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
                line.blackhole()
                cut_at = now_us()
                await trio.sleep(CUT_OFF_S)
                with on.noted("kill", "mysql"):
                    await trio.to_thread.run_sync(on.primary.kill)
                    killed_at = now_us()
                    line.reset()
                    await on.fail_over()
            verdict = await on.verdict()
    yes = [one for one in on.load.submissions if one.asked_at > cut_at and one.answered_at < killed_at]
    if waits:
        assert yes == []
        assert not verdict.violations, verdict.told()
    else:
        assert yes
        assert verdict.table.lost > 0
