"""Row 20, children: a family is run once and whole, whichever nodes die meanwhile, and ends together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.features.family_jobs import VARIABLE
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr import failpoints
from tickr.client import Client

pytestmark = pytest.mark.slow

APP = "tests.features.family_jobs:jobs"
LEASE = ("--lease", "3s")


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    path = tmp_path / "marks"
    path.touch()
    return path


@pytest.fixture
def pair(request: pytest.FixtureRequest, marks: Path) -> Iterator[list[TickrProcess]]:
    """Two nodes on one MariaDB and one Redis."""
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    given: dict[str, Any] = {"app": APP, "variables": {VARIABLE: str(marks)}, "arguments": LEASE}
    with ExitStack() as started:
        yield [started.enter_context(TickrProcess(store=store, index=index, workers=2, **given)) for _ in range(2)]


def of_type(url: str, *types: str) -> Counter[str]:
    found = httpx2.get(f"{url}/jobs", params={"limit": 200, "type": types}).json()["items"]
    return Counter(job["state"] for job in found)


async def test_a_family_outlives_the_node_that_has_begun_it(pair: list[TickrProcess], marks: Path) -> None:
    """A root, 4 branches and 8 leaves on 4 slots; the node that took it is killed while leaves run."""
    doomed, other = pair
    with Client(doomed.url) as client:
        job = client.submit("root", {"branches": 4, "seconds": 0.4})

    async def in_the_middle() -> bool:
        leaves = of_type(other.url, "leaf")
        return leaves["succeeded"] >= 2 and leaves["running"] >= 1

    await eventually(in_the_middle)
    doomed.kill()
    with Client(other.url) as client:
        done = client.wait(job, 30)
        assert (done.state, done.result) == ("succeeded", sum(10 * n + 10 * n + 1 for n in range(1, 5)))
        told = client.tree(job)
        assert [len(branch.children) for branch in told.tree.children] == [2] * 4
        assert {one.state for branch in told.tree.children for one in (branch, *branch.children)} == {"succeeded"}
        assert (client.get(told.tree.children[0].children[0].id).parent, told.complete) == (
            told.tree.children[0].id,
            True,
        )
    assert of_type(other.url, "branch", "leaf") == {"succeeded": 12}, "nothing was submitted twice"
    ran = Counter(lines_of(marks))
    assert sum(ran[f"leaf {number}"] for number in range(10, 50)) <= 8 + 4, "only what ran on the dead node ran again"


@pytest.mark.parametrize("point", ["children.after_commit", "links.after_commit"])
async def test_families_outlive_a_node_that_is_killed_at(
    point: str, marks: Path, request: pytest.FixtureRequest
) -> None:
    store, index = request.getfixturevalue("mysql_url"), request.getfixturevalue("redis_url")
    variables = {VARIABLE: str(marks)}
    given: dict[str, Any] = {"store": store, "index": index, "app": APP, "arguments": LEASE}
    with (
        TickrProcess(**given, variables=variables | {failpoints.VARIABLE: f"{point}=kill@3"}) as victim,
        TickrProcess(**given, variables=variables) as other,
        Client(other.url) as client,
    ):
        families = []

        async def died() -> bool:
            families.append(client.submit("root", {"branches": 2, "seconds": 0.05}))
            return not victim.running

        await eventually(died)
        assert {client.wait(job, 30).result for job in families} == {62}
    assert lines_of(marks).count("root") >= len(families)


def lines_of(marks: Path) -> list[str]:
    return marks.read_text().split("\n")


async def test_a_cancellation_reaches_the_leaves_on_all_nodes(pair: list[TickrProcess]) -> None:
    first, other = pair
    with Client(first.url) as client:
        job = client.submit("root", {"branches": 3, "seconds": 60})

    async def leaves_run() -> bool:
        leaves = of_type(other.url, "leaf")
        return leaves["running"] == 4 and leaves.total() == 6

    await eventually(leaves_run)
    explained = httpx2.get(f"{other.url}/jobs/{job.id}/explain").json()["reasons"][0]
    assert (explained["code"], len(explained["jobs"])) == ("blocked", 3)
    answer = httpx2.post(f"{other.url}/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "blocked")
    with Client(other.url) as client:
        assert client.wait(job, 20).state == "cancelled"
    assert of_type(other.url, "root", "branch", "leaf") == {"cancelled": 10}
