"""Row 11, scalability: ``--workers`` sets how many run at once, without code; no worker sleeps for a retry."""

from __future__ import annotations

import pytest
import trio

import tickr
from tests.features.conftest import StartNode
from tests.ports import Observed, observing
from tickr import service


@pytest.mark.parametrize("workers", [1, 3])
async def test_scalability_workers_is_how_many_run_at_once(start_node: StartNode, workers: int) -> None:
    jobs, running, most = tickr.Jobs(), 0, 0
    full, gate = trio.Event(), trio.Event()

    @jobs.handler("hold")
    async def hold(job: tickr.Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == workers:
            full.set()
        await gate.wait()
        running -= 1

    async with start_node(jobs, workers=workers) as client:
        ids = [(await client.post(type="hold"))["id"] for _ in range(workers + 2)]
        with trio.fail_after(10):
            await full.wait()
        states = [(await client.get(job_id))["state"] for job_id in ids]
        assert states.count("running") == workers
        gate.set()
        for job_id in ids:
            await client.until_final(job_id)
    assert most == workers


async def test_scalability_no_worker_sleeps_for_a_retry(start_node: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("fails")
    async def fails(job: tickr.Job) -> None:
        raise ValueError("later")

    @jobs.handler("quick")
    async def quick(job: tickr.Job) -> None: ...

    async with start_node(jobs, workers=1) as client:
        failing = await client.post(type="fails", backoff={"kind": "constant", "base": 60})
        await client.until(failing["id"], "retrying")
        quick_job = await client.post(type="quick")
        assert (await client.until_final(quick_job["id"], within_s=5))["state"] == "succeeded"
        assert (await client.get(failing["id"]))["state"] == "retrying"


async def test_scalability_an_api_node_keeps_nothing_in_an_index_that_nobody_takes_from(
    start_lasting: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Observed] = []
    monkeypatch.setattr(service, "open_index", observing(service.open_index, opened))
    async with start_lasting(roles=("api", "scheduler")) as client:
        for _ in range(20):
            await client.post(type="noop", delay=3600)
        sizes = await opened[0].sizes()
        assert sizes.ready + sizes.waiting == (20 if opened[0].shared else 0)
