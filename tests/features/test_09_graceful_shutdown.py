"""Row 9, graceful shutdown: running jobs finish and are stored; what does not finish is handed back at no cost."""

from __future__ import annotations

import httpx2
import pytest
import trio

import tickr
from tests.features.conftest import StartNode, node
from tests.waiting import eventually


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
