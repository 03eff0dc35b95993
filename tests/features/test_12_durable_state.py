"""Row 12, durable state: kill -9 at any moment and start again: every job acknowledged is final or goes on.

The original Tickr loses 6 of 30 to ``kill -9``, 1 to SIGTERM and 24 to FLUSHALL, and an ``http`` job with the URL
``:bad`` kills it. The same four trials here, with real processes.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial

import httpx2
import pytest

from tests.processes import TickrProcess
from tests.servers import Redis
from tests.waiting import eventually

pytestmark = pytest.mark.slow

JOBS = 30
WORKERS = 5


@pytest.fixture(
    params=[
        "sqlite+heap",
        "mysql+redis",
        pytest.param("mysql+heap", marks=pytest.mark.long),
        pytest.param("sqlite+redis", marks=pytest.mark.long),
    ]
)
def process(request: pytest.FixtureRequest) -> Iterator[TickrProcess]:
    store, _, index = request.param.partition("+")
    with TickrProcess(
        store=None if store == "sqlite" else request.getfixturevalue("mysql_url"),
        index=None if index == "heap" else request.getfixturevalue("redis_url"),
        workers=WORKERS,
    ) as started:
        yield started


def submit(http: httpx2.Client, **fields: object) -> str:
    report = {"type": "report", "payload": {"title": "Quarter", "body": "…", "time": 1}, **fields}
    answer = http.post("/jobs", json=report)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def states(http: httpx2.Client, ids: list[str]) -> Counter[str]:
    found = {job["id"]: job["state"] for job in http.get("/jobs", params={"limit": 100}).json()["items"]}
    return Counter(found[job_id] for job_id in ids)


async def all_final(http: httpx2.Client, ids: list[str]) -> Counter[str]:
    async def done() -> Counter[str] | None:
        seen = states(http, ids)
        return seen if set(seen) <= {"succeeded", "failed", "cancelled"} else None

    return await eventually(done, within_s=45)


async def all_succeeded(http: httpx2.Client, ids: list[str]) -> None:
    assert await all_final(http, ids) == {"succeeded": len(ids)}


async def half_way(http: httpx2.Client, ids: list[str]) -> None:
    async def some_done_and_some_running() -> bool:
        seen = states(http, ids)
        return seen["succeeded"] >= WORKERS and seen["running"] > 0

    await eventually(some_done_and_some_running)


async def test_durable_state_kill_9_in_the_middle_30_of_30_succeed(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url) as http:
        ids = [submit(http) for _ in range(JOBS)]
        await half_way(http, ids)
        process.kill()
        process.start()
        await all_succeeded(http, ids)


async def test_durable_state_kill_9_leaves_every_count_as_it_was(process: TickrProcess) -> None:
    """Queues, dead letters and sums are counted from the store: nothing of them was in the process."""
    with httpx2.Client(base_url=process.url) as http:
        http.post("/queues/held/pause")
        failing = [submit(http, payload={"time": "long"}, max_attempts=1) for _ in range(3)]
        done = [submit(http, payload={"title": "t", "time": 0}) for _ in range(4)]
        for n in range(5):
            submit(http, queue="held", delay=0 if n < 3 else 3600)
        assert await all_final(http, [*failing, *done]) == {"failed": 3, "succeeded": 4}

        def counts() -> list[object]:
            queues = {one["name"]: one for one in http.get("/queues").json()["items"]}
            held = [queues["held"][state] for state in ("ready", "scheduled", "retrying", "running", "paused")]
            dead = http.get("/dead-letters").json()
            (series,) = http.get("/statistics", params={"step": "day"}).json()["series"]
            return [held, dead["total"], dead["exact"], dead["groups"], series]

        async def counted() -> list[object] | None:
            found = counts()
            return found if found[-1]["total"]["failed"] == 3 else None  # type: ignore[index]

        before = await eventually(counted)
        assert before[:3] == [[3, 2, 0, 0, True], 3, True]
        process.kill()
        process.start()
        assert counts() == before


async def test_durable_state_sigterm_in_the_middle_30_of_30_succeed(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url) as http:
        ids = [submit(http) for _ in range(JOBS)]
        await half_way(http, ids)
        process.terminate()
        assert process.wait() == 0
        process.start()
        await all_succeeded(http, ids)
        assert {http.get(f"/jobs/{job_id}").json()["attempt"] for job_id in ids} == {1}


async def test_durable_state_flushall_in_the_middle_30_of_30_succeed(mysql_url: str, redis_server: Redis) -> None:
    with (
        TickrProcess(store=mysql_url, index=redis_server.url, workers=WORKERS) as process,
        httpx2.Client(base_url=process.url) as http,
    ):
        ids = [submit(http) for _ in range(JOBS)]
        await half_way(http, ids)
        redis_server.flush()
        await all_succeeded(http, ids)


async def test_durable_state_killed_again_and_again_while_jobs_come_in(process: TickrProcess) -> None:
    """Every job that was answered 201 gets its end; one whose answer was cut off is submitted again under its own id.

    That end is success, except for a job that happened to run at three of the kills: it is quarantined.
    """
    ids: list[str] = []
    with httpx2.Client(base_url=process.url) as http:
        for kill_after in (5, 20, 33, 48, 60):
            while len(ids) < kill_after:
                ids.append(submit(http, id=str(uuid.uuid4()), payload={"title": "t", "body": "b", "time": 0.05}))
            cut_off = str(uuid.uuid4())
            process.kill()
            with pytest.raises(httpx2.TransportError):
                submit(http, id=cut_off, payload={"title": "t", "body": "b", "time": 0})
            process.start()
            ids.append(submit(http, id=cut_off, payload={"title": "t", "body": "b", "time": 0}))
        await all_final(http, ids)
        failed = [job for job in (http.get(f"/jobs/{job_id}").json() for job_id in ids) if job["state"] != "succeeded"]
        assert all(job["error"]["kind"] == "crashed" and job["crashes"] == 3 for job in failed), failed


async def test_durable_state_another_node_takes_over_from_one_that_was_killed(mysql_url: str, redis_url: str) -> None:
    """The kernel's word about dead neighbours counts at a start only, so here it is the lease that ends."""
    node = partial(TickrProcess, store=mysql_url, index=redis_url, workers=WORKERS, arguments=("--lease", "3"))
    with node() as first, node() as second, httpx2.Client(base_url=second.url) as http:
        ids = [submit(http) for _ in range(JOBS)]
        await half_way(http, ids)
        first.kill()
        await all_succeeded(http, ids)
        crashed = [job for job in (http.get(f"/jobs/{job_id}").json() for job_id in ids) if job["crashes"]]
        assert {job["crashes"] for job in crashed} <= {1}


async def test_durable_state_a_bad_url_fails_its_job_and_nothing_else(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url) as http:
        bad = http.post("/jobs", json={"type": "http", "payload": {"url": ":bad", "method": "GET"}}).json()["id"]

        async def failed() -> bool:
            return bool(http.get(f"/jobs/{bad}").json()["state"] == "failed")

        await eventually(failed)
        assert "http://" in http.get(f"/jobs/{bad}").json()["error"]["message"]
        good = submit(http, payload={"title": "t", "body": "b", "time": 0})
        await all_succeeded(http, [good])


async def test_durable_state_an_email_job_runs_and_says_that_there_is_no_smtp(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url) as http:
        email = {"to": "john@example.com", "from": "me@example.com", "body": "Works"}
        sent = http.post("/jobs", json={"type": "email", "payload": email}).json()["id"]
        await all_succeeded(http, [sent])
        assert http.get(f"/jobs/{sent}").json()["result"]["sent"] is False
