"""A connection that breaks in the COMMIT of a submission with keys: the same request again is the same job.

As in ``test_mysql_commit.py``, but the client has no id to ask for: it has its ``Idempotency-Key``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
import trio

from tests.faults.proxy import Proxy, proxy_before
from tests.faults.test_mysql_commit import QUIET_LEASE_S, assert_stored_once
from tests.features.conftest import node
from tests.servers import mysql_execute

pytestmark = pytest.mark.slow

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
BODY = b'{"type":"quick","unique":{"key":"u"}}'


class Asker:
    """Sends one request, again and again."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(self) -> tuple[int, bool, dict[str, Any]]:
        """Return the status, whether it was told to be a replay, and the document."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": KEY}
        answer = await self._http.post("/jobs", content=BODY, headers=headers)
        return answer.status_code, "idempotent-replayed" in answer.headers, answer.json()


@asynccontextmanager
async def front(url: str) -> AsyncIterator[tuple[Asker, Proxy]]:
    """A node that takes requests only, behind a proxy; it has stored one job already."""
    async with (
        proxy_before(url) as proxy,
        node(store=proxy.url, roles=("api",), lease=QUIET_LEASE_S) as client,
    ):
        assert (await client.http.post("/jobs", json={"type": "quick", "id": KEY})).status_code == 201
        yield Asker(client.http), proxy


async def assert_one_job(url: str, told: dict[str, Any]) -> None:
    await assert_stored_once(url, told["id"])
    assert await trio.to_thread.run_sync(mysql_execute, url, "SELECT COUNT(*) FROM jobs") == [["2"]]
    names = "SELECT name FROM unique_keys WHERE expires_at IS NULL OR expires_at > 0 ORDER BY name"
    assert await trio.to_thread.run_sync(mysql_execute, url, names) == [[f"i:{KEY}"], ["u:u"]]


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_cut_on_a_line_that_comes_back_is_a_201(mysql_url: str, cut: Literal["before", "after"]) -> None:
    async with front(mysql_url) as (asker, proxy):
        proxy.cut = cut
        status, replayed, told = await asker.ask()
        assert (status, replayed, proxy.cuts) == (201, False, 1)
        assert await asker.ask() == (201, True, told)
        await assert_one_job(mysql_url, told)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_one_cut_by_a_server_that_is_gone_is_unknown_and_the_same_request_tells(
    mysql_url: str, cut: Literal["before", "after"]
) -> None:
    async with front(mysql_url) as (asker, proxy):
        proxy.cut = cut
        proxy.refuse()  # whoever wants to ask after it
        status, _, told = await asker.ask()
        assert (status, told["outcome_unknown"], proxy.cuts) == (503, True, 1)
        assert "the same Idempotency-Key" in told["detail"]
        proxy.heal()
        status, replayed, told = await asker.ask()
        assert (status, replayed) == (201, cut == "after")
        assert await asker.ask() == (201, True, told)
        await assert_one_job(mysql_url, told)


async def test_one_that_comes_after_the_answer_is_no_second_job(mysql_url: str) -> None:
    async with front(mysql_url) as (asker, proxy):
        proxy.cut = "late"
        status, _, told = await asker.ask()
        assert (status, told["outcome_unknown"]) == (503, True)
        answers: list[tuple[int, bool, dict[str, Any]]] = []

        async def again() -> None:
            answers.append(await asker.ask())

        async with trio.open_nursery() as nursery:  # the client asks again while the first COMMIT is still under way
            nursery.start_soon(again)
            nursery.start_soon(again)
            proxy.let_go.set()
        assert {status for status, _, _ in answers} <= {201, 503}
        status, replayed, told = await asker.ask()
        assert (status, replayed) == (201, True)
        assert all(seen == told for status, _, seen in answers if status == 201)
        await assert_one_job(mysql_url, told)
