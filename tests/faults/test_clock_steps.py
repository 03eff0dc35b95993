"""Clocks that are set by an hour while jobs run and wait: the database's, and a node's own. And a night in autumn.

Nothing starts before its ``run_at`` by the store's clock, no node loses its lease or its jobs, and work goes on. A step
of the database's clock moves what is delayed, as the guarantees say; one of a node's own moves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio

import tickr
from tests.conftest import do_without
from tests.faults import ledger
from tests.faults.clocks import SteppedMariaDB, SteppedTickr
from tests.features.conftest import Client, node
from tests.servers import missing_for_clocks, missing_for_mysql, mysql_execute
from tests.waiting import eventually
from tickr.scheduler.promote import LONGEST_SLEEP_S

pytestmark = pytest.mark.slow

HOUR_S = 3600
LEASE_S = 9.0
"""Long enough that nobody loses it on a machine busy with other tests, where a COMMIT may take seconds."""
RENEWALS = 3
"""After so many renewals by everybody a whole lease has gone by."""
GOES_ON_WITHIN_S = LONGEST_SLEEP_S + 3.0
"""Whoever sleeps until an instant looks at the clock again after so long, and a busy machine takes its time."""
LATE_S = 3.0
"""How late a start may be on a busy machine. With a node's own clock instead of the store's it would be an hour."""
SECOND_US = 1_000_000


def all_jobs() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("quick")
    async def quick(job: tickr.Job) -> None: ...

    @jobs.handler("long")
    async def long(job: tickr.Job) -> None:
        await trio.sleep_forever()

    return jobs


class Watch:
    """What the store's tables say, read without Tickr."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def rows(self, sql: str) -> list[list[str]]:
        return await trio.to_thread.run_sync(mysql_execute, self._url, sql)

    async def nobody_loses_his_lease(self) -> None:
        """Return when every node has renewed its lease some times more; none goes or comes meanwhile."""
        for _ in range(RENEWALS):
            before = await self._leases()

            async def all_renewed(before: dict[str, str] = before) -> bool:
                now = await self._leases()
                assert now.keys() == before.keys()
                return not now.items() & before.items()

            await eventually(all_renewed)

    async def _leases(self) -> dict[str, str]:
        return dict(await self.rows("SELECT id, lease_until FROM nodes"))

    async def assert_started_on_time(self, ids: Sequence[str]) -> None:
        """Return when all of ``ids`` have been started, soon after they were due by the store's clock."""
        keys = ", ".join(f"x'{job_id.replace('-', '')}'" for job_id in ids)
        question = f"SELECT started_at - run_at FROM jobs WHERE id IN ({keys}) AND started_at > 0"

        async def all_started() -> bool:
            late = [int(us) for (us,) in await self.rows(question)]
            assert all(0 <= us < LATE_S * SECOND_US for us in late)
            return len(late) == len(ids)

        await eventually(all_started)

    async def assert_nothing_early_nothing_stolen(self) -> None:
        assert (
            await self.rows("SELECT HEX(id), run_at, started_at FROM jobs WHERE started_at > 0 AND started_at < run_at")
            == []
        )
        assert await self.rows("SELECT HEX(id), attempt, crashes FROM jobs WHERE attempt > 1 OR crashes > 0") == []


async def set_the_databases_clock(server: SteppedMariaDB) -> None:
    watch, a_node = Watch(server.url), partial(node, all_jobs(), store=server.url, workers=4, lease=LEASE_S, grace=0.1)
    async with a_node() as one, a_node():
        await one.until((await one.post(type="long"))["id"], "running")
        within_the_hour = (await one.post(type="quick", delay=HOUR_S))["id"]
        later = (await one.post(type="quick", delay=2 * HOUR_S))["id"]

        server.clock.set(HOUR_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.nobody_loses_his_lease)
            nursery.start_soon(one.until_final, within_the_hour, GOES_ON_WITHIN_S)
        assert (await one.get(later))["state"] == "scheduled"

        moved_away = (await one.post(type="quick", delay=3))["id"]
        server.clock.set(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.nobody_loses_his_lease)
            nursery.start_soon(one.until_final, (await one.post(type="quick"))["id"], GOES_ON_WITHIN_S)
        assert (await one.get(moved_away))["state"] == "scheduled"

        server.clock.set(end_of_summer() - 1.5 - time.time())
        through_the_night = [(await one.post(type="quick", delay=half / 2))["id"] for half in range(9)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.nobody_loses_his_lease)
            nursery.start_soon(watch.assert_started_on_time, through_the_night)
            for job_id in (later, moved_away):
                nursery.start_soon(one.until_final, job_id, GOES_ON_WITHIN_S)
    await watch.assert_nothing_early_nothing_stolen()


def end_of_summer() -> float:
    """Return when ``NEW_YORK`` sets its clocks back: first Sunday of November, 06:00 UTC; in seconds since 1970."""
    november = datetime(datetime.now(UTC).year + 1, 11, 1, 6, tzinfo=UTC)
    return (november + timedelta(days=(6 - november.weekday()) % 7)).timestamp()


async def set_a_nodes_clock(url: str, marks: Path) -> None:
    watch = Watch(url)
    stepped = SteppedTickr(
        store=url,
        workers=4,
        app="tests.faults.lingering:jobs",
        arguments=["--lease", str(LEASE_S)],
        variables={ledger.VARIABLE: str(marks)},
    )
    try:
        await trio.to_thread.run_sync(stepped.start)
        async with (
            node(all_jobs(), store=url, lease=LEASE_S) as other,
            httpx2.AsyncClient(base_url=stepped.url, timeout=10) as http,
        ):
            client = Client(http, other.handle)
            await client.until((await client.post(type="lingers", payload={"number": 0}))["id"], "running")
            for step_s in (HOUR_S, -HOUR_S):
                delayed = [await post_slow(client, delay) for delay in (0.5, 1.5, 2.5)]
                stepped.clock.set(step_s)
                await eventually(partial(believes, http, step_s))
                delayed += [await post_slow(client, delay) for delay in (0.0, 0.5)]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(watch.nobody_loses_his_lease)
                    nursery.start_soon(watch.assert_started_on_time, delayed)
            assert stepped.running
        await watch.assert_nothing_early_nothing_stolen()
    finally:
        stepped.close()


async def post_slow(client: Client, delay: float) -> str:
    """Submit a job that only the node with the stepped clock can run."""
    return str((await client.post(type="slow", payload={"number": 0, "seconds": 0}, delay=delay))["id"])


async def believes(http: httpx2.AsyncClient, step_s: float) -> bool:
    """Whether the node takes it to be so many seconds later than it is."""
    said = parsedate_to_datetime((await http.get("/livez")).headers["Date"]).timestamp()
    return abs(said - time.time() - step_s) < HOUR_S / 2


@pytest.fixture
def stepped_server() -> Iterator[SteppedMariaDB]:
    if missing := missing_for_mysql() or missing_for_clocks():
        do_without(missing)
    with SteppedMariaDB() as server:
        yield server


async def test_a_clock_that_is_set_starts_nothing_early_and_steals_nothing(
    stepped_server: SteppedMariaDB, mysql_url: str, tmp_path: Path
) -> None:
    """Side by side, as most of the time is waiting: two nodes whose database steps, and two of which one steps."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_the_databases_clock, stepped_server)
        nursery.start_soon(set_a_nodes_clock, mysql_url, tmp_path / "ledger")
