"""After any run the statistics are what the feed says, each event counted once: whoever is killed, and wherever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx2
import pytest
import trio

from tests.processes import TickrProcess
from tests.store.backends import MANY_BYTES
from tests.store.test_contract_sums import placed
from tests.tallied import Count, counted, replay
from tests.waiting import eventually
from tickr import events
from tickr.failpoints import VARIABLE
from tickr.store.contract import Store
from tickr.store.open import open_store
from tickr.tallies import Step

pytestmark = pytest.mark.slow

BATCHES, JOBS = 12, 30


def node_on(url: str, **variables: str) -> TickrProcess:
    arguments = ["--log-level", "warning", "--lease", "1"]
    app = "tests.faults.counted_jobs:jobs"
    return TickrProcess(store=url, index="heap:", app=app, arguments=arguments, variables=variables)


async def in_thread(call: Callable[[], object]) -> None:
    await trio.to_thread.run_sync(call)


async def submit(node: TickrProcess) -> None:
    """Hand in a batch of each kind. A node that dies meanwhile has taken it or not."""
    some = [{"type": ("quick", "flaky", "bad")[n % 3], "queue": f"q{n % 2}"} for n in range(JOBS)]
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as http:
        with suppress(httpx2.TransportError):
            (await http.post("/jobs/batch", json={"jobs": some})).raise_for_status()


async def all_is_done(store: Store) -> None:
    async def nothing_is_left() -> bool:
        waiting = sum(one.ready + one.running + one.retrying for one in await store.queues())
        done = await store.tallied()
        return waiting == 0 and done.seq == await store.number_events()

    await eventually(nothing_is_left, within_s=40)


async def told(store: Store) -> dict[tuple[int, str, str], Count]:
    """Return what the feed says, by day."""
    log = []
    seq = 0
    while page := await store.event_rows(seq, 500, MANY_BYTES):
        log += [event for _, body in page for event in events.decode(body)]
        seq = page[-1][0]
    return replay(log, Step.DAY.length_us)


async def assert_exact(store: Store) -> int:
    """Compare the statistics with the feed. Returns how many jobs have ended."""
    for step in Step:
        found = [(place.at, part) for place, part in await placed(store, step)]
        assert counted(found, Step.DAY.length_us) == await told(store)
    return sum(part["succeeded"] + part["failed"] for _, part in await placed(store, Step.DAY))


async def test_the_sums_are_exact_although_one_of_two_nodes_is_killed(store_url: str) -> None:
    with ExitStack() as stack:
        victim, other = node_on(store_url), node_on(store_url)
        for node in (victim, other):
            stack.callback(node.close)
        await in_thread(other.start)
        await in_thread(victim.start)
        async with open_store(store_url) as store:
            for batch in range(BATCHES):
                if batch == BATCHES // 2:
                    await in_thread(victim.kill)
                    await in_thread(victim.start)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(submit, victim)
                    nursery.start_soon(submit, other)
            await all_is_done(store)
            assert await assert_exact(store) == 2 * BATCHES * JOBS


@pytest.mark.parametrize("point", ["statistics.before_commit", "statistics.after_commit"])
async def test_a_batch_is_counted_once_although_its_node_dies_in_it(store_url: str, point: str) -> None:
    with ExitStack() as stack:
        node = node_on(store_url, **{VARIABLE: f"{point}=kill@2"})
        stack.callback(node.close)
        await in_thread(node.start)

        async def is_dead() -> bool:
            await submit(node)
            return not node.running

        await eventually(is_dead, within_s=30)
        await in_thread(node.kill)
        node.variables = {}
        await in_thread(node.start)
        async with open_store(store_url) as store:
            await all_is_done(store)
            assert await assert_exact(store) >= 2 * JOBS
