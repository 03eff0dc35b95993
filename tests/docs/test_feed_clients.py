"""The clients of docs/event-feed.md miss nothing and show nothing twice while the node they listen to is killed.

A real node, its real clients; what the feed itself has at the end is what they must have printed, in its order.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.conftest import do_without
from tests.docs.listeners import BROWSER, JAVASCRIPT, PYTHON, ListeningClient, missing_for
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

JOBS = 180
LINES = 5
"""How many lines a job says."""
REMEMBERED = 1000
"""Ids that a client remembers: one that has seen more and begins anew repeats itself."""


@pytest.fixture
def node() -> Iterator[TickrProcess]:
    with TickrProcess(app="tests.features.feed_jobs:jobs", workers=4) as node:
        yield node


LASTING = [PYTHON, JAVASCRIPT]
"""Those that come back whatever happens."""


@pytest.fixture(params=LASTING)
def client(request: pytest.FixtureRequest, node: TickrProcess) -> Iterator[ListeningClient]:
    if missing := missing_for(request.param):
        # What is in every browser is in Node only as a trial, and not in those that distributions have.
        pytest.skip(missing) if request.param == BROWSER else do_without(missing)
    with ListeningClient(request.param, node.port) as client:
        yield client


def submit(node: TickrProcess, count: int) -> set[str]:
    with httpx2.Client(base_url=node.url) as http:
        return {post(http, "talks", times=LINES) for _ in range(count)}


def post(http: httpx2.Client, kind: str, **payload: object) -> str:
    answer = http.post("/jobs", json={"type": kind, "payload": payload})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def everything(node: TickrProcess) -> list[str]:
    """Return what the client should print for all that the feed has."""
    lines: list[str] = []
    after, caught_up = "earliest", False
    with httpx2.Client(base_url=node.url) as http:
        while not caught_up:
            page = http.get("/events", params={"after": after, "limit": 1000}).json()
            lines += [f"{event['time']} {event['type']} {event['id']}" for event in page["events"]]
            after, caught_up = page["cursor"], page["caught_up"]
    return lines


def succeeded(lines: list[str]) -> set[str]:
    """Return the jobs whose success is among what a client has printed."""
    return {line.split()[2].partition(".")[0] for line in lines if ".succeeded" in line}


async def all_have_succeeded(node: TickrProcess, jobs: set[str]) -> None:
    async def ended() -> bool:
        return jobs <= succeeded(everything(node))

    await eventually(ended, within_s=45)


async def has_told_the_ends_of(client: ListeningClient, jobs: set[str]) -> None:
    async def all_ended() -> bool:
        assert client.running, client.log
        return jobs <= succeeded(client.told)

    await eventually(all_ended, within_s=45)


async def test_a_client_misses_nothing_while_its_node_is_killed(node: TickrProcess, client: ListeningClient) -> None:
    jobs = submit(node, JOBS)
    with httpx2.Client(base_url=node.url) as http:
        running = post(http, "waits", seconds=4)

    async def has_told_much() -> bool:
        told = client.told
        return len(told) > REMEMBERED and any(line.endswith(f"started {running}.2") for line in told)

    await eventually(has_told_much, within_s=45)
    client.stop()  # for so long that it is not there while things happen
    node.kill()
    node.start()
    jobs |= submit(node, 20) | {running}
    await all_have_succeeded(node, jobs)
    client.cont()
    await has_told_the_ends_of(client, jobs)
    assert client.told == everything(node)
    assert any(line.endswith(f"released {running}.3") for line in client.told)


async def test_a_client_ends_when_it_can_not_go_on(client: ListeningClient, node: TickrProcess) -> None:
    await has_told_the_ends_of(client, submit(node, 1))
    node.kill()
    for path in node.folder.glob("tickr.db*"):
        path.unlink()
    node.start()
    assert client.wait() != 0
    assert "cursor_expired" in client.log


@pytest.mark.parametrize("client", [BROWSER], indirect=True)
async def test_an_event_source_tells_every_change(node: TickrProcess, client: ListeningClient) -> None:
    await has_told_the_ends_of(client, submit(node, 20))
    assert client.told == [line for line in everything(node) if not line.split()[1].endswith((".progress", ".log"))]
