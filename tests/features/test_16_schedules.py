"""Row 16, schedules: jobs are made by the clock, one for each tick, by whichever nodes are there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
import trio

from tests.features.conftest import Client, StartNode
from tests.processes import TickrProcess
from tests.waiting import eventually, happens

pytestmark = pytest.mark.slow

SECOND = timedelta(seconds=1)
EVERY_SECOND = {"every": 1, "missed": "all", "job": {"type": "report", "payload": {"time": 0}, "labels": {"by": "s"}}}
SOON_S = 0.5
"""How late a tick may be on a busy machine, in seconds; on an idle one it is some milliseconds."""


async def put(client: Client, body: dict[str, Any], name: str = "s") -> dict[str, Any]:
    answer = await client.http.put(f"/schedules/{name}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def made(http: httpx2.AsyncClient, ticks: int, label: str = "s") -> list[dict[str, Any]]:
    """Return the jobs of the schedule by tick, once there are so many and all of them have succeeded."""

    async def look() -> list[dict[str, Any]] | None:
        jobs = (await http.get("/jobs", params={"label": f"by={label}", "limit": 200})).json()["items"]
        done = len(jobs) >= ticks and all(job["state"] == "succeeded" for job in jobs)
        return sorted(jobs, key=lambda job: str(job["schedule"]["tick"])) if done else None

    return await eventually(look, within_s=40)


def at(job: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(job[name])


def tick_of(job: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(job["schedule"]["tick"])


def assert_one_for_each(jobs: list[dict[str, Any]]) -> None:
    """Check that the ticks follow each other without a gap, and none comes twice."""
    ticks = [tick_of(job) for job in jobs]
    assert ticks == [ticks[0] + n * SECOND for n in range(len(ticks))]


async def test_each_tick_makes_a_job_in_time(start_node: StartNode) -> None:
    async with start_node(workers=4) as client:
        schedule = await put(client, EVERY_SECOND)
        jobs = await made(client.http, 3)
        assert_one_for_each(jobs)
        assert [job["schedule"]["tick"] for job in jobs[:3]] == schedule["next"][:3]
        for job in jobs:
            assert at(job, "run_at") == tick_of(job) <= at(job, "created_at") <= at(job, "started_at")
            assert at(job, "started_at") - tick_of(job) < timedelta(seconds=SOON_S)


async def test_two_nodes_make_one_job_for_each_tick_and_obey_each_others_changes(start_lasting: StartNode) -> None:
    async with start_lasting(workers=4) as one, start_lasting(workers=4) as other:
        await put(one, EVERY_SECOND)
        assert_one_for_each(await made(other.http, 4))
        paused = (await other.http.post("/schedules/s/pause")).json()
        before = len(await made(one.http, 4))
        beside = {"every": 1, "job": {"type": "report", "payload": {"time": 0}, "labels": {"by": "beside"}}}
        await put(one, beside, "beside")
        await made(one.http, 2, "beside")  # in the time for which it would have ticked twice
        assert len(await made(one.http, 4)) == before
        assert (await one.http.get("/schedules/s")).json() == paused
        await one.http.post("/schedules/s/resume")
        assert len(await made(one.http, before + 2)) >= before + 2


async def test_a_schedule_put_where_nobody_schedules_is_fired_elsewhere(start_lasting: StartNode) -> None:
    async with start_lasting(roles="api") as edge, start_lasting(roles="scheduler,worker"):
        await put(edge, EVERY_SECOND)
        assert_one_for_each(await made(edge.http, 2))


async def test_a_tick_is_left_out_while_the_last_job_runs(start_node: StartNode) -> None:
    async with start_node(workers=4) as client:
        job = {"type": "report", "payload": {"time": 2.4}, "labels": {"by": "s"}}
        await put(client, {"every": 1, "overlap": "skip", "job": job})

        async def skipped() -> dict[str, Any] | None:
            schedule = (await client.http.get("/schedules/s")).json()
            return dict(schedule) if schedule["skipped"]["overlap"] >= 2 else None

        schedule = await eventually(skipped)
        jobs = (await client.http.get("/jobs", params={"label": "by=s"})).json()["items"]
        runs = sorted((job["started_at"], job["finished_at"] or "9") for job in jobs if job["started_at"])
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(runs))
        assert schedule["skipped"]["missed"] == 0


# -- real processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=store, index=index, workers=4)) for _ in range(2)]


async def test_nodes_that_are_killed_in_turns_lose_no_tick_and_make_none_twice(pair: list[TickrProcess]) -> None:
    def ask(node: TickrProcess, method: str, path: str, **body: Any) -> dict[str, Any]:
        return dict(httpx2.request(method, node.url + path, json=body or None, timeout=10).raise_for_status().json())

    async def last_tick(node: TickrProcess) -> datetime:
        document = await trio.to_thread.run_sync(ask, node, "GET", "/schedules/s")
        return datetime.fromisoformat(document["last_tick"] or document["created_at"])

    ask(pair[0], "PUT", "/schedules/s", **EVERY_SECOND)
    for turn in range(6):
        victim, other = pair[turn % 2], pair[1 - turn % 2]
        before = await last_tick(other)

        async def goes_on(other: TickrProcess = other, before: datetime = before) -> bool:
            return await last_tick(other) >= before + SECOND

        await eventually(goes_on, within_s=20)
        await trio.to_thread.run_sync(victim.kill)
        await eventually(goes_on, within_s=20)
        await trio.to_thread.run_sync(victim.start)
    ask(pair[0], "POST", "/schedules/s/pause")
    async with httpx2.AsyncClient(base_url=pair[0].url, timeout=10) as http:
        jobs = await made(http, 6)
    assert_one_for_each(jobs)
    assert ask(pair[1], "GET", "/schedules/s")["skipped"] == {"missed": 0, "overlap": 0}


async def test_what_was_missed_while_nobody_was_there_is_made_up_for(pair: list[TickrProcess]) -> None:
    one, other = pair
    other.kill()
    names = {"all": 3, "once": 1}
    job = {"type": "report", "payload": {"time": 0}}
    for name in names:
        body = {"every": 1, "missed": name, "job": job | {"labels": {"by": name}}}
        httpx2.put(f"{one.url}/schedules/{name}", json=body).raise_for_status()
    began = trio.current_time()
    one.kill()
    await eventually(happens(lambda: trio.current_time() > began + 3.5))
    await trio.to_thread.run_sync(one.start)
    for name in names:
        httpx2.post(f"{one.url}/schedules/{name}/pause").raise_for_status()
    gone_s = trio.current_time() - began
    found = {name: httpx2.get(f"{one.url}/schedules/{name}").json() for name in names}
    made_by = {name: httpx2.get(f"{one.url}/jobs?label=by={name}&limit=200").json()["items"] for name in names}
    assert found["all"]["skipped"]["missed"] == 0
    assert 3 <= len(made_by["all"]) <= gone_s + 1
    assert found["once"]["skipped"]["missed"] >= 1
    once = len(made_by["once"]) + found["once"]["skipped"]["missed"]
    assert abs(once - len(made_by["all"])) <= 1  # they were paused one after the other
