"""Handlers that misbehave, in a real process: none takes the node or other jobs down, none runs for ever."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.jobs import MAX_CRASHES
from tickr.worker.watchdog import DEAD

pytestmark = pytest.mark.slow

APP = """
import sys, time
import trio
import tickr

jobs = tickr.Jobs()
MOMENT, SECOND, SHORT, LONG, HOUR = 0.1, 1, 3, 6, 3600

@jobs.handler("blocks", max_attempts=1)
async def blocks() -> None:
    time.sleep(HOUR)

@jobs.handler("spins", max_attempts=1)
async def spins() -> None:
    while True:
        pass

@jobs.handler("wedges")
async def wedges() -> None:
    while True:
        try:
            while True:
                time.sleep(MOMENT)
        except BaseException:
            print("interrupted", file=sys.stderr, flush=True)

@jobs.handler("deaf", max_attempts=1, timeout=0.2)
async def deaf() -> None:
    while True:
        try:
            await trio.sleep(SECOND)
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
    await trio.sleep(LONG)
    return "undisturbed"

@jobs.handler("crunches", run_in="process")
def crunches() -> str:
    time.sleep(SHORT)
    return "crunched"
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[TickrProcess]:
    (tmp_path / "rude.py").write_text(APP)
    with TickrProcess(app="rude:jobs", python_path=[tmp_path], arguments=["--lease", "6", "--grace", "10"]) as started:
        yield started


async def submit(http: httpx2.Client, job_type: str) -> str:
    """Submit as a client should: with an id of its own, and again after a 503: a blocked loop has nothing better."""
    body = {"type": job_type, "id": str(uuid.uuid4())}

    async def taken() -> bool:
        answer = http.post("/jobs", json=body)
        assert answer.status_code in (200, 201, 503), answer.text
        return answer.status_code != 503

    await eventually(taken, within_s=30)
    return body["id"]


async def until(http: httpx2.Client, job_id: str, *states: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(f"/jobs/{job_id}").json()
        return job if job["state"] in states else None

    return await eventually(look, within_s=30)


async def test_rude_handlers_fail_alone(process: TickrProcess) -> None:
    with httpx2.Client(base_url=process.url, timeout=20) as http:
        neighbour = await submit(http, "neighbour")
        kinds = {
            "blocks": "blocked",
            "spins": "blocked",
            "deaf": "unresponsive",
            "exits": "exception",
            "groups": "exception",
            "nonsense": "bad_result",
            "endless_result": "bad_result",
        }
        ids = {}
        for job_type, kind in kinds.items():
            ids[job_type] = await submit(http, job_type)
            if kind == "blocked":  # one after the other: no heartbeat gets through between two that block
                await until(http, ids[job_type], "failed")
        polite = await submit(http, "never_awaits")
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
        job_id = await submit(http, "crunches")
        await until(http, job_id, "running")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        process.start()
        job = http.get(f"/jobs/{job_id}").json()
        assert (job["state"], job["attempt"], job["result"]) == ("succeeded", 1, "crunched")


async def test_what_no_interrupt_gets_off_the_loop_ends_the_process_and_in_the_end_the_job(tmp_path: Path) -> None:
    (tmp_path / "rude.py").write_text(APP)
    process = TickrProcess(app="rude:jobs", python_path=[tmp_path], arguments=["--lease", "2", "--log-format", "json"])
    with process, httpx2.Client(base_url=process.url, timeout=20) as http:
        # Later, so that the answer is sent before the loop stands still.
        job_id = str(http.post("/jobs", json={"type": "wedges", "delay": 0.5}).json()["id"])
        for crash in range(1, MAX_CRASHES + 1):
            if crash == 1:
                await eventually(partial(blocked, process), within_s=30)
                process.terminate()  # nobody hears it
            assert await trio.to_thread.run_sync(process.wait, 15) == DEAD
            dead = said(process, "loop.dead")
            assert len(dead) == crash, "the last line gets out"
            assert (dead[-1]["level"], dead[-1]["job"], dead[-1]["type"]) == ("critical", job_id, "wedges")
            assert 1.9 <= dead[-1]["seconds"] <= 2.1
            assert "in wedges" in dead[-1]["stack"]
            assert process.log.count("interrupted\n") >= 2 * crash, "it is interrupted again and again"
            process.start(wait=False)
        process.wait_ready()
        job = await until(http, job_id, "failed")
        assert job["error"]["kind"] == "crashed"


def said(process: TickrProcess, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line["event"] == event]


async def blocked(process: TickrProcess) -> bool:
    return bool(said(process, "loop.blocked"))
