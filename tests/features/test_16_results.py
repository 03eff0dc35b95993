"""Row 16, results: who waits for a job hears of its end at once, on any node, through outages, and by thousands."""

from __future__ import annotations

from functools import partial

import httpx2
import pytest
import trio

from tests.features.waiters import resident_kib, submit, waiters
from tests.processes import TickrProcess
from tests.servers import Redis, mysql_execute
from tests.waiting import eventually, happens

pytestmark = pytest.mark.slow

APP = "tests.features.feed_jobs:jobs"
MANY = 2_000
KIB_EACH = 100
"""What a wait may take of the node's memory; about 40."""
IDLE_S = 3.0
QUIET = 180
"""Questions to the database in that time at most, while two nodes idle and thousands wait. A look by each is 2,000."""
AT_ONCE_S = 0.5
"""Within which the bell brings the end of a job to another node; half of the poll that is its net."""
WITHOUT_BELL_S = 2.5


def questions(url: str) -> int:
    return int(mysql_execute(url, "SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])


async def test_results_thousands_wait_at_one_node_for_jobs_of_another(mysql_url: str, redis_url: str) -> None:
    """They cost the store nothing while they wait, the node a bounded piece of memory, and all are answered."""
    node = partial(TickrProcess, store=mysql_url, index=redis_url, app=APP)
    with node(roles="api") as here, node(roles="api,scheduler,worker", workers=50) as there:
        ids = await submit(there.url, MANY, type="quick", delay=3600)
        before_kib = resident_kib(here.pid)
        async with waiters(here.port) as clients:
            await clients.ask(ids, 60)
            await eventually(partial(quiet, mysql_url), within_s=30)
            assert (resident_kib(here.pid) - before_kib) / MANY < KIB_EACH
            assert not clients.answered
            async with httpx2.AsyncClient(base_url=here.url, timeout=20) as http:
                assert (await http.get("/queues")).status_code == 200, "others are served"
                async with trio.open_nursery() as nursery:
                    for job_id in ids[: MANY // 2]:
                        nursery.start_soon(http.post, f"{there.url}/jobs/{job_id}/cancel")
            await clients.all_answered(MANY // 2, within_s=30)
            assert not clients.wrong
            assert {one.job["state"] for one in clients.answered.values()} == {"cancelled"}
            here.terminate()
            await clients.all_answered(MANY, within_s=10)
            assert not clients.wrong
            assert {clients.answered[job_id].job["state"] for job_id in ids[MANY // 2 :]} == {"scheduled"}


async def quiet(url: str) -> bool:
    """Whether nothing but the nodes' own looks goes on, for a while."""
    before, began = await trio.to_thread.run_sync(questions, url), trio.current_time()
    await eventually(happens(lambda: trio.current_time() > began + IDLE_S))
    asked = await trio.to_thread.run_sync(questions, url) - before
    print(f"{asked} questions in {trio.current_time() - began:.1f} s")
    return asked < QUIET


async def after_s(at: TickrProcess, submitted_to: TickrProcess, seconds: float) -> float:
    """Return how long after its end the answer comes to who waits at ``at`` for a job that takes so many seconds."""
    (job_id,) = await submit(submitted_to.url, 1, type="waits", payload={"seconds": seconds})
    async with waiters(at.port) as clients:
        await clients.ask([job_id], 60)
        await clients.all_answered(1, within_s=20)
        assert clients.answered[job_id].job["state"] == "succeeded"
        return clients.answered[job_id].after_s


async def test_results_come_at_once_by_the_bell_and_within_seconds_without_it(
    mysql_url: str, redis_server: Redis
) -> None:
    node = partial(TickrProcess, store=mysql_url, index=redis_server.url, app=APP)
    with node(roles="api") as here, node() as there:
        assert sorted([await after_s(here, there, 0.4) for _ in range(5)])[2] < AT_ONCE_S
        redis_server.kill()
        assert max([await after_s(here, there, 0.4) for _ in range(3)]) < WITHOUT_BELL_S


async def test_results_of_a_job_whose_node_is_killed_come_from_the_next(mysql_url: str, redis_url: str) -> None:
    """And who waited at the node that is killed asks another, and hears the same."""
    node = partial(TickrProcess, store=mysql_url, index=redis_url, app=APP, arguments=["--lease", "3"])
    with node(roles="api,scheduler") as here, node(roles="api,worker") as one, node(roles="api,worker") as other:
        (job_id,) = await submit(here.url, 1, type="waits", payload={"seconds": 2})
        async with httpx2.AsyncClient(timeout=20) as http:

            async def runner() -> TickrProcess | None:
                job = (await http.get(f"{here.url}/jobs/{job_id}")).json()
                return next(
                    (each for each in (one, other) if job["state"] == "running" and job["node"] in each.log), None
                )

            victim = await eventually(runner)
            async with waiters(here.port) as patient, waiters(victim.port) as cut:
                await patient.ask([job_id], 60)
                await cut.ask([job_id], 60)
                assert (await http.get(f"{victim.url}/jobs/{job_id}")).json()["state"] == "running"
                victim.kill()
                await cut.all_answered(1, within_s=5)
                assert cut.wrong == [b""]
                survivor = other if victim is one else one
                again = await http.get(f"{survivor.url}/jobs/{job_id}?wait=15")
                await patient.all_answered(1, within_s=20)
            assert (again.json()["state"], again.json()["crashes"]) == ("succeeded", 1)
            assert patient.answered[job_id].job == again.json()
