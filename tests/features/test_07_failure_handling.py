"""Row 7, failure handling: Redis down, flushed, rolled back: 201s go on, jobs run once, the index is rebuilt."""

from __future__ import annotations

from collections import Counter

import trio

import tickr
from tests.features.conftest import Client, node
from tests.servers import Redis
from tests.waiting import eventually


def counting() -> tuple[tickr.Jobs, Counter[str]]:
    jobs, runs = tickr.Jobs(), Counter[str]()

    @jobs.handler("count")
    async def count(job: tickr.Job) -> None:
        runs[job.id] += 1

    return jobs, runs


async def all_succeed(client: Client, ids: list[str], runs: Counter[str]) -> None:
    for job_id in ids:
        assert (await client.until_final(job_id))["state"] == "succeeded"
    assert runs == dict.fromkeys(ids, 1)


async def test_failure_handling_redis_down_jobs_run_straight_from_the_store(
    store_url: str, redis_server: Redis
) -> None:
    jobs, runs = counting()
    async with node(jobs, store=store_url, index=redis_server.url) as client:
        ids = [(await client.post(type="count"))["id"]]
        redis_server.kill()
        ids += [(await client.post(type="count", delay=delay))["id"] for delay in (0, 0, 0.5)]
        await all_succeed(client, ids, runs)
        ready = (await client.http.get("/readyz")).json()
        assert ready["status"] == "degraded"


async def test_failure_handling_redis_down_at_start_is_a_warning_and_it_serves(
    store_url: str, redis_server: Redis
) -> None:
    jobs, runs = counting()
    redis_server.kill()
    async with node(jobs, store=store_url, index=redis_server.url) as client:
        ids = [(await client.post(type="count"))["id"] for _ in range(3)]
        await all_succeed(client, ids, runs)
        redis_server.start()

        async def recovered() -> bool:
            return bool((await client.http.get("/readyz")).json()["status"] == "ready")

        await eventually(recovered)
        ids.append((await client.post(type="count"))["id"])
        await all_succeed(client, ids, runs)


async def test_failure_handling_redis_flushed_the_index_is_rebuilt(store_url: str, redis_server: Redis) -> None:
    jobs, runs = counting()
    gate = trio.Event()

    @jobs.handler("hold")
    async def hold(job: tickr.Job) -> None:
        await gate.wait()

    async with node(jobs, store=store_url, index=redis_server.url, workers=1) as client:
        holding = await client.post(type="hold")
        await client.until(holding["id"], "running")
        ids = [(await client.post(type="count", delay=delay))["id"] for delay in (0, 0, 0, 1, 2)]
        redis_server.flush()
        gate.set()
        await all_succeed(client, ids, runs)


async def test_failure_handling_redis_rolled_back_to_an_old_snapshot(store_url: str, redis_server: Redis) -> None:
    jobs, runs = counting()
    async with node(jobs, store=store_url, index=redis_server.url, workers=2) as client:
        old = [(await client.post(type="count", delay=delay))["id"] for delay in (0.2, 3)]
        snapshot = redis_server.snapshot()
        await client.until_final(old[0])
        new = [(await client.post(type="count", delay=2))["id"] for _ in range(3)]
        redis_server.restore(snapshot)
        await all_succeed(client, old + new, runs)


async def test_failure_handling_redis_frozen(store_url: str, redis_server: Redis) -> None:
    jobs, runs = counting()
    async with node(jobs, store=store_url, index=redis_server.url) as client:
        ids = [(await client.post(type="count"))["id"]]
        redis_server.stop()
        try:
            ids += [(await client.post(type="count"))["id"] for _ in range(3)]
            await all_succeed(client, ids, runs)
        finally:
            redis_server.cont()
        ids.append((await client.post(type="count"))["id"])
        await all_succeed(client, ids, runs)
