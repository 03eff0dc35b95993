"""A connection that breaks in the middle of a submission's COMMIT, the whole way from a client's POST and back.

The node here does nothing but take requests, so that the COMMIT that is cut is the submission's. However it ends, the
client that asks again with the same id has its job once; and a 503 says whether the job may be stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import trio

from tests.faults.asking import ANSWERED_WITHIN_S, MARGIN_S, Answer, Askers
from tests.faults.proxy import Proxy, proxy_before
from tests.features.conftest import node
from tests.servers import mysql_execute
from tests.waiting import eventually

pytestmark = pytest.mark.slow

QUIET_LEASE_S = 600
"""So that no heartbeat comes between."""


@asynccontextmanager
async def front(url: str) -> AsyncIterator[tuple[Askers, Proxy]]:
    """A node that takes requests only, behind a proxy; it has stored one job already."""
    async with (
        proxy_before(url) as proxy,
        node(store=proxy.url, roles=("api",), lease=QUIET_LEASE_S) as client,
    ):
        askers = Askers(client.http, type="quick")
        assert (await askers.submit()).status == 201
        yield askers, proxy


async def assert_stored_once(url: str, job_id: str) -> None:
    """One row, one event, and the jobs beside it are those that were there."""
    key = job_id.replace("-", "")
    found = await trio.to_thread.run_sync(mysql_execute, url, f"SELECT version FROM jobs WHERE HEX(id) = '{key}'")
    assert found == [["1"]]
    told = f"SELECT COUNT(*) FROM events WHERE body LIKE '%{job_id}%'"
    assert await trio.to_thread.run_sync(mysql_execute, url, told) == [["1"]]


async def assert_again_is_the_same(askers: Askers, url: str, job_id: str) -> None:
    assert (await askers.submit(job_id)).status == 200
    await assert_stored_once(url, job_id)


def assert_unknown(answer: Answer) -> None:
    assert (answer.status, answer.body["outcome_unknown"], answer.body["job_id"]) == (503, True, answer.job)
    assert answer.retry_after == "2"
    assert answer.took_s < ANSWERED_WITHIN_S + MARGIN_S


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_cut_on_a_line_that_comes_back_is_a_201(mysql_url: str, cut: Literal["before", "after"]) -> None:
    async with front(mysql_url) as (askers, proxy):
        proxy.cut = cut
        answer = await askers.submit()
        assert (answer.status, proxy.cuts) == (201, 1)
        await assert_stored_once(mysql_url, answer.job)
        await assert_again_is_the_same(askers, mysql_url, answer.job)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_cut_by_a_server_that_is_gone_is_unknown_and_the_next_answer_is_the_truth(
    mysql_url: str, cut: Literal["before", "after"]
) -> None:
    async with front(mysql_url) as (askers, proxy):
        proxy.cut = cut
        proxy.refuse()  # whoever wants to ask after it
        answer = await askers.submit()
        assert proxy.cuts == 1
        assert_unknown(answer)
        assert (await askers.submit()).body["outcome_unknown"] is False
        proxy.heal()
        again = await askers.submit(answer.job)
        assert again.status == (201 if cut == "before" else 200)
        await assert_again_is_the_same(askers, mysql_url, answer.job)


async def test_a_commit_that_is_late_is_waited_for(mysql_url: str) -> None:
    async with front(mysql_url) as (askers, proxy), trio.open_nursery() as nursery:
        waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT body FROM events%UPDATE'"

        async def asked_after() -> bool:
            return await trio.to_thread.run_sync(mysql_execute, mysql_url, waits) == [["1"]]

        @nursery.start_soon
        async def let_go() -> None:
            await eventually(asked_after)
            proxy.let_go.set()

        proxy.cut = "late"
        answer = await askers.submit()
        assert answer.status == 201
        await assert_again_is_the_same(askers, mysql_url, answer.job)


async def test_a_commit_that_comes_after_the_answer_is_no_second_job(mysql_url: str) -> None:
    async with front(mysql_url) as (askers, proxy):
        proxy.cut = "late"
        answer = await askers.submit()
        assert_unknown(answer)
        async with trio.open_nursery() as nursery:  # the client asks again while the first COMMIT is still under way
            nursery.start_soon(askers.submit, answer.job)
            nursery.start_soon(askers.submit, answer.job)
            proxy.let_go.set()
        assert {one.status for one in askers.answers[-2:]} <= {200, 201, 503}
        await assert_again_is_the_same(askers, mysql_url, answer.job)


async def test_whoever_hangs_up_during_the_commit_finds_the_job(mysql_url: str) -> None:
    async with front(mysql_url) as (askers, proxy):
        proxy.latency_s = 0.05
        with trio.move_on_after(0.2) as patience:
            await askers.submit("019a0000-0000-7000-8000-000000000001")
        assert patience.cancelled_caught
        proxy.heal()
        again = await askers.submit("019a0000-0000-7000-8000-000000000001")
        assert again.status in (200, 201)
        await assert_again_is_the_same(askers, mysql_url, again.job)
