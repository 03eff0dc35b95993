"""Row 6, retries: bounded, constant/linear/exponential with jitter, with their remaining delay intact without Redis."""

from __future__ import annotations

import pytest

import tickr
from tests.features.conftest import StartNode, node
from tests.features.test_03_delayed_jobs import instant
from tests.servers import Redis

FAST = {"kind": "constant", "base": 0.05, "jitter": 0}


def failing(times: int) -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("fragile")
    async def fragile(job: tickr.Job) -> int:
        if job.attempt <= times:
            raise ValueError(f"attempt {job.attempt} fails")
        return job.attempt

    return jobs


async def test_retries_until_it_succeeds(start_node: StartNode) -> None:
    async with start_node(failing(2)) as client:
        job = await client.until_final((await client.post(type="fragile", backoff=FAST))["id"])
        assert (job["state"], job["result"], job["attempt"]) == ("succeeded", 3, 3)
        attempts = await client.attempts(job["id"])
    assert [(one["number"], one["outcome"]) for one in attempts] == [(1, "retrying"), (2, "retrying"), (3, "succeeded")]
    assert "attempt 2 fails" in attempts[1]["error"]["message"]


async def test_retries_are_bounded(start_node: StartNode) -> None:
    async with start_node(failing(99)) as client:
        job = await client.until_final((await client.post(type="fragile", backoff=FAST, max_attempts=2))["id"])
        assert (job["state"], job["attempt"], job["error"]["kind"]) == ("failed", 2, "exception")
        assert len(await client.attempts(job["id"])) == 2


@pytest.mark.parametrize(
    ("kind", "waits"), [("constant", [0.2, 0.2]), ("linear", [0.2, 0.4]), ("exponential", [0.2, 0.6])]
)
async def test_retries_wait_as_their_policy_says(start_node: StartNode, kind: str, waits: list[float]) -> None:
    backoff = {"kind": kind, "base": 0.2, "factor": 3, "jitter": 0.1}
    async with start_node(failing(2)) as client:
        job = await client.until_final((await client.post(type="fragile", backoff=backoff))["id"])
        attempts = await client.attempts(job["id"])
    for before, after, wait in zip(attempts, attempts[1:], waits, strict=False):
        paused = instant(after["started_at"]) - instant(before["finished_at"])
        assert 0.9 * wait <= paused < 1.1 * wait + 1.0


async def test_retries_keep_their_remaining_delay_when_redis_is_lost(store_url: str, redis_server: Redis) -> None:
    backoff = {"kind": "constant", "base": 2.5, "jitter": 0}
    async with node(failing(1), store=store_url, index=redis_server.url) as client:
        job = await client.post(type="fragile", backoff=backoff)
        retrying = await client.until(job["id"], "retrying")
        redis_server.flush()
        done = await client.until_final(job["id"])
    assert done["run_at"] == retrying["run_at"]
    assert 0 <= instant(done["started_at"]) - instant(retrying["run_at"]) < 2.5
