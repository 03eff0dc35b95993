"""Row 22, one job for every node: each is run by its own node, and that of a killed one is ended, not run elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.features.test_19_nodes import ask, until
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(mysql_url: str, redis_url: str) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis, each with one worker."""
    more: dict[str, Any] = {"app": "tests.features.telling_jobs:jobs", "workers": 1, "arguments": ["--lease", "3"]}
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=mysql_url, index=redis_url, **more)) for _ in range(2)]


async def test_each_node_runs_its_own_and_that_of_a_killed_one_is_ended(pair: list[TickrProcess]) -> None:
    left, killed = pair
    ids = {ask(node, "GET", "/nodes/self")["id"]: node.pid for node in pair}
    for one in ask(left, "POST", "/broadcasts", type="tell")["items"]:
        done = await until(left, f"/jobs/{one['id']}", state="succeeded")
        assert (done["queue"], done["result"]) == (f"@{done['node']}", ids[done["node"]])
    mine, its = (ask(node, "GET", "/nodes/self")["id"] for node in pair)
    for one in ask(left, "POST", "/broadcasts", type="hold")["items"]:  # so that what comes now has to wait
        await until(left, f"/jobs/{one['id']}", state="running")
    waiting = {one["queue"]: one["id"] for one in ask(killed, "POST", "/broadcasts", type="tell")["items"]}
    killed.kill()
    ended = await until(left, f"/jobs/{waiting[f'@{its}']}", state="cancelled")
    assert (ended["error"]["kind"], ended["attempt"]) == ("node_gone", 0)
    told = ask(left, "GET", "/jobs?type=hold")["items"]
    states = {one["queue"]: one["state"] for one in told}
    assert states.pop(f"@{mine}") == "running"
    (held,) = [one for one in told if one["queue"] == f"@{its}"]
    assert (await until(left, f"/jobs/{held['id']}", state="cancelled"))["error"]["kind"] == "node_gone"
    assert ask(left, "GET", f"/jobs/{waiting[f'@{mine}']}")["state"] == "ready", (
        "the other one still waits for its node"
    )
    (mine_held,) = [one for one in told if one["queue"] == f"@{mine}"]
    ask(left, "POST", f"/jobs/{mine_held['id']}/cancel")
    assert (await until(left, f"/jobs/{waiting[f'@{mine}']}", state="succeeded"))["result"] == left.pid
