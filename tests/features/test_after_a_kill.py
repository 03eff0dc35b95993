"""What else holds with two nodes when one is killed: strict priorities, a trace and its fence, and why a job waits."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from tests.processes import TickrProcess
from tests.waiting import eventually, happens

pytestmark = pytest.mark.slow

LEASE = ("--lease", "3")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT_ONCE = 4
"""Jobs that two nodes with two workers each start at the same moment; among those there is no order."""

Start = Callable[..., TickrProcess]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Return what starts a node on the one MariaDB and the one Redis of the test; keywords as of ``TickrProcess``."""
    ports = {name: request.getfixturevalue(f"{kind}_url") for name, kind in (("store", "mysql"), ("index", "redis"))}
    with ExitStack() as started:

        def one(*words: str, **more: Any) -> TickrProcess:
            return started.enter_context(TickrProcess(**ports, arguments=[*LEASE, *words], **more))

        yield one


def submit(node: TickrProcess, headers: dict[str, str] | None = None, **job: Any) -> str:
    answer = httpx2.post(f"{node.url}/jobs", json=job, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def final(node: TickrProcess, job_id: str) -> dict[str, Any]:
    def ended() -> bool:
        return httpx2.get(f"{node.url}/jobs/{job_id}").json()["finished_at"] is not None

    await eventually(happens(ended), within_s=40)
    return dict(httpx2.get(f"{node.url}/jobs/{job_id}").json())


async def test_the_most_urgent_start_first_on_two_nodes_also_after_a_kill(start: Start) -> None:
    doomed, other = start(workers=2), start(workers=2)
    httpx2.post(f"{other.url}/queues/default/pause")
    priorities = [priority for priority in range(10) for _ in range(4)]
    random.Random(6).shuffle(priorities)
    jobs = {submit(doomed, type="report", payload={"time": 0.2}, priority=one): one for one in priorities}
    httpx2.post(f"{other.url}/queues/default/resume")

    def succeeded() -> int:
        return len(httpx2.get(f"{other.url}/jobs", params={"state": "succeeded", "limit": 200}).json()["items"])

    await eventually(happens(lambda: succeeded() >= 8), within_s=30)
    doomed.kill()
    await eventually(happens(lambda: succeeded() == len(jobs)), within_s=60)
    params = {"after": "earliest", "event": "started", "limit": 500}
    events = httpx2.get(f"{other.url}/events", params=params).json()["events"]
    first = [jobs[job_id] for job_id in dict.fromkeys(event["subject"] for event in events)]
    assert sorted(first) == sorted(priorities)
    for at, priority in enumerate(first):
        more_urgent = [one for one in first[at + AT_ONCE :] if one < priority]
        assert more_urgent == [], f"{at}: {first}"


@contextmanager
def downstream() -> Iterator[tuple[str, list[dict[str, str]], threading.Event]]:
    """Run a server that writes down the headers of each request, and lets the first one wait until it is set free."""
    seen: list[dict[str, str]] = []
    free = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            if len(seen) == 1:
                free.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", seen, free
        finally:
            free.set()
            server.shutdown()
            serving.join()


async def test_the_next_node_goes_on_in_the_same_trace_under_a_higher_fence(start: Start) -> None:
    allowed = {"TICKR_HTTP_ALLOW_PRIVATE": "true"}
    with downstream() as (url, seen, free):
        doomed = start(variables=allowed)
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        job_id = submit(doomed, headers, type="http", payload={"url": url, "method": "POST"})
        await eventually(happens(lambda: len(seen) == 1), within_s=20)
        other = start(variables=allowed)
        doomed.kill()
        job = await final(other, job_id)
        free.set()
    assert (job["state"], job["crashes"]) == ("succeeded", 1)
    assert [one["tickr-job-id"] for one in seen] == [job_id, job_id]
    assert [one["tickr-fence"] for one in seen] == ["1", "2"]
    assert [one["traceparent"].split("-")[1] for one in seen] == [TRACE, TRACE]


async def test_why_a_job_waits_is_told_of_a_node_that_was_killed(start: Start) -> None:
    other = start("--queues", "default")
    painter = start("--queues", "painting")

    def reasons(job_id: str) -> list[str]:
        found = httpx2.get(f"{other.url}/jobs/{job_id}/explain").json()["reasons"]
        return [reason["code"] for reason in found]

    assert (await final(other, submit(other, type="report", queue="painting")))["state"] == "succeeded"
    painter.kill()
    waiting = submit(other, type="report", queue="painting")
    await eventually(happens(lambda: reasons(waiting) == ["no_node_for_queue"]), within_s=20)
    painter.start()
    assert (await final(other, waiting))["state"] == "succeeded"
