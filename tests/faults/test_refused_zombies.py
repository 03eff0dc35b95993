"""What frozen or killed nodes leave behind them elsewhere: a trace that goes on, and a fence to refuse them by.

The trials are mostly waiting for a lease to end, so they are played all at once; then each is a test.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx2
import outcome
import pytest
import trio

from tests.faults.delivering import Asked, Downstream, downstream
from tests.faults.fleet import Fleet, Place, fleet
from tests.faults.trials import Case, name_of, play_trials
from tests.processes import TickrProcess
from tests.test_traces import PARENT, TRACE_ID
from tests.waiting import eventually, happens

pytestmark = pytest.mark.slow

LEASE_S = 3.0
WITHIN_S = 30.0
STATE = "congo=t61rcWkgMzE"
SETTINGS: dict[str, Any] = {
    "lease_s": LEASE_S,
    "app": "tests.faults.delivering:jobs",
    "arguments": ["--http-allow-private"],
}


async def submit(at: TickrProcess, type: str, url: str) -> str:
    headers = {"traceparent": PARENT, "tracestate": STATE}
    async with httpx2.AsyncClient(trust_env=False) as http:
        body = {"id": str(uuid.uuid4()), "type": type, "payload": {"url": url}, "max_attempts": 1}
        answer = await http.post(f"{at.url}/jobs", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
    return str(body["id"])


async def until_held(server: Downstream, path: str, fence: int) -> None:
    await eventually(happens(lambda: (path, fence) in server.held), within_s=WITHIN_S)


async def until_answered(server: Downstream, path: str, fence: int) -> Asked:
    async def look() -> Asked | None:
        await trio.lowlevel.checkpoint()
        return next((one for one in server.answered if (one.path, one.fence) == (path, fence)), None)

    return await eventually(look, within_s=WITHIN_S)


async def until_succeeded(on: Fleet, job_id: str, at: TickrProcess) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        job = await on.get(job_id, at=at)
        return job if job["state"] == "succeeded" else None

    return await eventually(look, within_s=WITHIN_S)


def check_trace(server: Downstream) -> None:
    """Every request, of whatever start of the job, was in the submission's trace and a span of its own."""
    assert {one.tracestate for one in server.answered} == {STATE}
    parents = [one.traceparent or "" for one in server.answered]
    assert all(parent.startswith(f"00-{TRACE_ID}-") and parent.endswith("-01") for parent in parents)
    assert len({PARENT, *parents}) == 1 + len(parents)


async def a_zombie_in_a_thread_is_refused(folder: Path, place: Place | None) -> None:
    """A frozen worker loses its lease, another does its job; it goes on, writes late, and is told 409."""
    async with downstream() as server, fleet(folder, place, **SETTINGS) as on:
        (frozen,) = on.nodes
        server.hold("/begin", 1)
        job_id = await submit(frozen, "delivers", server.url)
        await until_held(server, "/begin", 1)
        (other,) = await on.start()
        async with on.frozen(frozen):
            written = await until_answered(server, "/write", 2)
            assert written.status == 200
            job = await until_succeeded(on, job_id, other)
        server.release()
        late = await until_answered(server, "/write", 1)
        assert (late.job, late.status) == (job_id, 409)
        assert late.attempt == written.attempt == 1, "a lost start does not count, so only the fence tells them apart"
        check_trace(server)
        assert job["result"] == {"status": 200, "traceparent": PARENT, "fence": 2}
        assert job["traceparent"] == PARENT
        again = await on.get(job_id, at=other)
        assert (again["state"], again["result"]) == ("succeeded", job["result"]), "what the zombie did changes nothing"


async def a_late_request_of_an_http_job_is_refused(folder: Path, place: Place | None) -> None:
    """The request of a worker that is frozen meanwhile arrives after that of the next start."""
    async with downstream() as server, fleet(folder, place, **SETTINGS) as on:
        (frozen,) = on.nodes
        server.hold("/write", 1)
        job_id = await submit(frozen, "http", f"{server.url}/write")
        await until_held(server, "/write", 1)
        (other,) = await on.start()
        async with on.frozen(frozen):
            assert (await until_answered(server, "/write", 2)).status == 200
            job = await until_succeeded(on, job_id, other)
            server.release()
            assert (await until_answered(server, "/write", 1)).status == 409
        check_trace(server)
        assert job["result"]["status"] == 200
        assert (job["attempt"], job["crashes"]) == (1, 1)


async def a_trace_survives_its_node(folder: Path, place: Place | None) -> None:
    """The node is killed while it runs the job; the next start has the same trace and a higher fence."""
    async with downstream() as server, fleet(folder, place, **SETTINGS) as on:
        (killed,) = on.nodes
        server.hold("/begin", 1)
        job_id = await submit(killed, "delivers", server.url)
        await until_held(server, "/begin", 1)
        (other,) = await on.start()
        on.kill(killed)
        job = await until_succeeded(on, job_id, other)
        assert job["result"] == {"status": 200, "traceparent": PARENT, "fence": 2}
        assert [one["fence"] for one in await on.attempts(job_id, at=other)] == [1, 2]
        check_trace(server)


# -- all of it at once -------------------------------------------------------------------------------------------------


CASES = [
    *(Case(trial, "sqlite+heap") for trial in (a_zombie_in_a_thread_is_refused, a_trace_survives_its_node)),
    *(Case(trial, "mysql+redis") for trial in (a_late_request_of_an_http_job_is_refused, a_trace_survives_its_node)),
]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, outcome.Outcome[None]]:
    return play_trials(request, tmp_path_factory, CASES)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_left_elsewhere(case: Case, played: dict[Case, outcome.Outcome[None]]) -> None:
    played[case].unwrap()
