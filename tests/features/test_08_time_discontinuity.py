"""Row 8, time discontinuity: jobs that fell due while nobody was there run at once when somebody is."""

from __future__ import annotations

import trio

from tests.features.conftest import StartNode
from tests.features.test_03_delayed_jobs import instant, noop
from tests.waiting import eventually


async def test_time_discontinuity_overdue_jobs_run_at_once_after_an_outage(
    start_lasting: StartNode,
) -> None:
    async with start_lasting(noop(), roles=("api",)) as client:
        ids = [(await client.post(type="noop", delay=delay))["id"] for delay in (0.1, 0.2, 0.3, 3600)]

        async def overdue() -> bool:
            return (await client.get(ids[2]))["state"] == "ready"

        await eventually(overdue)
    began = trio.current_time()
    async with start_lasting(noop()) as client:
        for job_id in ids[:3]:
            job = await client.until_final(job_id)
            assert job["state"] == "succeeded"
            assert instant(job["started_at"]) >= instant(job["run_at"])
        assert trio.current_time() - began < 5
        assert (await client.get(ids[3]))["state"] == "scheduled"
