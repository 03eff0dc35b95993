"""Row 14, what a job logs, kept with the job: all lines, over its attempts, as long as the job; encrypted with it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.sealed import SECRET, written
from tests.waiting import eventually
from tickr.store.contract import MAX_BATCH


@pytest.fixture
def start(store_url: str) -> StartNode:
    """Start a node on each store; the index has no part in this."""
    return partial(node, store=store_url)


async def log_of(client: Client, job: dict[str, Any], **query: object) -> dict[str, Any]:
    answer = await client.http.get(f"/jobs/{job['id']}/log", params={n: str(v) for n, v in query.items()})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(log: dict[str, Any]) -> list[str]:
    return [line["message"] for line in log["items"]]


async def test_all_lines_are_kept_by_attempt_and_read_page_by_page(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("flood", backoff=tickr.Backoff(kind="constant", base=0.1, jitter=0))
    async def flood(job: tickr.Job) -> None:
        for number in range(250):
            await job.log(f"{job.attempt}: {number}")
        if job.attempt == 1:
            raise ConnectionError("again")

    @jobs.handler("silent")
    async def silent() -> None: ...

    async with start(jobs) as client:
        job, mute = await client.post(type="flood"), await client.post(type="silent")
        await client.until_final(job["id"])
        await client.until_final(mute["id"])
        whole = [f"{attempt}: {number}" for attempt in (1, 2) for number in range(250)]
        assert said(await log_of(client, job, limit=500)) == whole
        first = await log_of(client, job)
        assert (len(first["items"]), first["more"], first["cursor"]) == (200, True, "1.200")
        found, page = list(first["items"]), first
        while page["more"]:
            page = await log_of(client, job, after=page["cursor"], limit=77)
            found += page["items"]
        assert [line["message"] for line in found] == whole
        assert {(line["attempt"], line["fence"]) for line in found} == {(1, 1), (2, 2)}
        assert {line["dropped"] for line in found} == {0}
        assert [line["at"] for line in found] == sorted(line["at"] for line in found)
        assert page["cursor"] == "2.250"
        assert await log_of(client, job, after="2.250") == {"items": [], "cursor": "2.250", "more": False}
        assert said(await log_of(client, job, attempt=2, limit=2)) == ["2: 0", "2: 1"]
        assert await log_of(client, mute) == {"items": [], "cursor": "0.0", "more": False}


async def test_lines_can_be_read_while_the_job_runs_and_only_the_newest_stay(start: StartNode) -> None:
    jobs, looked = tickr.Jobs(), trio.Event()

    @jobs.handler("talks")
    def talks(job: tickr.Job) -> None:
        for number in range(95):
            job.log(f"line {number}")
        trio.from_thread.run(looked.wait)
        for number in range(95, 105):
            job.log(f"line {number}")

    async with start(jobs, job_log=50) as client:
        job = await client.post(type="talks")

        async def shown() -> list[str] | None:
            lines = said(await log_of(client, job))
            return lines if lines[-1:] == ["line 94"] else None  # they may be stored in several parts

        running = await eventually(shown)
        assert 50 <= len(running) < 100
        looked.set()
        await client.until_final(job["id"])
        lines = (await log_of(client, job))["items"]
        assert [line["message"] for line in lines[-10:]] == [f"line {number}" for number in range(95, 105)]
        assert 50 <= len(lines) < 100


async def test_what_encrypted_jobs_log_is_read_by_who_asks_for_it(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("pay")
    async def pay(job: tickr.Job, card: str) -> None:
        await job.log(f"charged {card}")

    async with start(jobs, encryption_keys=written("main")) as client:
        job = await client.post(type="pay", payload={"card": SECRET})
        await client.until_final(job["id"])
        (line,) = (await log_of(client, job))["items"]
        assert (line["message"], line["attempt"]) == (None, 1)
        assert SECRET not in str(await client.handle.store.job_log(job["id"], MAX_BATCH))
        answer = await client.http.get(f"/jobs/{job['id']}/log?decrypt=true")
        assert said(answer.json()) == [f"charged {SECRET}"]
        assert answer.headers["cache-control"] == "no-store"


async def test_a_node_that_keeps_none_tells_all_the_same() -> None:
    jobs = tickr.Jobs()

    @jobs.handler("talks")
    async def talks(job: tickr.Job) -> None:
        await job.log("a line")

    async with node(jobs, store="memory:", job_log=0) as client:
        job = await client.post(type="talks")
        await client.until_final(job["id"])
        assert said(await log_of(client, job)) == []
        told = (await client.http.get("/events?after=earliest&event=log")).json()["events"]
        assert [event["data"]["message"] for event in told] == ["a line"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("after=x", "/after"),
        ("after=1", "/after"),
        ("after=-1.0", "/after"),
        ("after=9999999999999999999.1", "/after"),
        ("after=1.1&after=1.2", "/after"),
        ("attempt=0", "/attempt"),
        ("attempt=two", "/attempt"),
        ("limit=501", "/limit"),
        ("limit=0", "/limit"),
        ("decrypt=yes", "/decrypt"),
        ("wait=1", "/wait"),
    ],
)
async def test_what_asks_wrongly_is_told_so(query: str, pointer: str) -> None:
    async with node(store="memory:") as client:
        job = await client.post(type="report")
        answer = await client.http.get(f"/jobs/{job['id']}/log?{query}")
        assert answer.status_code == 400
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
        assert (await client.http.get("/jobs/01a20500-0000-7000-8000-000000000001/log")).status_code == 404
        assert (await client.http.get("/jobs/nonsense/log")).status_code == 400
