"""Row 16, schedules: declared in the code of nodes, and so many times, whichever nodes are killed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import httpx2
import pytest
import trio

from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

HOUR = {"EVERY_S": "3600"}
HALF_AN_HOUR = {"EVERY_S": "1800"}


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def node(started: ExitStack, request: pytest.FixtureRequest, variables: dict[str, str]) -> TickrProcess:
    """Return a node of that program, on one MariaDB and one Redis with the others."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    app = "tests.features.declaring:jobs"
    process = TickrProcess(store=store, index=index, workers=4, app=app, variables=variables)
    return started.enter_context(process)


async def ask(node: TickrProcess, path: str, method: str = "GET", **body: Any) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=node.url, timeout=10) as http:
        answer = await http.request(method, path, json=body or None)
        return dict(answer.raise_for_status().json())


async def kill_and_start(node: TickrProcess) -> None:
    await trio.to_thread.run_sync(node.kill)
    await trio.to_thread.run_sync(node.start)


async def jobs_of(node: TickrProcess, label: str) -> list[dict[str, Any]]:
    """Return the jobs with that label by their ticks, once all that are there have succeeded."""

    async def look() -> list[dict[str, Any]] | None:
        jobs = (await ask(node, f"/jobs?label=by={label}&limit=200"))["items"]
        done = all(job["state"] == "succeeded" for job in jobs)
        return sorted(jobs, key=lambda job: str(job["schedule"]["tick"])) if done else None

    return await eventually(look, within_s=40)


async def test_so_many_ticks_make_a_job_though_nodes_are_killed(
    request: pytest.FixtureRequest, started: ExitStack
) -> None:
    pair = [node(started, request, HOUR) for _ in range(2)]
    for number in range(2):
        victim, other = pair[number % 2], pair[1 - number % 2]

        async def has_fired(other: TickrProcess = other, least: int = number + 1) -> bool:
            return bool((await ask(other, "/schedules/few"))["fired"] >= least)

        await eventually(has_fired)
        await kill_and_start(victim)

    async def ended() -> dict[str, Any] | None:
        schedule = await ask(pair[0], "/schedules/few")
        return schedule if schedule["ended"] else None

    schedule = await eventually(ended)
    assert (schedule["ended"], schedule["fired"], schedule["times"]) == ("times", 5, 5)
    assert (schedule["next_at"], schedule["next"], schedule["declared"]) == (None, [], True)
    jobs = await jobs_of(pair[0], "few")
    seconds = [datetime.fromisoformat(job["schedule"]["tick"]).timestamp() for job in jobs]
    assert seconds == [pytest.approx(seconds[0] + number) for number in range(5)]
    for job in jobs:
        result = job["result"]
        assert (result["schedule"], datetime.fromisoformat(result["at"])) == (
            "few",
            datetime.fromisoformat(job["schedule"]["tick"]),
        )


async def test_the_newer_code_stays_and_so_does_what_was_changed_by_hand(
    request: pytest.FixtureRequest, started: ExitStack
) -> None:
    older = node(started, request, HOUR)
    assert (await ask(older, "/schedules/rare"))["every"] == 3600
    newer = node(started, request, HALF_AN_HOUR)
    changed = await ask(older, "/schedules/rare")
    assert (changed["every"], changed["version"]) == (1800, 2)
    await kill_and_start(older)
    assert (await ask(older, "/schedules/rare"))["version"] == 2
    assert (
        len(await jobs_of(newer, "rare")) == 2
    )  # at once: one of each code, and none of the start that came to nothing

    job = {"type": "note", "labels": {"by": "rare"}}
    by_hand = await ask(newer, "/schedules/rare", "PUT", every=900, job=job)
    await kill_and_start(newer)
    await kill_and_start(older)
    found = await ask(newer, "/schedules/rare")
    assert (found["every"], found["version"], found["declared"]) == (900, by_hand["version"], True)
