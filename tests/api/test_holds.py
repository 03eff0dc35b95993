"""Pauses with an end over HTTP: what may be said, and what everybody is shown of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.test_jobs import Clock, create
from tests.api.test_queues import explained, node
from tickr.queues import MAX_PAUSE_S
from tickr.store.memory import MemoryStore


def instant(clock: Clock, after_s: float) -> str:
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=clock()) + timedelta(seconds=after_s)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def test_a_pause_says_until_when_and_is_not_there_afterwards() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        await node(site)
        job_id = await create(site, type="a")
        shown = (await site.http.post("/queues/default/pause", json={"for": 60})).json()
        assert (shown["paused"], shown["paused_until"]) == (True, instant(clock, 60))
        (reason, *_) = (await explained(site, job_id))["reasons"]  # type: ignore[misc]
        assert (reason["code"], reason["until"]) == ("paused", instant(clock, 60))
        assert f"is paused until {instant(clock, 60)};" in reason["detail"]
        clock.now += 60_000_000
        shown = (await site.http.get("/queues/default")).json()
        assert (shown["paused"], shown["paused_until"]) == (False, None)
        assert [one["code"] for one in (await explained(site, job_id))["reasons"]] == ["next"]  # type: ignore[attr-defined]


async def test_a_pause_until_an_instant_of_one_queue_and_of_all() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        await create(site, queue="mail")
        await create(site, queue="other")
        until = instant(clock, 90)
        shown = (await site.http.post("/queues/mail/pause", json={"until": until})).json()
        assert (shown["paused"], shown["paused_until"]) == (True, until)
        every = (await site.http.post("/queues/*/pause", json={"for": 5, "until": None})).json()["items"]
        assert {one["paused_until"] for one in every} == {instant(clock, 5)}
        shown = (await site.http.post("/queues/mail/pause")).json()
        assert (shown["paused"], shown["paused_until"]) == (True, None)
        shown = (await site.http.post("/queues/mail/resume")).json()
        assert (shown["paused"], shown["paused_until"]) == (False, None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"for": 0}, "/for"),
        ({"for": "1m"}, "/for"),
        ({"for": MAX_PAUSE_S + 1}, "/for"),
        ({"until": "tomorrow"}, "/until"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"until": "2999-01-01T00:00:00Z"}, "/until"),
        ({"until": "2026-01-01T00:00:00"}, "/until"),
        ({"for": 5, "until": "2999-01-01T00:00:00Z"}, "/until"),
        ({"length": 5}, "/length"),
        ([], ""),
    ],
)
async def test_bad_bodies_are_told_apart(site: Site, body: Any, pointer: str) -> None:
    answer = await site.http.post("/queues/mail/pause", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await site.store.standings() == []
