"""Row 16, schedules: by a function of the nodes' code, while nodes that have it are killed, and where none is left."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import trio

from tests.features.test_16_declared import ask, jobs_of, kill_and_start, started
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

__all__ = ["started"]


def node(
    stack: ExitStack, request: pytest.FixtureRequest, app: str | None = None, step_s: str | None = None
) -> TickrProcess:
    """Return a node on one MariaDB and one Redis with the others; without ``app`` it has not the function."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    variables = {"TICKR_LEASE": "6"} | ({"STEP_S": step_s} if step_s else {})
    return stack.enter_context(TickrProcess(store=store, index=index, workers=4, app=app, variables=variables))


def ticks(jobs: list[dict[str, Any]]) -> list[float]:
    return [datetime.fromisoformat(job["schedule"]["tick"]).timestamp() for job in jobs]


async def fired(node: TickrProcess, least: int) -> None:
    """Return once so many ticks have made a job."""

    async def look() -> bool:
        return bool((await ask(node, "/schedules/steps"))["fired"] >= least)

    await eventually(look, within_s=60)


APP = "tests.features.foretelling:jobs"


async def test_each_tick_makes_one_job_though_nodes_that_have_the_function_are_killed(
    request: pytest.FixtureRequest, started: ExitStack
) -> None:
    without = node(started, request)
    pair = [node(started, request, APP) for _ in range(2)]
    schedule = await ask(without, "/schedules/steps")
    assert (schedule["function"], schedule["cron"], schedule["fault"]) == (
        "tests.features.foretelling.stepwise",
        None,
        None,
    )
    for number in range(4):
        await fired(without, 6 * number + 5)
        await kill_and_start(pair[number % 2])
    await fired(without, 32)
    schedule = await ask(without, "/schedules/steps/pause", "POST")
    found = ticks(await jobs_of(without, "steps"))
    assert len(found) == schedule["fired"] >= 32
    assert [later - at for at, later in pairwise(found)] == [1.0] * (len(found) - 1), (
        "each second once, and none left out"
    )
    assert schedule["skipped"] == {"missed": 0, "overlap": 0}


async def test_without_a_node_that_has_it_the_others_go_on_as_far_as_it_is_known_and_say_so(
    request: pytest.FixtureRequest, started: ExitStack
) -> None:
    without, having = node(started, request), node(started, request, APP)
    await fired(without, 2)
    await trio.to_thread.run_sync(having.kill)

    async def said() -> dict[str, Any] | None:
        schedule = await ask(without, "/schedules/steps")
        return schedule if schedule["fault"] and schedule["next_at"] is None else None

    schedule = await eventually(said, within_s=60)
    assert schedule["fault"] == "no live node has its function tests.features.foretelling.stepwise"
    assert (schedule["ended"], schedule["next"], schedule["skipped"]["missed"]) == (None, [], 0)
    known = schedule["fired"]
    assert known >= 10
    assert (await ask(without, "/schedules/steps/run", "POST"))["schedule"] == {"name": "steps", "tick": None}
    await trio.to_thread.run_sync(having.start)
    await fired(without, known + 5)
    schedule = await ask(without, "/schedules/steps/pause", "POST")
    assert schedule["fault"] is None
    made = [job for job in await jobs_of(without, "steps") if job["schedule"]["tick"]]
    found = ticks(made)
    assert [later - at for at, later in pairwise(found)] == [1.0] * (len(found) - 1)


async def test_of_two_codes_beside_each_other_the_newer_one_is_asked(
    request: pytest.FixtureRequest, started: ExitStack
) -> None:
    older = node(started, request, APP)
    await fired(older, 3)
    newer = node(started, request, APP, step_s="2")
    before = (await ask(older, "/schedules/steps"))["fired"]
    await fired(older, before + 8)
    await kill_and_start(older)
    schedule = await ask(older, "/schedules/steps/pause", "POST")
    assert schedule["version"] == 3, "it was put by one code, then by the other, then paused"
    found = ticks(await jobs_of(newer, "steps"))
    steps = [later - at for at, later in pairwise(found)]
    assert len(found) == len(set(found)) == schedule["fired"]
    assert steps[-7:] == [2.0] * 7
