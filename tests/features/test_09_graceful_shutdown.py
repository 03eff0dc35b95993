"""Row 9, graceful shutdown: running jobs finish and are stored; what does not finish is handed back at no cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

import tickr
from tests.features.conftest import StartNode, node
from tests.features.test_03_delayed_jobs import noop
from tests.ports import Observed, observing
from tests.waiting import eventually
from tickr import service
from tickr.errors import StoreUnavailable
from tickr.handle import Handle
from tickr.service import serve
from tickr.store.open import open_store


class Gated:
    """Handlers that wait until told how to end."""

    def __init__(self) -> None:
        self.jobs = tickr.Jobs()
        self.gate = trio.Event()
        self.started = 0
        self.full = trio.Event()
        self.expected = 1
        self.jobs.handler("hold")(self.hold)

    async def hold(self, job: tickr.Job, fail: bool = False) -> str:
        self.started += 1
        if self.started >= self.expected:
            self.full.set()
        await self.gate.wait()
        if fail:
            raise ValueError("failed while draining")
        return "held"


async def test_graceful_shutdown_running_jobs_finish_and_one_that_fails_is_retried_later(
    start_lasting: StartNode,
) -> None:
    gated = Gated()
    gated.expected = 2
    async with start_lasting(gated.jobs) as client:
        good = await client.post(type="hold")
        bad = await client.post(type="hold", payload={"fail": True}, backoff={"kind": "constant", "base": 60})
        await gated.full.wait()
        client.handle.stop()

        async def closed() -> bool:
            try:
                return (await client.http.get("/readyz")).status_code == 503
            except httpx2.TransportError:
                return True

        await eventually(closed)
        gated.gate.set()
    async with start_lasting(roles=("api",)) as client:
        assert [node.id for node in await client.handle.store.nodes()] == [
            client.handle.node_id
        ]  # the other signed off
        assert (await client.get(good["id"]))["state"] == "succeeded"
        failed = await client.get(bad["id"])
        assert failed["state"] == "retrying"
        assert "failed while draining" in failed["error"]["message"]


async def test_graceful_shutdown_with_every_worker_busy_loses_nothing(start_lasting: StartNode) -> None:
    gated = Gated()
    gated.expected = 2
    async with start_lasting(gated.jobs, workers=2, grace=0.2) as client:
        ids = [(await client.post(type="hold"))["id"] for _ in range(5)]
        await gated.full.wait()
        client.handle.stop()
    gated.gate.set()
    async with start_lasting(gated.jobs, workers=2) as client:
        for job_id in ids:
            job = await client.until_final(job_id)
            assert (job["state"], job["attempt"], job["crashes"]) == ("succeeded", 1, 0)
        handed_back = [one["outcome"] for job_id in ids for one in await client.attempts(job_id)]
    assert sorted(handed_back) == ["released"] * 2 + ["succeeded"] * 5
    assert gated.started == 7


async def test_graceful_shutdown_a_second_request_ends_it_now(start_lasting: StartNode) -> None:
    gated = Gated()
    with trio.fail_after(10):
        async with start_lasting(gated.jobs, grace=60) as client:
            job = await client.post(type="hold")
            await gated.full.wait()
            client.handle.stop()
            client.handle.stop()
    async with start_lasting(roles=("api",)) as client:
        assert (await client.get(job["id"]))["state"] == "ready"


async def test_graceful_shutdown_a_cancelled_scope_hands_jobs_back(lasting_store_url: str) -> None:
    gated = Gated()
    with trio.fail_after(10), trio.CancelScope() as scope:
        async with node(gated.jobs, store=lasting_store_url) as client:
            job = await client.post(type="hold")
            await gated.full.wait()
            scope.cancel()
    assert scope.cancelled_caught
    async with node(store=lasting_store_url, roles=("api",)) as client:
        stored = await client.get(job["id"])
        assert (stored["state"], stored["attempt"]) == ("ready", 0)


async def test_graceful_shutdown_a_claim_in_flight_still_brings_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMIT is done, the answer is on its way, nothing else runs: the job must run, not be left to the reaper."""
    opened, claimed, answered = list[Observed](), trio.Event(), trio.Event()
    monkeypatch.setattr(service, "open_store", observing(service.open_store, opened))
    async with node(noop(), store="memory:") as client:
        store = opened[0].port
        claim = store.claim

        async def slow(*args: Any, **kwargs: Any) -> Any:
            jobs = await claim(*args, **kwargs)
            claimed.set()
            await answered.wait()
            return jobs

        store.claim = slow
        job = await client.post(type="noop", delay=0.05)  # at once it would start with its submission
        await claimed.wait()
        client.handle.stop()
        await trio.testing.wait_all_tasks_blocked(0.05)
        answered.set()
    assert (await store.get(job["id"])).state == "succeeded"
    assert await store.nodes() == []


async def test_graceful_shutdown_ends_although_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    opened, gated = list[Observed](), Gated()
    monkeypatch.setattr(service, "open_store", observing(service.open_store, opened))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[Handle]) -> None:
                await serve(gated.jobs, store="memory:", roles=("scheduler", "worker"), task_status=task_status)

            handle = await nursery.start(run)
            await handle.submit("hold")
            await gated.full.wait()
            opened[0].failing["*"] = StoreUnavailable("away")
            gated.gate.set()
            handle.stop()


async def test_a_store_that_reads_but_does_not_write_ends_a_start_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def read_only(*args: Any, **kwargs: Any) -> AsyncIterator[Observed]:
        async with open_store(*args, **kwargs) as store:
            observed = Observed(store)
            observed.failing["register"] = StoreUnavailable("The server is read-only.")
            yield observed

    monkeypatch.setattr(service, "open_store", read_only)
    with trio.fail_after(5), pytest.raises(StoreUnavailable, match="read-only"):
        await serve(store="memory:", port=0)


@pytest.mark.slow
async def test_graceful_shutdown_idle_connections_do_not_hold_it_up() -> None:
    async with node(store="memory:") as client:
        streams = []
        for _ in range(10):
            stream = await trio.open_tcp_stream(client.handle.host, client.handle.port)
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await stream.receive_some(4096)
            streams.append(stream)
        client.handle.stop()
        with trio.fail_after(3):
            for stream in streams:
                while await stream.receive_some(4096):
                    pass
                await stream.aclose()
