"""Handlers that misbehave, in a real process: none takes the node or other jobs down, none runs for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

APP = """
import sys, time
import trio
import tickr

jobs = tickr.Jobs()

@jobs.handler("blocks", max_attempts=1)
async def blocks() -> None:
    time.sleep(3600)

@jobs.handler("spins", max_attempts=1)
async def spins() -> None:
    while True:
        pass

@jobs.handler("deaf", max_attempts=1, timeout=0.2)
async def deaf() -> None:
    while True:
        try:
            await trio.sleep(1)
        except BaseException:
            pass

@jobs.handler("exits", max_attempts=1)
async def exits() -> None:
    sys.exit(3)

@jobs.handler("groups", max_attempts=1)
async def groups() -> None:
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])

@jobs.handler("nonsense")
async def nonsense() -> object:
    return object()

@jobs.handler("endless_result")
async def endless_result() -> str:
    return "x" * 3_000_000

@jobs.handler("never_awaits")
async def never_awaits() -> str:
    return "done"

@jobs.handler("neighbour")
async def neighbour() -> str:
    await trio.sleep(6)
    return "undisturbed"

@jobs.handler("crunches", run_in="process")
def crunches() -> str:
    time.sleep(3)
    return "crunched"
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[TickrProcess]:
    (tmp_path / "rude.py").write_text(APP)
    with TickrProcess(app="rude:jobs", python_path=[tmp_path], arguments=["--lease", "6", "--grace", "10"]) as started:
        yield started


def submit(http: httpx2.Client, job_type: str) -> str:
    return str(http.post("/jobs", json={"type": job_type}).json()["id"])


async def until(http: httpx2.Client, job_id: str, *states: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(f"/jobs/{job_id}").json()
        return job if job["state"] in states else None

    return await eventually(look, within_s=30)


async def test_rude_handlers_fail_alone(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url, timeout=20) as http:
        neighbour = submit(http, "neighbour")
        kinds = {
            "blocks": "blocked",
            "spins": "blocked",
            "deaf": "unresponsive",
            "exits": "exception",
            "groups": "exception",
            "nonsense": "bad_result",
            "endless_result": "bad_result",
        }
        ids = {job_type: submit(http, job_type) for job_type in kinds}
        polite = submit(http, "never_awaits")
        for job_type, kind in kinds.items():
            job = await until(http, ids[job_type], "failed", "succeeded")
            assert (job["state"], job["error"]["kind"]) == ("failed", kind), job
        assert (await until(http, polite, "succeeded"))["result"] == "done"
        assert (await until(http, neighbour, "succeeded"))["attempt"] == 1
    assert "lease_lost" not in process.log_path.read_text()
    process.terminate()
    assert process.wait(30) == 0  # with a handler left behind that no cancellation ends


async def test_rude_signals_to_the_whole_group_leave_processes_to_the_node(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url, timeout=20) as http:
        job_id = submit(http, "crunches")
        await until(http, job_id, "running")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        process.start()
        job = http.get(f"/jobs/{job_id}").json()
        assert (job["state"], job["attempt"], job["result"]) == ("succeeded", 1, "crunched")
