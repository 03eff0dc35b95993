"""Errors of MySQL that pass by themselves: fought out under load, so that nobody hears of them.

Deadlocks, lock waits, statements and connections that were killed, connections that were refused or cut at any byte, a
fail-over. Each is provoked for real, except 1020: MariaDB before 11.6.2 does not raise it by itself, so a trigger does.
A MySQL that stays read-only, full, frozen or away is in ``test_cut_lines.py`` and ``test_mysql_outage.py``.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

import pytest
import trio

from tests.faults.asking import ANSWERED_WITHIN_S, MARGIN_S, Askers, assert_all_yes, assert_each_ran_once
from tests.faults.conftest import CONNECTIONS, as_administrator, ordinary_database
from tests.faults.proxy import proxy_before
from tests.faults.rivals import Gated, rival_of
from tests.features.conftest import Client, node
from tests.servers import MariaDB, mysql_execute
from tests.store.backends import new_job, told
from tests.store.test_mysql_rivals import SLOW_QUEUES
from tests.waiting import eventually, happens
from tickr.store import mysql_pool
from tickr.store.mysql import open_mysql
from tickr.store.mysql_address import parse
from tickr.store.mysql_pool import Pool

pytestmark = pytest.mark.slow

OFTEN = 20
FEW = 5
"""Connections of a node that would like twice as many."""
STEPS: list[tuple[Literal["up", "down"], int]] = [("up", 23), ("down", 11)]
"""By how many bytes each cut comes later than the one before."""


async def test_deadlocks_lock_waits_and_kills_are_nobodys_business(
    mysql_url: str, fought_out: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_pool, "LOCK_WAIT_S", 1)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    gated, over = Gated(), trio.Event()
    async with node(gated.jobs, store=mysql_url, workers=20) as client:
        askers = Askers(client.http, type="quick")
        async with rival_of(mysql_url, gated, askers, fought_out) as rival, trio.open_nursery() as nursery:
            nursery.start_soon(askers.run, over)
            await rival.change_what_was_read()
            while fought_out[1213] < 2:
                await rival.deadlock()
            for number in (1205, 1317):
                await rival.hold_an_outcome(until=number)
                await rival.hold_what_comes(until=number)
            nursery.start_soon(rival.kill_connections, over, random.Random(seed))

            def often_enough() -> bool:
                return fought_out[1020] >= OFTEN and fought_out[2006] + fought_out[2013] + fought_out[1927] >= OFTEN

            await eventually(happens(often_enough), within_s=30)
            over.set()
        assert_all_yes(askers.answers)
        await assert_each_ran_once(mysql_url, askers.accepted)


@asynccontextmanager
async def crowd(url: str, count: int) -> AsyncIterator[None]:
    """Hold so many connections to the server of ``url``."""
    async with trio.open_nursery() as nursery:
        pool = Pool(parse(url), None, nursery, size=max(1, count))
        async with AsyncExitStack() as held:
            for _ in range(count):
                await held.enter_async_context(pool.connection())
            yield
        await pool.aclose()


async def look_round(client: Client, over: trio.Event) -> None:
    """Ask for what takes connections of its own."""
    while not over.is_set():
        for path in ("/queues", "/jobs?limit=5", "/events"):
            assert (await client.http.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    ("ordinary_url", "taken", "error"),
    [(FEW, 0, 1226), (0, CONNECTIONS - FEW, 1040)],
    ids=["of the account", "of the server"],
    indirect=["ordinary_url"],
)
async def test_too_few_connections_are_nobodys_business(
    small_server: MariaDB, ordinary_url: str, taken: int, error: int, fought_out: Counter[int]
) -> None:
    over = trio.Event()
    async with crowd(small_server.url, taken), node(Gated().jobs, store=ordinary_url) as client:
        askers = Askers(client.http, type="quick")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(askers.run, over)
            for _ in range(FEW):
                nursery.start_soon(look_round, client, over)
            await eventually(happens(lambda: fought_out[error] >= FEW and len(askers.answers) >= OFTEN), within_s=20)
            over.set()
        assert_all_yes(askers.answers)
        await assert_each_ran_once(as_administrator(small_server, ordinary_url), askers.accepted)


async def test_a_login_or_a_statement_cut_at_any_byte_is_nobodys_business(mysql_url: str) -> None:
    async with proxy_before(mysql_url) as proxy, open_mysql(proxy.url) as store:
        ids: set[str] = set()
        for direction, step in STEPS:
            for n_bytes in itertools.count(0, step):
                store._transactions._pool._distrust_idle()  # so that there is a login
                cuts, new = proxy.cuts, new_job()
                proxy.cut_after(n_bytes, direction)
                ((job, created),) = await store.insert([new])
                assert (job.id, created) == (new.id, True), (direction, n_bytes)
                ids.add(new.id)
                if proxy.cuts == cuts:
                    break
            proxy.heal()
            assert n_bytes > 250, direction
        assert sorted(event.job for commit in await told(store) for event in commit) == sorted(ids)


@pytest.fixture
def new_primary_url(ordinary_url: str, mysql_server_url: str) -> Iterator[str]:
    """The same database for the same user on another server, which replication would have filled."""
    if os.environ.get("TICKR_TEST_MYSQL"):
        pytest.skip("who may make users on the server in TICKR_TEST_MYSQL is not known")
    with ordinary_database(mysql_server_url, urlsplit(ordinary_url).username) as url:
        yield url


async def test_a_server_that_became_read_only_is_left_for_the_new_primary(
    small_server: MariaDB, ordinary_url: str, new_primary_url: str
) -> None:
    """The old primary goes on answering those who have a connection to it; the name leads to the new one."""
    async with open_mysql(new_primary_url):
        pass  # makes the tables
    # The next heartbeat finds that the new primary has no row of this node: a short lease has it soon.
    async with proxy_before(ordinary_url) as proxy, node(Gated().jobs, store=proxy.url, lease=3) as client:
        askers, over, at = Askers(client.http, type="quick"), trio.Event(), urlsplit(new_primary_url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(askers.run, over)
            await eventually(happens(lambda: len(askers.answers) >= OFTEN))
            proxy._server = (at.hostname or "", at.port or 3306)
            small_server.execute("SET GLOBAL read_only=1")
            moved_at = trio.current_time()
            await eventually(happens(lambda: len(askers.since(moved_at)) >= OFTEN))
            over.set()
        assert_all_yes(askers.answers)
        stayed = small_server.execute(f"SELECT LOWER(HEX(id)) FROM {at.username}.jobs")
        on_the_new = {job_id for job_id in askers.accepted if [job_id.replace("-", "")] not in stayed}
        await assert_each_ran_once(new_primary_url, on_the_new)


async def test_a_question_that_takes_too_long_for_the_server_is_a_503(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_pool, "STATEMENT_S", 1)
    async with node(Gated().jobs, store=mysql_url, roles=("api",)) as client:
        await client.post(type="quick")
        mysql_execute(mysql_url, SLOW_QUEUES)
        asked_at = trio.current_time()
        answer = await client.http.get("/queues")
        assert trio.current_time() - asked_at < ANSWERED_WITHIN_S + MARGIN_S
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json()["outcome_unknown"] is False
        mysql_execute(mysql_url, "DROP VIEW queues; RENAME TABLE all_queues TO queues")
        assert (await client.http.get("/queues")).status_code == 200
