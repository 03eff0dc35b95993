"""Row 21, queues that are held up: a handler says so on one node, it holds on the other, whoever is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest

from tests.features.test_19_nodes import ask, until
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow

HOLD_S = 4.0


@pytest.fixture
def pair(mysql_url: str, redis_url: str) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis."""
    more: dict[str, Any] = {"app": "tests.features.holding_jobs:jobs", "workers": 4, "arguments": ["--lease", "3"]}
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=mysql_url, index=redis_url, **more)) for _ in range(2)]


def submit(node: TickrProcess, **payload: float) -> str:
    return str(ask(node, "POST", "/jobs", type="call", queue="api", payload=payload)["id"])


async def test_a_hold_outlives_the_node_whose_handler_asked_for_it(pair: list[TickrProcess]) -> None:
    asking, other = pair
    first = submit(asking, busy=HOLD_S)
    held = await until(other, f"/jobs/{first}", state="retrying")
    ran_here = held["node"] == ask(asking, "GET", "/nodes/self")["id"]
    left, killed = (other, asking) if ran_here else (asking, other)
    killed.kill()
    queue = ask(left, "GET", "/queues/api")
    assert (queue["paused"], queue["paused_until"]) == (True, held["run_at"])
    rest = [submit(left) for _ in range(5)]
    for job_id in (first, *rest):
        await until(left, f"/jobs/{job_id}", state="succeeded")
    told = ask(left, "GET", "/events?after=earliest&queue=api&limit=200")["events"]
    over = datetime.fromisoformat(held["run_at"])
    starts = [datetime.fromisoformat(one["time"]) for one in told if one["type"] == "tickr.job.started"]
    assert [at < over for at in sorted(starts)] == [True] + [False] * 6
    assert (max(starts) - over).total_seconds() < 1
    (paused,) = [one for one in told if one["type"] == "tickr.queue.paused"]
    assert paused["data"]["queue"]["paused_until"] == held["run_at"]
    assert (await until(left, "/queues/api", paused=False))["paused_until"] is None


async def test_a_job_goes_on_in_its_new_queue_though_the_node_that_put_it_there_is_killed(
    pair: list[TickrProcess],
) -> None:
    asking, other = pair
    job_id = str(ask(asking, "POST", "/jobs", type="sort", id="01a20400-0000-7000-8000-0000000000aa")["id"])
    put = await until(other, f"/jobs/{job_id}", state="retrying")
    assert (put["queue"], put["priority"]) == ("large", 2)
    left, killed = (other, asking) if put["node"] == ask(asking, "GET", "/nodes/self")["id"] else (asking, other)
    killed.kill()
    done = await until(left, f"/jobs/{job_id}", state="succeeded")
    assert (done["result"], done["attempt"]) == ("large 2", 2)
    assert ask(left, "POST", "/jobs", type="sort", id=job_id)["id"] == job_id, "the same submission is the same job"
