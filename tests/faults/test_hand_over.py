"""Three nodes and no leader, under load: stopped in turn they hand over, killed in pairs they lose nothing."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import trio

from tests.faults.fleet import Fleet, Place, fleet, until_ended
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

NODES = 3
CLIENTS = 4
PAUSE_S = 0.03
"""Between two submissions of one client."""
LONGEST_S = 1.0
"""Of the jobs; much shorter than the grace."""
ROUNDS = 4
LEASE_S = 3.0
DRAINED_WITHIN_S = 60.0


@pytest.fixture
def place(mysql_url: str, redis_url: str) -> Place:
    return Place(mysql_url, redis_url)


@pytest.fixture
def chance() -> random.Random:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


async def load(on: Fleet, chance: random.Random, over: trio.Event, *, failing: bool) -> None:
    """Submit jobs of several kinds at any node until ``over``; return when each has its 201."""

    async def client() -> None:
        while not over.is_set():
            match chance.choice(["quick", "quick", "later", "slow", "thread", "flaky" if failing else "quick"]):
                case "later":
                    await on.submit(options={"delay": round(chance.uniform(0.2, 3), 3)})
                case ("slow" | "thread") as type:
                    await on.submit(type, seconds=round(chance.uniform(0.1, LONGEST_S), 3))
                case type:
                    await on.submit(type)
            await trio.sleep(PAUSE_S)

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)


async def test_a_rolling_restart_of_all_nodes_costs_no_job_an_attempt(
    tmp_path: Path, place: Place, chance: random.Random
) -> None:
    over = trio.Event()
    async with fleet(tmp_path, place, nodes=NODES, lease_s=15) as on, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: load(on, chance, over, failing=False))
        for node in on.nodes:
            node.terminate()
            await until_ended(node)
            assert node.wait() == 0
            await on.restart(node)
        over.set()
        await on.all_final(within_s=DRAINED_WITHIN_S)
        await on.verdict()
        jobs, events = on.stored()
    assert {(job.state, job.attempt, job.crashes, job.fence) for job in jobs} == {("succeeded", 1, 0, 1)}
    assert Counter(event.what for event in events) == dict.fromkeys(("created", "started", "succeeded"), len(jobs))
    # Nobody was refused, and what was taken was answered; a client may just meet an idle connection that closes.
    assert set(on.answers) <= {"RemoteProtocolError", "ReadError", "WriteError"}


async def test_any_two_of_three_nodes_killed_again_and_again(
    tmp_path: Path, place: Place, chance: random.Random
) -> None:
    over = trio.Event()
    async with fleet(tmp_path, place, nodes=NODES, lease_s=LEASE_S) as on, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: load(on, chance, over, failing=True))
        for number in range(ROUNDS):
            await kill_two(on, chance, rest_s=[chance.uniform(0, 1), chance.uniform(0, 1) + number % 2 * (LEASE_S + 1)])
        over.set()
        await on.all_final(within_s=DRAINED_WITHIN_S)
        table = (await on.verdict()).table
    assert table.kills == 2 * ROUNDS


async def kill_two(on: Fleet, chance: random.Random, *, rest_s: list[float]) -> None:
    """Kill two nodes and start them again. One that rests for longer than its lease has lost its jobs to the third."""

    async def strike(node: TickrProcess, rest_s: float) -> None:
        await trio.sleep(chance.uniform(0, 1))
        on.kill(node)
        await trio.sleep(rest_s)
        await on.restart(node)

    async with trio.open_nursery() as nursery:
        for node, resting_s in zip(chance.sample(on.nodes, 2), rest_s, strict=True):
            nursery.start_soon(strike, node, resting_s)
