"""``kill -9`` of a node that serves remote workers, and of a worker: nothing is lost, and nothing succeeds twice.

A node is nothing to its workers but a way to the store: they go on with another, under the same lease, and no job is
counted as crashed. A worker that dies is missed as a node is: its lease ends, and its jobs run elsewhere.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.conftest import do_without
from tests.faults.fleet import Fleet, Place, fleet
from tests.remote.javascript import JavascriptWorker, missing
from tests.waiting import eventually, happens
from tickr.failpoints import VARIABLE

pytestmark = pytest.mark.slow

LEASE_S = 2.0
ELSEWHERE_WITHIN_S = LEASE_S + 2.5
WAVE = 30
PASSES = 4
SOON = {"backoff": {"kind": "constant", "base": 0.2}}


@pytest.fixture
def place(mysql_url: str, redis_url: str) -> Place:
    if reason := missing():
        do_without(reason)
    return Place(mysql_url, redis_url)


async def wave(on: Fleet) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(WAVE):
            nursery.start_soon(partial(on.submit, "flaky" if number % 5 == 0 else "quick", options=SOON))
        for _ in range(4):
            nursery.start_soon(partial(on.submit, "slow", seconds=0.3))


async def remote_leases(url: str) -> set[str]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return {one["id"] for one in (await http.get(f"{url}/nodes")).json()["items"] if one["kind"] == "remote"}


async def test_the_serving_node_and_a_worker_are_killed(place: Place, tmp_path: Path) -> None:
    async with fleet(tmp_path, place, nodes=2, lease_s=LEASE_S, app=None, workers=8) as on:
        serving, other = on.nodes
        made: dict[str, Any] = {
            "program": "ledger.mjs",
            "variables": {"LEDGER": str(tmp_path / "ledger")},
            "concurrency": 8,
        }
        with (
            JavascriptWorker([serving.url, other.url], **made) as doomed,
            JavascriptWorker([other.url, serving.url], **made) as survivor,
        ):
            await wave(on)
            leases = await remote_leases(other.url)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wave, on)
                await eventually(happens(lambda: len(on.marks()) > WAVE))
                on.kill(serving)
            # The worker that it served works on, by the other node and under its lease.
            before = len(on.marks(lambda mark: mark.pid == doomed.pid))
            await wave(on)
            await eventually(happens(lambda: len(on.marks(lambda mark: mark.pid == doomed.pid)) > before))
            await on.all_final()
            assert await remote_leases(other.url) == leases
            jobs, _ = await trio.to_thread.run_sync(on.stored)
            assert [job.crashes for job in jobs if job.crashes] == []

            ids = [await on.submit("slow", at=other, seconds=1.0, options={}) for _ in range(12)]
            await on.marked(ids, "start")
            running = {mark.job for mark in on.marks() if mark.pid == doomed.pid} & set(ids)
            killed_at = on.kill(doomed)
            again = await on.marked(sorted(running), "start", lambda mark: mark.pid == survivor.pid)
            assert max(mark.at for mark in again) - killed_at <= ELSEWHERE_WITHIN_S * 1e6
            await on.all_final()
            await on.verdict()
            jobs, _ = await trio.to_thread.run_sync(on.stored)
            assert {job.state for job in jobs} == {"succeeded"}
            assert {job.id for job in jobs if job.crashes} == running != set()


async def test_what_a_killed_node_had_claimed_or_stored_is_neither_lost_nor_done_again(tmp_path: Path) -> None:
    """Between COMMIT and answer: jobs come again with the same fence, and reports are answered as the first time."""
    if reason := missing():
        do_without(reason)
    async with fleet(tmp_path, nodes=3, lease_s=10, app=None, workers=8, roles="api,scheduler") as on:
        *doomed, last = on.nodes
        points = ("claim.after_commit", "outcomes.after_commit")
        async with trio.open_nursery() as nursery:
            for node, point in zip(doomed, points, strict=True):
                node.variables[VARIABLE] = f"{point}=kill@{PASSES}"
                nursery.start_soon(on.restart, node)
        options: dict[str, Any] = {"variables": {"LEDGER": str(tmp_path / "ledger")}, "concurrency": 2, "wait": 2}
        with JavascriptWorker([node.url for node in on.nodes], "ledger.mjs", **options):
            for _ in range(WAVE):
                await on.submit("quick", at=last)
            await on.all_final()
        assert [node.running for node in on.nodes] == [False, False, True]
        jobs, _ = await trio.to_thread.run_sync(on.stored)
        assert {(job.state, job.fence, job.crashes) for job in jobs} == {("succeeded", 1, 0)}
        starts = [mark.job for mark in on.marks() if mark.what == "start"]
        assert len(starts) == len(set(starts)) == WAVE
        await on.verdict()
