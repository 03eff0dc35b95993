"""``GET /statistics`` tells how long the oldest due job had waited, where somebody looked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import open_site
from tests.api.test_statistics import asked, clocked
from tests.store.backends import SECOND, new_job, put
from tests.store.test_contract_sums import add
from tickr.api import backlog_series, statistics
from tickr.instants import rfc3339
from tickr.store import backlog
from tickr.store.contract import Filter
from tickr.tallies import Step


def points(told: dict[str, Any]) -> dict[str, float]:
    return {point["at"]: point["age"] for point in told["backlog"]["points"]}


async def test_the_greatest_age_of_each_step_is_told_but_of_those_unseen() -> None:
    store, clock = clocked()
    async with open_site(store=store) as site:
        first = clock.now = Step.MINUTE.begin(clock.now)
        await put(store, new_job(queue="mail"))
        for at in (0, 10, 20, 130):
            clock.now = first + at * SECOND
            await store.look_at_backlog(0)
        (series,) = (await asked(site))["series"]
        assert points(series) == {rfc3339(first): 20.0, rfc3339(first + 120 * SECOND): 130.0}
        assert series["backlog"]["age"] == 130.0
        (series,) = (await asked(site, "points=false"))["series"]
        assert series["backlog"] == {"age": 130.0, "points": []}
        (series,) = (await asked(site, "queue=mail&step=hour"))["series"]
        assert points(series) == {rfc3339(Step.HOUR.begin(first)): 130.0}
        (series,) = (await asked(site, "queue=idle"))["series"]
        assert set(points(series).values()) == {0.0}


async def test_where_nobody_looked_there_is_none() -> None:
    store, _ = clocked()
    async with open_site(store=store) as site:
        await put(store, new_job())
        (series,) = (await asked(site))["series"]
        assert series["backlog"] == {"age": None, "points": []}


async def test_of_types_it_is_not_known() -> None:
    store, _ = clocked()
    async with open_site(store=store) as site:
        await put(store, new_job("mail"))
        await add(store)
        await store.look_at_backlog(0)
        for query in ("type=mail", "by=type", "by=queue&type=mail"):
            assert [one["backlog"] for one in (await asked(site, query))["series"]] == [None]


async def test_queues_have_theirs_and_the_others_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_SERIES", 1)
    monkeypatch.setattr(backlog_series, "PAGE", 2)
    store, clock = clocked()
    async with open_site(store=store) as site:
        await put(store, new_job(queue="c"), new_job(queue="b"))
        clock.now += SECOND
        await put(store, *(new_job(queue="a") for _ in range(5)))
        await add(store)
        clock.now += SECOND
        await store.look_at_backlog(0)
        found = (await asked(site, "by=queue"))["series"]
        assert [(one["queue"], one["backlog"]["age"]) for one in found] == [("a", 1.0), (None, 2.0)]
        found = (await asked(site, "by=queue&queue=a&queue=b"))["series"]
        assert [(one["queue"], one["backlog"]["age"]) for one in found] == [("a", 1.0), (None, 2.0)]
        found = (await asked(site, "queue=a&queue=b"))["series"]
        assert [one["backlog"]["age"] for one in found] == [2.0]


async def test_a_queue_in_which_nothing_was_done_but_jobs_wait_is_among_the_others() -> None:
    store, clock = clocked()
    async with open_site(store=store) as site:
        await put(store, new_job(queue="stuck"))
        clock.now += 2 * 3600 * SECOND
        await put(store, new_job(queue="busy"))
        await add(store)
        await store.look_at_backlog(0)
        found = (await asked(site, "by=queue"))["series"]
        told = [(one["queue"], one["other"], one["total"]["created"], one["backlog"]["age"]) for one in found]
        assert told == [("busy", False, 1, 0.0), (None, True, 0, 7200.0)]


async def test_of_a_queue_that_may_be_among_the_rest_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MAX_QUEUES", 1)
    store, clock = clocked()
    async with open_site(store=store) as site:
        await put(store, new_job(queue="old"))
        clock.now += SECOND
        await put(store, new_job(queue="young"))
        clock.now += SECOND
        await store.look_at_backlog(0)
        for query, age in (("", 2.0), ("queue=old", 2.0), ("queue=young", None), ("queue=none", None)):
            (series,) = (await asked(site, query))["series"]
            assert series["backlog"]["age"] == age


async def test_of_queues_of_which_one_may_be_among_the_rest_it_is_known_only_if_that_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "MAX_QUEUES", 1)
    store, clock = clocked()
    async with open_site(store=store) as site:
        clock.now = Step.MINUTE.begin(clock.now)
        await put(store, new_job(queue="first"))
        clock.now += SECOND
        await store.look_at_backlog(0)
        await put(store, new_job(queue="other"))
        clock.now += SECOND
        await store.look_at_backlog(0)
        (series,) = (await asked(site, "queue=first&queue=other"))["series"]
        assert series["backlog"]["age"] == 2.0  # no other one was older than 1 s
        for job in (await store.list_jobs(Filter(queues=("first",)), limit=1)).jobs:
            await store.cancel(job.id)
        clock.now += 3 * SECOND
        await store.look_at_backlog(0)
        (series,) = (await asked(site, "queue=first&queue=other"))["series"]
        assert series["backlog"] == {"age": None, "points": []}
        (series,) = (await asked(site, "queue=first"))["series"]
        assert series["backlog"]["age"] == 2.0
        (series,) = (await asked(site))["series"]
        assert series["backlog"]["age"] == 4.0


async def test_the_others_have_the_age_of_the_rest_only_if_it_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MAX_QUEUES", 2)
    monkeypatch.setattr(statistics, "MAX_SERIES", 1)
    store, clock = clocked()
    async with open_site(store=store) as site:
        clock.now = Step.MINUTE.begin(clock.now)
        jobs = await put(store, new_job(queue="a"), new_job(queue="b"))
        await add(store)
        clock.now += SECOND
        await store.look_at_backlog(0)
        for job in jobs:
            await store.cancel(job.id)
        await put(store, *(new_job(queue="busy") for _ in range(5)))
        await add(store)
        clock.now += 30 * SECOND
        await store.look_at_backlog(0)

        async def by_queue() -> dict[str | None, float | None]:
            found = (await asked(site, "by=queue"))["series"]
            return {one["queue"]: one["backlog"]["age"] for one in found}

        assert await by_queue() == {"busy": None, None: None}  # 30 s was the age of one of the two
        clock.now += 30 * SECOND
        await put(store, new_job(queue="c"))
        clock.now += SECOND
        await store.look_at_backlog(0)
        assert await by_queue() == {"busy": 61.0, None: 1.0}
