"""Row 15, retention: jobs that ended go when they are old enough, the others stay, and the node goes on working."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from urllib.request import Request, urlopen

import httpx2
import pytest

import tickr
from tests.features.conftest import StartNode
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def some_jobs() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("fine")
    async def fine() -> None: ...

    @jobs.handler("broken", max_attempts=1)
    async def broken() -> None:
        raise ValueError("no")

    return jobs


async def test_retention_deletes_what_has_succeeded_and_keeps_what_has_failed(start_node: StartNode) -> None:
    async with start_node(some_jobs(), keep_succeeded="1s", keep_failed="forever") as client:
        failed = await client.post(type="broken")
        waiting = await client.post(type="fine", delay=3600)
        chosen = str(uuid.uuid4())
        await client.post(type="fine", id=chosen)

        async def gone() -> bool:
            answer = await client.http.get(f"/jobs/{chosen}")
            return answer.status_code == 404 and answer.json()["code"] == "job_not_found"

        await eventually(gone, within_s=20)
        for call in ("attempts", "retry", "cancel"):
            path = f"/jobs/{chosen}/{call}"
            answer = await (client.http.get(path) if call == "attempts" else client.http.post(path))
            assert answer.status_code == 404, call
        assert (await client.until_final(failed["id"]))["state"] == "failed"
        assert (await client.get(waiting["id"]))["state"] == "scheduled"
        again = await client.post(type="fine", id=chosen)
        assert again["version"] == 1
        await eventually(gone, within_s=20)


async def test_ages_of_their_own_are_kept_by_the_node_that_is_left(tmp_path: Path) -> None:
    """The node that ran them is killed; the next one deletes each in its time, though it keeps all others for ever."""
    store, settings = f"sqlite:///{tmp_path}/tickr.db", ["--keep-succeeded", "forever"]
    with TickrProcess(store=store, arguments=settings) as first:
        brief, long, plain = [
            post(first.url, type="report", payload={"title": "t", "time": 0}, **keep)["id"]
            for keep in ({"keep": 2}, {"keep": 3600}, {})
        ]
        for job_id in (brief, long, plain):
            assert httpx2.get(f"{first.url}/jobs/{job_id}?wait=20", timeout=30).json()["state"] == "succeeded"
        first.kill()
    with TickrProcess(store=store, arguments=settings) as second:
        async with httpx2.AsyncClient(base_url=second.url) as http:

            async def gone() -> bool:
                return (await http.get(f"/jobs/{brief}")).status_code == 404

            await eventually(gone, within_s=30)
            assert [(await http.get(f"/jobs/{job_id}")).status_code for job_id in (long, plain)] == [200, 200]


async def test_only_the_last_are_kept_by_the_node_that_is_left(tmp_path: Path) -> None:
    """Of those that the one has run that is killed, too."""
    store = f"sqlite:///{tmp_path}/tickr.db"
    with TickrProcess(store=store) as first:
        ids = [post(first.url, type="report", payload={"title": "t", "time": 0})["id"] for _ in range(5)]
        for job_id in ids:
            assert httpx2.get(f"{first.url}/jobs/{job_id}?wait=20", timeout=30).json()["state"] == "succeeded"
        first.kill()
    with TickrProcess(store=store, arguments=["--keep-succeeded-count", "2"]) as second:
        async with httpx2.AsyncClient(base_url=second.url) as http:

            async def two() -> bool:
                return [job["id"] for job in (await http.get("/jobs")).json()["items"]] == ids[:2:-1]

            await eventually(two, within_s=30)


def post(url: str, **body: object) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{url}/jobs", json.dumps(body).encode(), headers)) as answer:
        found: dict[str, str] = json.loads(answer.read())
        return found
