"""Row 5, execution: state and outcome change together, compare-and-set with the fence."""

from __future__ import annotations

import trio

import tickr
from tests.features.conftest import StartNode
from tests.waiting import eventually


async def test_execution_a_worker_that_lost_its_lease_changes_nothing(start_node: StartNode) -> None:
    jobs, starts, second_done = tickr.Jobs(), list[int](), trio.Event()

    @jobs.handler("slow")
    async def slow(job: tickr.Job) -> str:
        starts.append(job.fence)
        if len(starts) == 1:
            with trio.CancelScope(shield=True):  # a handler that takes its time to notice
                await second_done.wait()
        return f"from fence {job.fence}"

    async with start_node(jobs, lease=1.5, workers=4) as client:
        job = await client.post(type="slow")
        await client.until(job["id"], "running")
        # What a partition looks like to the store: the node's row is gone while its job still runs.
        await client.handle.store.deregister(client.handle.node_id)
        done = await client.until_final(job["id"])
        second_done.set()
        assert starts == [1, 2]
        assert done["result"] == "from fence 2"

        async def both_told() -> bool:
            return len(await client.attempts(job["id"])) == 2

        await eventually(both_told)
        after = await client.get(job["id"])
        assert after["result"] == "from fence 2"
        assert after["version"] == done["version"]
        assert [attempt["outcome"] for attempt in await client.attempts(job["id"])] == ["released", "succeeded"]


async def test_execution_a_node_that_lost_its_lease_stops_what_it_runs(start_node: StartNode) -> None:
    jobs, told, starts = tickr.Jobs(), trio.Event(), list[int]()

    @jobs.handler("endless")
    async def endless(job: tickr.Job) -> str:
        starts.append(job.fence)
        if len(starts) > 1:
            return "at last"
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            told.set()
            raise

    async with start_node(jobs, lease=1.5) as client:
        job = await client.post(type="endless")
        await client.until(job["id"], "running")
        await client.handle.store.deregister(client.handle.node_id)
        with trio.fail_after(5):
            await told.wait()
        assert (await client.until_final(job["id"]))["result"] == "at last"


async def test_execution_cancels_a_running_job_and_says_so_only_once_it_has_stopped(start_node: StartNode) -> None:
    jobs, stopped = tickr.Jobs(), trio.Event()

    @jobs.handler("endless")
    async def endless(job: tickr.Job) -> None:
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with start_node(jobs) as client:
        job = await client.post(type="endless")
        await client.until(job["id"], "running")
        answer = await client.http.post(f"/jobs/{job['id']}/cancel")
        assert answer.status_code == 202
        done = await client.until_final(job["id"], within_s=5)
        assert stopped.is_set()
        assert done["state"] == "cancelled"
        assert (await client.http.post(f"/jobs/{job['id']}/cancel")).status_code == 200


async def test_execution_retry_of_a_final_job_keeps_its_history(start_node: StartNode) -> None:
    jobs, broken = tickr.Jobs(), [True]

    @jobs.handler("fragile", max_attempts=1)
    async def fragile(job: tickr.Job) -> str:
        if broken[0]:
            raise RuntimeError("out of paper")
        return "printed"

    async with start_node(jobs) as client:
        job = await client.post(type="fragile")
        failed = await client.until_final(job["id"])
        assert failed["state"] == "failed"
        assert "out of paper" in failed["error"]["message"]
        broken[0] = False
        assert (await client.http.post(f"/jobs/{job['id']}/retry")).json()["state"] == "ready"
        done = await client.until_final(job["id"])
        assert (done["state"], done["result"], done["attempt"], done["error"]) == ("succeeded", "printed", 1, None)
        assert [attempt["outcome"] for attempt in await client.attempts(job["id"])] == ["failed", "succeeded"]
