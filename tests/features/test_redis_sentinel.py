"""A node whose Redis is under Sentinel: its master is killed, and jobs go on, without it and with the next one."""

from __future__ import annotations

import pytest
import trio

import tickr
from tests.features.conftest import node
from tests.sentinels import watched
from tests.waiting import eventually

pytestmark = pytest.mark.slow


async def test_jobs_go_on_when_the_master_is_killed() -> None:
    jobs = tickr.Jobs()

    @jobs.handler("count")
    async def count(job: tickr.Job, number: int) -> int:
        await trio.lowlevel.checkpoint()
        return number + 1

    with watched() as group, trio.fail_after(60):
        async with node(jobs, store="memory:", index=group.url) as client:
            before = await client.post(type="count", payload={"number": 1})
            delayed = await client.post(type="count", payload={"number": 2}, delay=2)
            assert (await client.until_final(before["id"]))["result"] == 2

            group.master.kill()
            without = await client.post(type="count", payload={"number": 3})
            assert (await client.until_final(without["id"]))["result"] == 4
            assert (await client.until_final(delayed["id"]))["result"] == 3

            async def is_back() -> bool:
                return (await client.http.get("/readyz")).json()["status"] == "ready"

            await eventually(is_back, within_s=20)
            later = await client.post(type="count", payload={"number": 4}, delay=3600)
            after = await client.post(type="count", payload={"number": 5}, delay=0.2)
            assert (await client.until_final(after["id"]))["result"] == 6
            with group.replica.client() as redis:
                assert any(later["id"] in one for one in redis.zrange("tickr:{t}:waiting", 0, -1))
